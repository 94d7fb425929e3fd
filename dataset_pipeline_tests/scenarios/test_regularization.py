"""Pictures of classes beside the training images: of stills on which nobody is, and of a folder."""

from __future__ import annotations

import tomllib
from pathlib import Path

from PIL import Image

from dataset_pipeline.base.ids import shows_nobody
from dataset_pipeline.demo.scenes import draw_scene
from dataset_pipeline.graph.declaration import regularization_assets
from dataset_pipeline.reports.regularization import regularization_report_on
from dataset_pipeline_tests.scenarios.conftest import DrawnShow, Project

KEPT = 4
GLIMPSED = 0.1  # of a person: a hand that comes in at the edge


def test_stills_of_nobody_and_a_folder_stand_beside_the_training_images(
    copy_of_finished: Project, drawn_show: DrawnShow, tmp_path: Path
):
    own = tmp_path / "own"
    own.mkdir()
    for number in range(3):
        Image.fromarray(draw_scene(number, (320, 240), people=1).image).save(own / f"{number}.png")
        (own / f"{number}.txt").write_text(f"1girl, number {number}\n")
    Image.fromarray(draw_scene(0, (320, 240), people=1).image).save(own / "again.png")
    (own / "again.txt").write_text("1girl, number 0\n")
    (own / "broken.png").write_bytes(b"no picture")
    classes = [
        {"name": "scenery", "source": "stills", "caption": "scenery", "keep": KEPT},
        {"name": "own", "source": "folder", "folder": str(own), "caption": "1girl"},
    ]
    project, only = copy_of_finished, regularization_assets()
    outcome, calls = project.run(only=only, regularization__classes=classes)
    assert not outcome.failures
    assert calls
    report = regularization_report_on(project.settings(regularization__classes=classes), project.store, outcome, calls)
    scenery, folder = report.classes
    assert (scenery.kept, folder.kept) == (KEPT, 3)
    assert (folder.pictures["duplicate"], folder.pictures["unreadable"]) == (1, 1)
    assert "broken.png" in folder.faults[0]

    requests = {row["image_id"]: row for row in project.store.read("regularization_requests", "scenery").to_pylist()}
    shown_at = {row["image_id"]: row["start_s"] for row in project.rows("stills")}
    for image_id in (row["image_id"] for row in project.rows("regularization_set") if row["class"] == "scenery"):
        still = requests[image_id]["mirrors"]
        if not shows_nobody(still):  # which a clean plate does by its making
            drawing = drawn_show.drawing_of({"image_id": still, "pts_s": shown_at[still]})
            assert all(person.visible < GLIMPSED for person in drawing.people), still

    pictures = {name: project.store.pointer("regularization_pictures", name) for name in ("scenery", "own")}
    fewer = [classes[0] | {"keep": 2}, classes[1]]
    outcome, calls = project.run(only=only, regularization__classes=fewer)
    assert not outcome.failures
    assert calls == {}
    assert {name: project.store.pointer("regularization_pictures", name) for name in pictures} == pictures

    outcome, calls = project.run(only={"exported_set"}, regularization__classes=fewer, exported_set__profile="kohya")
    assert not outcome.failures
    assert calls == {}
    exported = project.exported_folder
    texts = [path.read_text() for path in sorted((exported / "reg").rglob("*.txt"))]
    assert sorted(texts) == ["1girl, number 0", "1girl, number 1", "1girl, number 2", "scenery", "scenery"]
    subsets = tomllib.loads((exported / "dataset.toml").read_text())["datasets"][0]["subsets"]
    shown = {subset["image_dir"] for subset in subsets if subset.get("is_reg")}
    assert {folder.rpartition("_")[2] for folder in shown} == {"own", "scenery"}
    card = (exported / "README.md").read_text()
    assert "scenery" in card


def test_an_export_says_that_classes_were_named_and_never_made(copy_of_finished: Project):
    classes = [{"name": "girl", "source": "prompts", "prompts": ["1girl"]}]
    outcome, _ = copy_of_finished.run(only={"exported_set"}, regularization__classes=classes)
    assert not outcome.failures
    assert not (copy_of_finished.exported_folder / "train" / "reg").exists()
    pointer = copy_of_finished.store.pointer("exported_set")
    assert pointer is not None
    assert "of girl: `dataset-pipeline regularize`" in pointer.provenance.notes["absent"]


def test_what_keeps_a_class_from_being_made_is_told_and_costs_no_other(copy_of_finished: Project, tmp_path: Path):
    classes = [
        {"name": "girl", "source": "prompts", "prompts": ["1girl"]},
        {"name": "own", "source": "folder", "folder": str(tmp_path / "nowhere"), "caption": "1girl"},
        {"name": "scenery", "source": "stills", "caption": "scenery", "keep": 1},
    ]
    outcome, _ = copy_of_finished.run(only=regularization_assets(), regularization__classes=classes)
    failures = {failure.episode: failure.error for failure in outcome.failures if failure.episode}
    assert failures.keys() == {"girl", "own"}
    assert "[generator] model" in failures["girl"]
    assert "nowhere" in failures["own"]
    assert {row["class"] for row in copy_of_finished.rows("regularization_set")} == {"scenery"}
