"""What is written among the stills goes the whole way to the set, whoever wrote it."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

import dataset_pipeline
import dataset_pipeline.definitions
from dataset_pipeline.graph.catalog import ASSETS
from dataset_pipeline.graph.declaration import DECLARATIONS
from dataset_pipeline.graph.materializing import materialize
from dataset_pipeline.graph.step import Step
from dataset_pipeline.orchestration.runs import phases
from dataset_pipeline.reports.explain import explain
from dataset_pipeline.reports.first_screen import first_screen
from dataset_pipeline.settings import load_settings, resources_folder
from dataset_pipeline_tests.assets.drawn_models import Models
from dataset_pipeline_tests.assets.drawn_project import EPISODE, DrawnProject, noise

FRAME, OTHER, PAN = (f"{EPISODE}/{name}" for name in ("00001500", "00002500", "pan-00003000-00009000"))
SETTINGS = load_settings(
    resources_folder() / "settings.toml",
    models__pack="demo",
    character_gallery__min_crops=2,
    crops__person_min_side_px=20,
    selection__min_short_side_px=20,
    selection__min_quality=0.0,
    selection__max_crop_share=1.0,
)
# Whoever names distinct_frames asks about frames: which were dropped and why, or which resemble one another.
OF_FRAMES = {"repeated_frames", "stills", "training_set", "clips"}


@dataclass
class Project(DrawnProject):
    models: Models = field(default_factory=Models)

    def picture(self, asset: str, image_id: str, width: int) -> dict:
        return self.put(asset, image_id, noise(width))

    def made(self, asset: str) -> dict[str, dict]:
        """The asset's rows by image id."""
        episode = None if DECLARATIONS[asset].joined else EPISODE
        roles = dict.fromkeys(("detector", "identity", "quality", "tagger", "text_detector"), self.models)
        resources = SimpleNamespace(store=self.store, settings=SETTINGS, export_root=self.root / "exports", **roles)
        log = SimpleNamespace(warning=lambda message: None)
        materialize(ASSETS[asset], Step(DECLARATIONS[asset], resources, episode, log, [EPISODE]))
        rows = self.store.read(asset, episode).to_pylist()
        return {row["image_id"]: row for row in rows if "image_id" in row}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An episode of two frames, up to its stills."""
    project = Project(tmp_path)
    source = {"episode": EPISODE, "show": "show", "show_title": "Show", "episode_title": "1", "kind": "video"}
    project.write("video", [source | {"size_bytes": 1}])
    frames = [project.picture("distinct_frames", frame, width) for frame, width in ((FRAME, 200), (OTHER, 220))]
    kept = {"pts_s": 1.5, "kept": True, "reason": "kept"}
    project.write("distinct_frames", [frame | kept | {"group": frame["image_id"]} for frame in frames])
    project.write("repeated_frames", [], None)
    project.write("hand_edited_tags", [])
    project.write("video_probe", [{"episode": EPISODE, "readable": True}])
    project.write("shots", [])
    project.write("tracks", [])
    for asset in ("keyframes", "alignments", "panoramas", "backdrops", "stitched_embeddings"):
        project.write(asset, [])
    assert list(project.made("stills")) == [FRAME, OTHER]
    return project


AFTER_STILLS = [
    asset
    for phase in phases()
    for asset in phase.assets
    if asset not in ("video_probe", "shots", "tracks", "keyframes", "frame_embeddings", "distinct_frames", "stills")
    and asset not in ("alignments", "panoramas", "backdrops", "stitched_embeddings")
    and asset not in ("repeated_frames", "hand_edited_tags")
]


def write_still(project: Project, image_id: str, kind: str, source: str) -> None:
    still = project.picture(source, image_id, 400) | {"kind": kind, "source": source, "start_s": 3.0, "end_s": 9.0}
    project.write("stills", [*project.store.read("stills", EPISODE).to_pylist(), still])


def write_panorama(project: Project) -> None:
    write_still(project, PAN, "panorama", "panoramas")


def test_a_panorama_written_among_the_stills_is_found_cut_scored_tagged_selected_and_captioned(project: Project):
    write_panorama(project)
    person = f"{PAN}#person-250-250-250-250"
    found = {asset: project.made(asset) for asset in AFTER_STILLS}
    assert PAN in found["detections"]
    assert person in found["crops"]
    assert person in found["crop_embeddings"]
    everywhere = ("images", "quality_scores", "tag_scores", "clusters", "tags", "selection", "captions")
    for asset in (*everywhere, "training_images", "multiplies", "training_set"):
        assert {PAN, FRAME, person} <= found[asset].keys(), asset
    assert found["images"][person]["end_s"] == found["images"][PAN]["end_s"] == 9.0
    [name] = found["clusters"][PAN]["characters"]
    assert found["selection"][PAN]["selected"]
    assert found["training_set"][PAN]["characters"] == [name]
    assert found["training_set"][PAN]["kind"] == "still"
    assert "1girl" in found["captions"][PAN]["caption"]
    assert len(list((project.root / "exports").rglob("*pan-00003000-00009000*.webp"))) == 2


def test_on_a_plate_nobody_is_and_the_crops_of_who_was_put_back_say_who_that_is(project: Project):
    plate = f"{EPISODE}/plate-00003000-00009000"
    whole = f"{plate}-with-00004000"
    write_still(project, plate, "plate", "backdrops")
    write_still(project, whole, "plate_with_subject", "backdrops")
    found = {asset: project.made(asset) for asset in AFTER_STILLS}
    assert {plate, whole} <= found["detections"].keys()  # the detector sees somebody on both
    assert {row["still_id"] for row in found["crops"].values()} == {FRAME, OTHER, whole}
    assert (found["clusters"][plate]["characters"], found["tags"][plate]["n_people"]) == ([], 0)
    assert found["tags"][plate]["people_at_most"] == found["selection"][plate]["n_faces"] == 0
    assert "1girl" not in found["captions"][plate]["caption"]
    assert found["captions"][plate]["people"] == ""
    person = f"{whole}#person-250-250-250-250"
    assert found["clusters"][whole]["characters"] == found["clusters"][person]["characters"] != []
    assert found["selection"][whole]["selected"]
    assert found["selection"][person]["reason"] == "of_plate"
    [line] = [line for line in first_screen(explain(project.store, person)) if line.startswith("selection ")]
    assert "left out, of_plate: the frame" in line


def test_a_further_still_costs_each_model_its_own_pictures_alone(project: Project):
    for asset in AFTER_STILLS:
        project.made(asset)
    assert project.models.seen == {"detector": 2, "identity": 2, "quality": 4, "tagger": 4, "text_detector": 2}
    write_panorama(project)
    for asset in AFTER_STILLS:
        project.made(asset)
    assert project.models.seen == {"detector": 3, "identity": 3, "quality": 6, "tagger": 6, "text_detector": 3}


def test_only_what_asks_about_frames_names_distinct_frames():
    assert {name for name, it in DECLARATIONS.items() if "distinct_frames" in it.reads} == OF_FRAMES


def test_no_other_module_asks_the_table_of_frames_for_pictures():
    package = Path(dataset_pipeline.__file__).parent
    naming = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value == "distinct_frames"
    }
    assert naming == {
        "store/schemas.py",
        "assets/frames.py",  # makes it, and makes stills of it
        "corrections/events.py",  # which corrections are of frames
        "corrections/addressing.py",
        "review/facts.py",  # which frames resemble one another, on the page
        "review/model.py",  # what corrections of frames did not find
        "images/stills.py",
        "repeated/tables.py",
        "assets/training.py",  # the funnel counts dropped frames
        "training/set_diff/presence.py",  # why an image came or left
        "reports/set_diff/sides.py",
        "reports/estimate/scaling.py",  # what it costs
        "assets/clips.py",  # which frames lie in a shot, and which stills they stand for
        "reports/run_report.py",  # so does the account of a run
        "reports/readiness/of_store.py",  # which stills resemble one another
        "reports/explain.py",  # why a frame was dropped
        "reports/first_screen.py",  # says it
        "reports/decisions/stills.py",
    }
