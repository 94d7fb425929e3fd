"""From measured tables to the set: what is counted, redrawn, balanced and left out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dataset_pipeline.definitions  # noqa: F401  makes the assets known
from dataset_pipeline.assets.strata import ASKED_BY_QUERIES
from dataset_pipeline.graph.catalog import ASSETS
from dataset_pipeline.graph.materializing import materialize
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.resize import encode, pixel_sha256
from dataset_pipeline.settings import Settings, load_settings, resources_folder
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Pointer, Store
from dataset_pipeline.training.score_cut import OtherMetric

EPISODE = "show.e1"
FIRST, SECOND, THIRD = (f"{EPISODE}/{number:08d}" for number in (1, 2, 3))
HEAD = f"{FIRST}#head-100-100-300-300"
MEASURED = {"pixel_sha256": "p", "model_sha256": "m", "algorithm": "1"}


def settings(**changes: Any) -> Settings:
    return load_settings(resources_folder() / "settings.toml", models__pack="demo", **changes)


@dataclass
class Project:
    """Stills of 200 x 100 px: fern on the first, with a crop of its head, and on the second; nobody on the third."""

    root: Path
    settings: Settings
    warnings: list[str] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return Store(str(self.root / "store"))

    def write(self, asset: str, rows: list[dict], episode: str | None = EPISODE, **made_by: Any) -> None:
        provenance = {"demo": True, "numbers": {}, "models": [], "settings": made_by}
        self.store.write(asset, SCHEMAS[asset].table(rows), episode, Provenance.from_json(provenance))

    def still(self, image_id: str, shade: int) -> dict:
        pixels = np.full((100, 200, 3), shade, np.uint8)
        path = self.store.put_picture("distinct_frames", EPISODE, image_id, encode(pixels, "png"), "png")
        return {"image_id": image_id, "episode": EPISODE, "kept": True, "reason": "kept", "path": path} | {
            "width_px": 200,
            "height_px": 100,
            "pixel_sha256": pixel_sha256(pixels),
        }

    def measure(self, shades: tuple[int, int, int] = (10, 20, 30)) -> None:
        stills = [self.still(image_id, shade) for image_id, shade in zip((FIRST, SECOND, THIRD), shades, strict=True)]
        piece = {"still_id": FIRST, "kind": "head", "x_px": 20, "y_px": 10, "width_px": 60, "height_px": 60}
        piece |= {"still_share": 0.18, "kept": True, "reason": "kept", "path": stills[0]["path"], "pixel_sha256": "h"}
        corners = {"x0_px": 30.0, "y0_px": 20.0, "x1_px": 60.0, "y1_px": 50.0}
        boxes = [{"kind": "face", **corners, "score": 0.9, "image_id": FIRST, "model_sha256": "m"}]
        boxes += [{**boxes[0], "kind": "head", "image_id": it} for it in (FIRST, SECOND, THIRD)]
        girl = [{"tag": "1girl", "category": "general", "score": 0.9}]
        images = (FIRST, HEAD, SECOND, THIRD)
        self.write("distinct_frames", stills)
        for asset in ("panoramas", "backdrops", "burnt_in_text"):
            self.write(asset, [])
        self.write("repeated_frames", [], None)
        self.write("character_gallery", [], None)
        self.write("crops", [{"image_id": HEAD, **piece}])
        for asset in ("stills", "images"):
            self.made(asset)
        self.write("detections", boxes)
        scores = (0.9, 0.6, 0.8, 0.7)
        self.write(
            "quality_scores",
            [{"image_id": it, **MEASURED, "score": score} for it, score in zip(images, scores, strict=True)],
        )
        self.write("tag_scores", [{"image_id": it, **MEASURED, "tags": girl} for it in images])
        self.write("hand_edited_tags", [{"image_id": THIRD, "file": "x.txt", "tags": ["no humans"]}])
        people = [{"image_id": it, "characters": [] if it == THIRD else ["fern"]} for it in images]
        self.write("clusters", people)

    def made(self, asset: str) -> tuple[list[dict], Pointer, bool]:
        """Its rows, its pointer, and whether they were there before."""
        episode = None if ASSETS[asset].declaration.joined else EPISODE
        places = {"store": self.store, "export_root": self.root / "exports"}
        resources = SimpleNamespace(settings=self.settings, **places)
        log = SimpleNamespace(warning=self.warnings.append)
        step = Step(ASSETS[asset].declaration, resources, episode, log, [EPISODE])
        pointer, kept = materialize(ASSETS[asset], step)
        return self.store.read(asset, episode).to_pylist(), pointer, kept

    def caption(self, text: str, template: str) -> None:
        selected = [row["image_id"] for row in self.made("selection")[0] if row["selected"]]
        rows = [{"image_id": it, "characters": ["fern"], "tags": ["1girl"], "caption": text} for it in selected]
        self.write("captions", rows, captions={"template": template})

    def make_set(self) -> tuple[list[dict], Pointer]:
        self.caption("fern", "booru")
        for asset in ("training_images", "concept_balance", "multiplies"):
            self.made(asset)
        for asset in ("clips", "training_clips"):
            self.write(asset, [])
        rows, pointer, _ = self.made("training_set")
        return rows, pointer


@pytest.fixture
def project(tmp_path: Path) -> Project:
    small = {"selection__min_short_side_px": 50, "training_images__max_side_px": 50}
    project = Project(tmp_path, settings(**small))
    project.measure()
    return project


def test_faces_and_people_are_counted_on_every_image(project: Project):
    rows, pointer, _ = project.made("selection")
    assert [(row["image_id"], row["n_faces"], row["face_height_share"], row["n_people"]) for row in rows] == [
        (FIRST, 1, 0.3, 1),
        (HEAD, 1, 0.5, 1),
        (SECOND, 0, 0.0, 1),
        (THIRD, 0, 0.0, 0),
    ]
    assert pointer.provenance.numbers == {"selected": 4, "text_cut_away": 0}


def test_images_are_left_out_by_the_faces_and_characters_that_are_wanted(project: Project):
    project.settings = settings(selection__min_short_side_px=50, selection__min_faces=1)
    assert [row["reason"] for row in project.made("selection")[0]] == ["selected"] * 2 + ["too_few_faces"] * 2
    project.settings = settings(selection__min_short_side_px=50, selection__characters=["fern"])
    assert [row["reason"] for row in project.made("selection")[0]] == ["selected"] * 3 + ["character_not_wanted"]


@pytest.mark.parametrize(("format", "longest"), [("webp", 16_383), ("jpg", 20_000)])
def test_a_strip_longer_than_the_format_holds_is_scaled_down_and_costs_no_other_picture(project, format, longest):
    strip = np.full((20_000, 50, 3), 90, np.uint8)
    path = project.store.put_picture("distinct_frames", EPISODE, SECOND, encode(strip, "png"), "png")
    frames = project.store.read("distinct_frames", EPISODE).to_pylist()
    size = {"path": path, "width_px": 50, "height_px": 20_000, "pixel_sha256": pixel_sha256(strip)}
    project.write("distinct_frames", [row | (size if row["image_id"] == SECOND else {}) for row in frames])
    project.settings = settings(selection__min_short_side_px=50, training_images__format=format)
    for asset in ("stills", "images", "selection"):
        project.made(asset)
    rows, pointer, _ = project.made("training_images")
    assert {row["image_id"]: row["height_px"] for row in rows} == {FIRST: 100, HEAD: 100, SECOND: longest, THIRD: 100}
    assert not pointer.provenance.faults
    assert project.made("training_images")[2]


@pytest.mark.parametrize("fault", ["cut off", "gone"])
def test_a_stored_picture_that_is_broken_is_left_out_with_its_reason_until_it_is_there_again(project, fault):
    project.made("selection")
    selected = {row["image_id"]: row["path"] for row in project.store.read("selection", EPISODE).to_pylist()}
    stored = project.root / "store" / selected[SECOND]
    whole = stored.read_bytes()
    stored.write_bytes(whole[:20])
    if fault == "gone":
        stored.unlink()
    rows, pointer, _ = project.made("training_images")
    assert {row["image_id"] for row in rows} == {FIRST, HEAD, THIRD}
    assert list(pointer.provenance.left_out) == [SECOND]
    assert pointer.provenance.numbers["unreadable"] == 1
    stored.write_bytes(whole)
    rows, pointer, kept = project.made("training_images")
    assert (len(rows), kept, pointer.provenance.to_json().get("left_out")) == (4, False, None)


def test_where_no_stored_picture_can_be_read_each_is_left_out_with_its_reason(project):
    project.made("selection")
    selected = [row for row in project.store.read("selection", EPISODE).to_pylist() if row["selected"]]
    for row in selected:
        (project.root / "store" / row["path"]).write_bytes(b"")
    rows, pointer, _ = project.made("training_images")
    assert rows == []
    assert pointer.provenance.left_out.keys() == {row["image_id"] for row in selected}
    assert all("no readable picture" in reason for reason in pointer.provenance.left_out.values())
    assert pointer.provenance.numbers["unreadable"] == len(selected)


def test_training_pictures_are_redrawn_where_a_setting_or_the_pixels_changed(project: Project):
    project.made("selection")
    sizes = [(row["width_px"], row["height_px"]) for row in project.made("training_images")[0]]
    assert sizes == [(100, 50)] * 4
    project.settings = settings(
        selection__min_short_side_px=50,
        training_images__resize_by="long_side",
        training_images__max_side_px=50,
        training_images__format="png",
    )
    before, _, kept = project.made("training_images")
    assert not kept
    assert [(row["width_px"], row["height_px"]) for row in before] == [(50, 25)] * 4
    assert all(row["path"].endswith(".png") for row in before)
    project.measure(shades=(10, 99, 30))
    project.made("selection")
    read: list[str] = []
    store = project.store

    class Watched(Store):
        def read_picture(self, path: str) -> bytes:
            read.append(path)
            return super().read_picture(path)

    resources = SimpleNamespace(store=Watched(store.root), settings=project.settings)
    step = Step(ASSETS["training_images"].declaration, resources, EPISODE, None, [EPISODE])
    materialize(ASSETS["training_images"], step)
    after = store.read("training_images", EPISODE).to_pylist()
    assert len(read) == 1
    assert [row["image_id"] for row, old in zip(after, before, strict=True) if row != old] == [SECOND]


def test_what_is_over_a_quota_is_told_apart_from_what_was_left_out(project: Project):
    project.settings = settings(
        selection__min_short_side_px=50,
        concept_balance__max_images_per_character=1,
        concept_balance__min_images_per_combination=1,
    )
    rows, pointer = project.make_set()
    assert [row["image_id"] for row in rows] == [FIRST, THIRD]
    numbers = pointer.provenance.numbers
    assert {name: count for name, count in numbers.items() if name.startswith("set")} == {
        "set: in the set": 2,
        "set: over quota": 2,
    }
    assert pointer.provenance.faults == {}
    assert "| set | over quota | 2 |" in pointer.provenance.notes["funnel"]
    assert project.store.read("concept_balance")["over_quota"].to_pylist() == [[], [HEAD, SECOND]]


def test_the_cut_of_the_selection_goes_by_strata_and_is_told_apart_from_quotas(project: Project):
    project.made("selection")
    project.write("shots", [{"episode": EPISODE, "number": n, "start_s": s} for n, s in ((0, 0.0), (1, 0.002))])
    names = ["frames", "nobody"]
    queries = [{"name": name, "query": query} for name, query in zip(names, ("1girl", "no_humans"), strict=True)]
    half = {"selection__amount": 50.0, "selection__min_short_side_px": 50, "concept_balance__max_images": 2}
    project.settings = settings(**half, selection__strata=["query"], selection__queries=queries)
    rows, pointer = project.make_set()
    # Of the three with a girl 0.9 and 0.8 stay and 0.6 goes; the one whose tags a person wrote is a stratum of its own.
    assert [row["image_id"] for row in rows] == [FIRST, SECOND]
    assert {name: count for name, count in pointer.provenance.numbers.items() if name.startswith("set")} == {
        "set: in the set": 2, "set: below the cut": 1, "set: over quota": 1,
    }  # fmt: skip
    balance = project.store.pointer("concept_balance")
    assert balance is not None
    assert "| nobody | 1 | 0 | 25.0% | 0.0% | 0.7 |  |" in balance.provenance.notes["strata"]
    assert balance.provenance.numbers["left_out_low_score"] == balance.provenance.numbers["left_out_set_full"] == 1

    project.settings = settings(**half, selection__strata=["shot", "crop"], selection__quota=1)
    rows, _ = project.make_set()
    assert [row["image_id"] for row in rows] == [FIRST, SECOND]
    told = project.store.read("concept_balance").to_pylist()
    reasons = {it: why for row in told for it, why in zip(row["over_quota"], row["over_quota_reasons"], strict=True)}
    assert reasons == {HEAD: "set_full", THIRD: "low_score"}


def test_what_strata_go_by_is_read_where_there_is_a_cut_and_once():
    strata = {"selection__strata": ["shot", "query"], "selection__queries": [{"name": "some", "query": "1girl"}]}
    balance = ASSETS["concept_balance"].declaration
    assert balance.under(settings(**strata)).reads == ("selection", "character_gallery")
    asked = balance.under(settings(**strata, selection__amount=50.0)).reads
    assert sorted(asked) == sorted({"selection", "shots", *ASKED_BY_QUERIES})


def test_a_cut_meant_for_another_metric_stops_and_says_what_to_do(project: Project):
    scores = project.store.read("quality_scores", EPISODE).to_pylist()
    project.write("quality_scores", [row | {"metric": "cnniqa"} for row in scores])
    project.settings = settings(selection__min_quality=0.2)
    with pytest.raises(OtherMetric, match=r'\[selection\] metric = "hyperiqa".*are those of "cnniqa"'):
        project.made("selection")
    project.settings = settings(selection__min_quality=0.85, selection__metric="cnniqa", selection__stills=True)
    assert [row["reason"] for row in project.made("selection")[0] if row["image_id"] == SECOND] == ["low_quality"]


def test_the_balance_reports_what_an_epoch_is_made_of(project: Project):
    project.made("selection")
    project.settings = settings(concept_balance__min_images_per_combination=1, concept_balance__weights=[])
    _, pointer, _ = project.made("concept_balance")
    assert pointer.provenance.numbers == {
        "concepts": 2,
        "images": 4,
        "over_quota": 0,
        "virtual_size": 6.0,
        "episodes_missing": 0,
    }
    assert pointer.provenance.notes["balance"].splitlines()[2:] == [
        "| 0_characters/character_others | 0.5000 | 1 | 3.00 | 3.00 | 3.00 |",
        "| 1_character/fern | 0.5000 | 3 | 1.00 | 1.00 | 3.00 |",
        "",
        "number of images 4; virtual dataset size 6.00",
    ]


def test_a_changed_line_in_the_file_of_weights_balances_anew(project: Project):
    project.made("selection")
    file = project.root / "weights.csv"
    file.write_text("1_character, 3\n")

    def balanced() -> tuple[list[float], bool]:
        changes = {"weights_csv": str(file), "weights": [], "min_images_per_combination": 1}
        project.settings = settings(**{f"concept_balance__{name}": value for name, value in changes.items()})
        rows, _, kept = project.made("concept_balance")
        return [row["probability"] for row in rows], kept

    assert balanced() == ([0.25, 0.75], False)
    assert balanced() == ([0.25, 0.75], True)
    file.write_text("1_character, 1\n")
    assert balanced() == ([0.5, 0.5], False)


def recipe_of_the_export(project: Project) -> dict:
    [row] = project.made("exported_set")[0]
    [folder] = (project.root / "exports").glob(f"*{row['content_sha256'][:8]}")
    return json.loads((folder / "manifest.json").read_text())["recipe"]


def test_an_export_names_no_settings_that_the_set_was_not_made_by(project: Project):
    project.write("core_tags", [], None)
    project.make_set()
    assert recipe_of_the_export(project)["captions"] == {"template": "booru"}
    assert project.warnings == []
    project.caption("a picture of fern", "sentence")
    recipe = recipe_of_the_export(project)
    assert "captions" not in recipe
    assert recipe["balance"]["max_multiply"] == project.settings.concept_balance.max_multiply
    assert project.warnings == [
        "the set was not all made by one and the same [captions]: bring it up to date, export again"
    ]
    project.made("training_set")
    assert recipe_of_the_export(project)["captions"] == {"template": "sentence"}


@pytest.mark.parametrize(("profile", "others"), [("plain", True), ("musubi", False)])
def test_an_export_for_a_trainer_that_takes_no_clips_says_so(project: Project, profile: str, others: bool):
    project.write("core_tags", [], None)
    [first, *_] = project.make_set()[0]
    clip = {"image_id": f"{EPISODE}/clip-00000000-00001000", "episode": EPISODE, "kept": True, "frames": 17, "fps": 16}
    path = project.store.put_picture("training_clips", EPISODE, clip["image_id"], b"a video", "mp4")
    file = {"path": path, "file_sha256": hashlib.sha256(b"a video").hexdigest()} | {
        name: first[name] for name in ("width_px", "height_px")
    }
    said = {name: first[name] for name in ("concept", "caption", "split", "characters", "tags", "n_people")}
    project.write("clips", [clip | said])
    project.write("training_clips", [{"image_id": clip["image_id"], **file}])
    project.settings = settings(exported_set__profile=profile)
    notes = project.made("exported_set")[1].provenance.notes
    told = ["1 clips are not in the set: plain takes none; export for diffusion_pipe or musubi"] if others else []
    assert project.warnings == [*notes.values()] == told


def test_a_set_of_an_earlier_version_says_to_run_first(project: Project):
    project.make_set()
    [before, *_] = project.made("training_set")[0]
    project.write("training_set", [before | {"tags": None}], None)
    project.write("core_tags", [], None)
    with pytest.raises(ValueError, match="made by an earlier version: `dataset-pipeline run`, then export again"):
        project.made("exported_set")
