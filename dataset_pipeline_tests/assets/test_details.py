"""Details go the whole way to the set where they are wanted, and cost nothing where they are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dataset_pipeline.definitions  # noqa: F401  makes the assets known
from dataset_pipeline.demo.scenes import NO_BOX, draw_scene
from dataset_pipeline.graph.catalog import ASSETS
from dataset_pipeline.graph.declaration import DECLARATIONS
from dataset_pipeline.graph.materializing import materialize
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.resize import decode, encode
from dataset_pipeline.orchestration.runs import phases
from dataset_pipeline.reports.explain import explain
from dataset_pipeline.reports.first_screen import first_screen
from dataset_pipeline.settings import SettingsError, load_settings, resources_folder
from dataset_pipeline_tests.assets.drawn_models import Models
from dataset_pipeline_tests.assets.drawn_project import EPISODE, DrawnProject

SIZE = (480, 270)
SETTINGS = {
    "models__pack": "demo",
    "character_gallery__min_crops": 2,
    "crops__person_min_side_px": 20,
    "crops__head_min_side_px": 20,
    "selection__min_short_side_px": 20,
    "selection__max_crop_share": 1.0,
    "details__target_px": 128,
}
ON: dict[str, Any] = {"details__enabled": True}
CHAIN = [
    asset
    for phase in phases()
    for asset in phase.assets
    if asset not in ("video_probe", "shots", "tracks", "keyframes", "frame_embeddings", "distinct_frames")
    and asset not in ("repeated_frames", "hand_edited_tags")
]
SCENE = draw_scene(3004, SIZE, people=1)
TRUTH = [
    (kind, box)
    for person in SCENE.people
    for kind, box in (("person", person.person), ("head", person.head), ("face", person.face))
    if box != NO_BOX
]


@dataclass
class Truthful(Models):
    """Knows where people are on the drawn scene."""

    def detect(self, pictures: Iterable[np.ndarray], kinds: Any) -> Iterator[list[Any]]:
        for _ in self.watched("detector", pictures):
            yield [
                SimpleNamespace(kind=kind, score=0.9, **dict(zip(("x0", "y0", "x1", "y1"), box, strict=True)))
                for kind, box in TRUTH
            ]


@dataclass
class Project(DrawnProject):
    """An episode of two stills: a drawn scene, and its negative, which looks quite different."""

    models: Truthful = field(default_factory=Truthful)

    def write_frames(self, *pictures: np.ndarray) -> None:
        source = {"episode": EPISODE, "show": "show", "show_title": "Show", "episode_title": "1", "kind": "video"}
        self.write("video", [source | {"size_bytes": 1}])
        rows = []
        for number, pixels in enumerate(pictures):
            image_id = f"{EPISODE}/{number:08d}"
            told = {"pts_s": number / 1000, "kept": True, "reason": "kept", "group": image_id}
            rows.append(self.put("distinct_frames", image_id, pixels) | told)
        self.write("distinct_frames", rows)
        self.write("repeated_frames", [], None)
        for asset in ("hand_edited_tags", "keyframes", "shots", "tracks"):
            self.write(asset, [])
        self.write("video_probe", [{"episode": EPISODE, "readable": True}])

    def step(self, asset: str, **changes: Any) -> Step:
        episode = None if DECLARATIONS[asset].joined else EPISODE
        roles = dict.fromkeys(("embedder", "detector", "identity", "quality", "tagger", "text_detector"), self.models)
        settings = load_settings(resources_folder() / "settings.toml", **SETTINGS | changes)
        resources = SimpleNamespace(store=self.store, settings=settings, export_root=self.root / "exports", **roles)
        declaration = DECLARATIONS[asset].under(settings)
        return Step(declaration, resources, episode, SimpleNamespace(warning=print), [EPISODE])

    def made(self, asset: str, **changes: Any) -> dict[str, dict]:
        step = self.step(asset, **changes)
        materialize(ASSETS[asset], step)
        rows = self.store.read(asset, step.episode).to_pylist()
        return {row["image_id"]: row for row in rows if "image_id" in row}

    def all_made(self, **changes: Any) -> dict[str, dict[str, dict]]:
        return {asset: self.made(asset, **changes) for asset in CHAIN}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write_frames(SCENE.image, 255 - SCENE.image)
    return project


def kept_of(made: dict[str, dict]) -> dict[str, dict]:
    return {image_id: row for image_id, row in made.items() if row["kept"]}


def line(project: Project, image: str) -> str:
    (found,) = (it for it in first_screen(explain(project.store, image)) if it.startswith("details "))
    return " ".join(found.split())


def test_details_are_cut_out_at_their_own_size_and_go_the_whole_way_to_the_set(project: Project):
    made = project.all_made(**ON)
    kept = kept_of(made["details"])
    assert Counter(row["kind"] for row in kept.values()) == {"facedetail": 2, "objectdetail": 2}
    for row in kept.values():
        still = SCENE.image if row["still_id"].endswith("0") else 255 - SCENE.image
        x, y, side = row["x_px"], row["y_px"], row["width_px"]
        assert row["height_px"] == side
        assert np.array_equal(decode(project.store.read_picture(row["path"])), still[y : y + side, x : x + side])
    for asset in ("images", "quality_scores", "tag_scores", "clusters", "tags", "selection", "captions"):
        assert kept.keys() <= made[asset].keys(), asset
    assert all(made["selection"][it]["selected"] for it in kept)
    assert kept.keys() <= made["training_set"].keys()
    assert {row["source"] for it, row in made["images"].items() if it in kept} == {"details"}
    assert len(list((project.root / "exports").rglob("*detail*.webp"))) == len(kept)
    # Whom the crops around its part show is on a detail, and nobody on one of objects.
    for image_id, row in kept.items():
        assert len(made["clusters"][image_id]["characters"]) == (row["kind"] == "facedetail")
        assert len(made["captions"][image_id]["characters"]) == (row["kind"] == "facedetail")
    face = next(it for it, row in kept.items() if row["kind"] == "facedetail")
    told = line(project, face)
    assert told.startswith("details kept: face at x ")
    assert f"{kept[face]['width_px']} px wide" in told
    shows = ASSETS["details"].shows
    assert shows is not None
    sheet = shows(project.step("details", **ON))
    assert {label: len(paths) for label, paths in sheet.items()} == {"face (2)": 2, "object (2)": 2}


def test_the_same_picture_twice_gives_its_details_once(project: Project):
    project.write_frames(SCENE.image, SCENE.image)
    made = project.all_made(**ON)["details"]
    first, second = ([row for row in made.values() if row["still_id"] == f"{EPISODE}/{n:08d}"] for n in (0, 1))
    again = [row for row in second if row["reason"] == "duplicate"]
    assert not any(row["kept"] for row in second)
    assert [row["group"] for row in again] == [row["image_id"] for row in first if row["kept"]]
    assert f"dropped, duplicate of {EPISODE}/00000000#" in line(project, again[0]["image_id"])


def test_what_is_off_makes_no_detail_and_what_is_on_costs_each_model_its_own_pictures(project: Project):
    made = project.all_made()
    assert made["details"] == {}
    assert not any("detail" in image for image in made["images"])
    seen = dict(project.models.seen)
    before = project.all_made(**ON)["details"]
    more = {role: count - seen[role] for role, count in project.models.seen.items()}
    assert more == {"detector": 0, "identity": 0, "quality": 4, "tagger": 4, "text_detector": 0}
    seen = dict(project.models.seen)
    after = project.made("details", **ON, details__max_per_still=1)
    assert {row["kind"] for row in kept_of(after).values()} == {"facedetail"}
    assert {row["reason"] for row in after.values() if row["kind"] == "objectdetail"} == {"over_limit"}
    assert all(row["path"] == before[it]["path"] for it, row in kept_of(after).items())
    assert project.models.seen == seen


def test_a_still_that_cannot_be_read_costs_its_own_details(project: Project):
    for asset in CHAIN[: CHAIN.index("details")]:
        project.made(asset, **ON)
    path = project.store.read("stills", EPISODE)["path"][1].as_py()
    (project.root / "store" / path).write_bytes(b"no picture")
    made = project.made("details", **ON)
    assert {row["still_id"] for row in kept_of(made).values()} == {f"{EPISODE}/00000000"}
    pointer = project.store.pointer("details", EPISODE)
    assert pointer is not None
    assert list(pointer.provenance.left_out) == [f"{EPISODE}/00000001"]
    assert "00000001" in pointer.provenance.faults["every_detail_could_be_cut"]


def test_no_detail_shows_what_nobody_has_seen_of_a_panorama(project: Project):
    for asset in CHAIN[: CHAIN.index("details")]:
        project.made(asset, **ON)
    first = f"{EPISODE}/00000000"
    mask = encode(np.full((SIZE[1] // 8 + 1, SIZE[0] // 8, 3), 255, np.uint8), "png", 100)
    size = {"width_px": SIZE[0], "height_px": SIZE[1], "whole_px": [*SIZE, 0, 0], "path": "p"}
    project.write("panoramas", [{"image_id": first, "episode": EPISODE, "unknown": mask, **size}])
    made = project.made("details", **ON).values()
    assert {row["reason"] for row in made if row["still_id"] == first} == {"touches_unknown"}
    assert Counter(row["kind"] for row in made if row["kept"]) == {"facedetail": 1, "objectdetail": 1}


def test_a_clean_plate_has_no_details_of_people(project: Project):
    plate = f"{EPISODE}/plate-00000001-00003000"
    for asset in CHAIN[: CHAIN.index("stills")]:
        project.made(asset, **ON)
    first, second = project.made("stills", **ON).values()
    project.write("stills", [first, second | {"image_id": plate, "kind": "plate"}])
    for asset in CHAIN[CHAIN.index("stills") + 1 : CHAIN.index("details")]:
        project.made(asset, **ON)
    made = project.made("details", **ON).values()
    assert "facedetail" in {row["kind"] for row in made if row["still_id"] == first["image_id"]}
    assert {row["kind"] for row in made if row["still_id"] == plate} == {"objectdetail"}


@pytest.mark.parametrize(
    ("kinds", "looked_for", "told"),
    [
        (["eyes"], ["person", "head", "face"], 'has "eyes", for which detections.kinds must name "eye"'),
        (["face"], ["person", "face"], 'has "face", for which detections.kinds must name "head"'),
        (["object"], ["head"], 'has "object", for which detections.kinds must name "person"'),
    ],
)
def test_details_ask_for_the_boxes_that_they_are_made_of(kinds: list[str], looked_for: list[str], told: str):
    defaults = resources_folder() / "settings.toml"
    changes: dict[str, Any] = {"details__kinds": kinds, "detections__kinds": looked_for}
    load_settings(defaults, **changes)
    with pytest.raises(SettingsError, match=told):
        load_settings(defaults, **changes | ON)


def test_a_head_that_is_required_must_be_looked_for():
    with pytest.raises(SettingsError, match='add "face" there'):
        load_settings(resources_folder() / "settings.toml", crops__require_face=True, detections__kinds=["head"])


def test_what_is_off_gives_an_empty_table_without_a_look_at_anything():
    class Blind:
        settings = load_settings(resources_folder() / "settings.toml")

    result = ASSETS["details"].function(Blind())  # type: ignore[arg-type]
    assert isinstance(result, Result)
    assert result.table.num_rows == 0
