"""Which shows' core tags are counted again, which episodes' tags are decided again, and what lies beside pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import dataset_pipeline.definitions  # noqa: F401  makes the assets known
from dataset_pipeline.graph.catalog import ASSETS
from dataset_pipeline.graph.materializing import materialize
from dataset_pipeline.graph.step import Step
from dataset_pipeline.settings import Settings, load_settings, resources_folder
from dataset_pipeline.store.pointers import pointer_path
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

DEFAULTS = load_settings(resources_folder() / "settings.toml", models__pack="demo")
MEASURED = {"pixel_sha256": "p", "model_sha256": "m", "algorithm": "1"}


@dataclass
class Log:
    warnings: list[str] = field(default_factory=list)

    def warning(self, message: str) -> None:
        self.warnings.append(message)


@dataclass
class Project:
    root: Path
    settings: Settings = DEFAULTS
    episodes: list[str] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return Store(str(self.root / "store"))

    def write(self, asset: str, rows: list[dict], episode: str, **provenance: Any) -> None:
        self.store.write(
            asset,
            SCHEMAS[asset].table(rows),
            episode,
            Provenance.from_json({"demo": True, "numbers": {}, **provenance}),
        )

    def add(self, episode: str, hair: str, images: int = 4) -> None:
        """An episode of pictures that show fern alone, whose hair is that of its show."""
        if episode not in self.episodes:
            self.episodes.append(episode)
        ids = [f"{episode}/{number:08d}" for number in range(images)]
        found = [{"tag": tag, "category": "general", "score": 0.9} for tag in (hair, "smile")]
        self.write("tag_scores", [{"image_id": i, **MEASURED, "tags": found} for i in ids], episode)
        self.write("quality_scores", [{"image_id": i, **MEASURED, "score": 0.5} for i in ids], episode)
        self.write(
            "clusters", [{"image_id": i, "still_id": i, "kind": "still", "characters": ["fern"]} for i in ids], episode
        )
        self.write("hand_edited_tags", [], episode)
        place = {"x_px": 0, "y_px": 0, "width_px": 640, "height_px": 360}
        self.write("images", [{"image_id": i, "still_id": i, "kind": "frame", **place} for i in ids], episode)
        self.see(episode, ids)

    def see(self, episode: str, ids: list[str], chin_px: float = 120.0, **provenance: Any) -> None:
        """One person, 4.6 heads high, on each of these stills, and nobody on the others."""
        corners = ("x0_px", "y0_px", "x1_px", "y1_px")
        boxes = {"person": (100.0, 50.0, 220.0, 360.0), "head": (130.0, 52.0, 190.0, chin_px)}
        found = [
            {"image_id": i, "kind": kind, "score": 0.8, **dict(zip(corners, box, strict=True))}
            for i in ids
            for kind, box in boxes.items()
        ]
        self.write("detections", found, episode, **provenance)

    def made(self, asset: str, episode: str | None = None) -> tuple[list[dict], dict[str, Any], bool]:
        """Its rows, its numbers, and whether they were there before."""
        resources = SimpleNamespace(store=self.store, settings=self.settings)
        step = Step(ASSETS[asset].declaration, resources, episode, Log(), sorted(self.episodes))
        pointer, kept = materialize(ASSETS[asset], step)
        return self.store.read(asset, episode).to_pylist(), pointer.provenance.numbers, kept


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.add("one.e1", "red_hair")
    project.add("other.e1", "blue_hair")
    return project


def test_a_characters_core_tags_are_taken_out_of_its_images(project: Project):
    rows, numbers, _ = project.made("core_tags")
    assert {row["show"]: row["tags"] for row in rows} == {"one": ["red_hair"], "other": ["blue_hair"]}
    assert numbers["shows_counted"] == 2
    rows, _, _ = project.made("tags", "one.e1")
    assert [row["tags"] for row in rows] == [["smile"]] * 4


def test_a_new_episode_counts_its_own_show_alone(project: Project):
    project.made("core_tags")
    project.add("other.e2", "blue_hair")
    rows, numbers, _ = project.made("core_tags")
    assert numbers["shows_counted"] == 1
    assert {row["show"]: row["images"] for row in rows} == {"one": 4, "other": 8}
    assert project.made("core_tags")[2]


def test_an_episode_keeps_its_tags_where_only_another_shows_core_tags_have_changed(project: Project, monkeypatch):
    from dataset_pipeline.assets import tags

    project.made("core_tags")
    before = project.made("tags", "one.e1")[0]
    project.add("other.e1", "green_hair")
    assert project.made("core_tags")[0][1]["tags"] == ["green_hair"]
    monkeypatch.setattr(tags, "decide_tags", None)
    assert project.made("tags", "one.e1")[0] == before
    monkeypatch.undo()
    project.add("one.e2", "green_hair", images=40)
    project.made("core_tags")
    assert project.made("tags", "one.e1")[0][0]["tags"] == ["red_hair", "smile"]


def test_the_same_rows_come_out_of_a_full_count(project: Project):
    project.made("core_tags")
    project.add("other.e2", "blue_hair")
    kept = project.made("core_tags")[0]
    (project.root / "store" / pointer_path("core_tags", None)).unlink()
    assert project.made("core_tags")[0] == kept


def pictures(project: Project, kind: str = "folder") -> Path:
    folder = project.root / "pictures"
    folder.mkdir()
    source = {"episode": "one.e1", "show": "one", "kind": kind, "size_bytes": 1}
    project.write("video", [source], "one.e1", path=str(folder), fingerprint="1")
    rows = [{"image_id": f"one.e1/{n:08d}", "source_file": f"{n}.png"} for n in range(2)]
    project.write("keyframes", rows, "one.e1")
    return folder


def test_what_lies_beside_a_picture_goes_before_the_tagger_and_stays_through_every_rerun(project: Project):
    folder = pictures(project)
    (folder / "1.txt").write_text("my tag, red_hair")
    assert [row["file"] for row in project.made("hand_edited_tags", "one.e1")[0]] == ["1.txt"]
    project.made("core_tags")
    rows, numbers, _ = project.made("tags", "one.e1")
    assert [row["tags"] for row in rows[:2]] == [["smile"], ["my tag", "red_hair"]]
    assert numbers["hand_edited"] == 1
    retagged = [{"tag": "hat", "category": "general", "score": 0.9}]
    ids = [row["image_id"] for row in rows]
    project.write(
        "tag_scores", [{"image_id": i, **MEASURED, "model_sha256": "x", "tags": retagged} for i in ids], "one.e1"
    )
    again = project.made("tags", "one.e1")[0]
    assert [row["tags"] for row in again[:2]] == [["hat"], ["my tag", "red_hair"]]


def test_files_beside_a_folder_that_is_away_are_not_forgotten(project: Project):
    folder = pictures(project)
    (folder / "1.txt").write_text("my tag")
    project.made("hand_edited_tags", "one.e1")
    folder.rename(project.root / "away")
    project.write("video", [{"episode": "one.e1", "kind": "folder"}], "one.e1", path=str(folder), fingerprint="2")
    with pytest.raises(FileNotFoundError, match=r"the source of one\.e1, is not there"):
        project.made("hand_edited_tags", "one.e1")
    assert project.store.read("hand_edited_tags", "one.e1").num_rows == 1


def test_a_video_has_no_files_of_tags(project: Project):
    folder = pictures(project, kind="video")
    (folder / "1.txt").write_text("my tag")
    assert project.made("hand_edited_tags", "one.e1")[0] == []


NOBODY, SOMEBODY = "one.e1/00000000", "one.e1/00000001"


def with_people(project: Project, **more: Any) -> None:
    """Two stills that the tagger says the same of; somebody is seen on the second alone."""
    said = {"1girl": 0.9, "solo": 0.8, "red_hair": 0.7, "dress": 0.6, "smile": 0.6, "outdoors": 0.5}
    tags = [{"tag": tag, "category": "general", "score": score} for tag, score in said.items()]
    project.add("one.e1", "red_hair", images=2)
    project.write("tag_scores", [{"image_id": i, **MEASURED, "tags": tags} for i in (NOBODY, SOMEBODY)], "one.e1")
    project.write(
        "clusters",
        [{"image_id": i, "still_id": i, "kind": "still", "characters": []} for i in (NOBODY, SOMEBODY)],
        "one.e1",
    )
    project.see("one.e1", [SOMEBODY], chin_px=129.0, **more)  # 4.0 heads high
    project.made("core_tags")


def test_where_nobody_is_seen_no_tag_of_a_person_stays_and_the_reason_is_told(project: Project):
    with_people(project)
    rows, numbers, _ = project.made("tags", "one.e1")
    assert [row["tags"] for row in rows] == [
        ["outdoors"],
        ["solo", "1girl", "cowboy_shot", "red_hair", "dress", "smile", "outdoors"],
    ]
    assert {it["tag"]: it["reason"] for it in rows[0]["dropped"]} == dict.fromkeys(
        ("1girl", "solo", "red_hair", "dress", "smile"), "seen: nobody"
    )
    assert [(row["people_at_least"], row["people_at_most"]) for row in rows] == [(0, 0), (1, 1)]
    assert rows[1]["added"] == [{"tag": "cowboy_shot", "reason": "seen: cowboy shot"}]
    assert numbers["nobody_seen"] == 1


@pytest.mark.parametrize("given", ["no answer of the detector", "other kinds", "the tagger wins"])
def test_where_nobody_looked_for_people_the_tagger_is_believed(project: Project, given: str):
    with_people(project, **({"left_out": {NOBODY: "it is damaged"}} if given == "no answer of the detector" else {}))
    changes: dict[str, Any] = {"other kinds": {"detections__kinds": ["hand"], "crops__kinds": ["hand"]}}
    changes["the tagger wins"] = {"people__counts": "tagger"}
    project.settings = load_settings(
        resources_folder() / "settings.toml", models__pack="demo", **changes.get(given, {})
    )
    assert project.made("tags", "one.e1")[0][0]["tags"] == ["solo", "1girl", "red_hair", "dress", "smile", "outdoors"]


def test_captions_say_names_where_the_tables_hold_ids(project: Project):
    still = "one.e1/00000000"
    frame = {"image_id": still, "width_px": 640, "height_px": 360}
    tagged = {"image_id": still, "tags": ["1girl", "smile"], "series": [], "artists": [], "activation_tags": []}
    selected = {"image_id": still, "kind": "still", "characters": ["c-1", "c-2", "c-3"], "selected": True}
    shown = {"image_id": still, "still_id": still, "kind": "still", "characters": ["c-1", "c-2", "c-3"]}
    project.write("video", [{"episode": "one.e1", "show_title": "One"}], "one.e1", path="")
    project.write("stills", [frame], "one.e1")
    project.write("tags", [tagged], "one.e1")
    project.write("selection", [selected], "one.e1")
    project.write("clusters", [shown], "one.e1")
    for empty in ("detections", "descriptions"):
        project.write(empty, [], "one.e1")
    gallery = [{"character": f"c-{number}", "show": "one", "name": "fern"} for number in (1, 2)]
    project.store.write("character_gallery", SCHEMAS["character_gallery"].table(gallery), None, Provenance(demo=True))
    ((row,), _, _) = project.made("captions", "one.e1")
    assert row["characters"] == ["c-3", "fern"]
    assert row["caption"].count("fern") == 1
    assert "c-1" not in row["caption"]
