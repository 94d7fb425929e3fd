"""Tiles of an episode's stills, scored by a model: each once, and what goes wrong with one is its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dataset_pipeline.definitions  # noqa: F401  makes the assets known
from dataset_pipeline.demo.scenes import draw_scene
from dataset_pipeline.graph.catalog import ASSETS
from dataset_pipeline.graph.declaration import DECLARATIONS
from dataset_pipeline.graph.materializing import materialize
from dataset_pipeline.graph.step import Step
from dataset_pipeline.settings import DEFAULTS, load_settings
from dataset_pipeline.store.store import Pointer
from dataset_pipeline.training.score_cut import OtherMetric
from dataset_pipeline_tests.assets.drawn_models import Models
from dataset_pipeline_tests.assets.drawn_project import EPISODE, DrawnProject

FIRST, SECOND, LETTERED, PAN = (
    f"{EPISODE}/{it}" for it in ("00000100", "00000200", "00000300", "pan-00000000-00000900")
)
TILES = 2  # of each picture
CHAIN = ("sr_sources", "sr_tiles", "sr_tile_signals", "sr_tile_scores", "sr_selection", "sr_set")
SETTINGS = {
    "models__pack": "demo",
    "sr_sources__of": "stills",
    "sr_tiles__tile_px": 128,
    "sr_tiles__step_px": 128,
    "sr_tiles__scales": [1.0],
    "sr_selection__amount": 0.0,
}


@dataclass
class Project(DrawnProject):
    models: Models = field(default_factory=Models)
    changes: dict[str, Any] = field(default_factory=dict)

    def picture(self, asset: str, image_id: str) -> dict:
        pixels = draw_scene(len(image_id) + int(image_id[-3:]), (256, 128), people=1, backdrop_seed=1003).image
        return self.put(asset, image_id, pixels)

    def made(self, asset: str) -> tuple[list[dict], Pointer]:
        settings = load_settings(DEFAULTS, **SETTINGS | self.changes)
        resources = SimpleNamespace(
            store=self.store, settings=settings, export_root=self.root / "exports", quality=self.models
        )
        episode = None if DECLARATIONS[asset].joined else EPISODE
        step = Step(DECLARATIONS[asset], resources, episode, SimpleNamespace(warning=print), [EPISODE])
        pointer, _ = materialize(ASSETS[asset], step)
        return self.store.read(asset, episode).to_pylist(), pointer

    def make(self, until: str = "sr_set") -> tuple[list[dict], Pointer]:
        return [self.made(asset) for asset in CHAIN[: CHAIN.index(until) + 1]][-1]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Three frames, one with text that was found, and a panorama."""
    project = Project(tmp_path)
    project.write("video_probe", [{"episode": EPISODE, "readable": True}])
    fine = {"contrast": 0.2, "sharpness": 1.0} | dict.fromkeys(("combing", "ghost", "blockiness", "text"), 0.0)
    frames = (FIRST, SECOND, LETTERED)
    project.write("keyframes", [project.picture("keyframes", it) | fine for it in frames])
    kinds = dict.fromkeys(frames, "frame") | {PAN: "panorama"}
    project.write("stills", [project.picture("distinct_frames", it) | {"kind": kind} for it, kind in kinds.items()])
    text = {"image_id": LETTERED, "kind": "subtitle", "burnt_in": True}
    project.write("burnt_in_text", [text | dict.fromkeys(("x0_px", "y0_px", "x1_px", "y1_px"), 1.0)])
    return project


def test_frames_without_text_are_tiled_and_each_tile_is_scored_once(project: Project):
    sources, _ = project.make("sr_sources")
    assert {row["image_id"]: row["reason"] for row in sources} == {FIRST: "kept", SECOND: "kept", LETTERED: "text"}
    assert all(bool(row["path"]) == row["kept"] for row in sources)
    rows, pointer = project.make()
    assert (rows[0]["tiles"], rows[0]["validation_tiles"]) == (2 * TILES, 0)
    assert project.models.seen == {"quality": 2 * TILES}
    project.changes["sr_selection__amount"] = 50.0
    assert project.make()[0][0]["tiles"] == TILES
    assert project.models.seen == {"quality": 2 * TILES}
    assert Path(pointer.provenance.numbers["folder"]).name.startswith("show-sr-")


def test_the_archive_of_a_set_that_did_not_change_is_not_written_again(project: Project):
    project.changes |= {"sr_selection__metric": "noise", "sr_set__zip": True}
    for asset in CHAIN:
        if asset != "sr_tile_scores":
            _, pointer = project.made(asset)
    folder = Path(pointer.provenance.numbers["folder"])
    archive = folder.with_name(f"{folder.name}.zip")
    written = archive.read_bytes()
    archive.write_bytes(b"as it was")
    project.made("sr_set")
    assert archive.read_bytes() == b"as it was"
    archive.unlink()
    project.made("sr_set")
    assert archive.read_bytes() == written


def test_a_metric_without_weights_asks_no_model(project: Project):
    project.changes["sr_selection__metric"] = "noise"
    for asset in CHAIN:
        if asset != "sr_tile_scores":
            project.made(asset)
    assert project.models.seen == {}
    [row] = project.store.read("sr_set").to_pylist()
    assert row["tiles"] == 2 * TILES


def test_a_tile_that_the_model_fails_on_is_left_out_with_its_reason(project: Project):
    def fails(role: str, picture: np.ndarray) -> None:
        if picture.shape[0] == 128 and int(picture.sum()) == worst:
            raise RuntimeError("no such convolution")

    signals = {row["image_id"] for row in project.make("sr_tile_signals")[0]}
    [path] = [row["path"] for row in project.store.read("sr_sources", EPISODE).to_pylist() if row["image_id"] == FIRST]
    from dataset_pipeline.images.resize import decode

    worst = int(decode(project.store.read_picture(path))[:, :128].sum())
    project.models.fails = fails
    scores, pointer = project.made("sr_tile_scores")
    [lost] = signals - {row["image_id"] for row in scores}
    assert lost == f"{FIRST}@1-256x128-0-0-128"
    assert pointer.provenance.left_out == {lost: "no such convolution"}
    assert "no such convolution" in pointer.provenance.faults["every_picture_was_measured"]
    selection, _ = project.made("sr_selection")
    assert {row["tile_id"]: row["reason"] for row in selection}[lost] == "not_scored"
    project.models.fails = lambda role, picture: None
    scores, _ = project.made("sr_tile_scores")
    assert {row["image_id"] for row in scores} == signals


def test_tiles_of_a_picture_that_is_gone_are_left_out_and_the_others_go_on(project: Project):
    project.make("sr_tiles")
    [path] = [row["path"] for row in project.store.read("sr_sources", EPISODE).to_pylist() if row["image_id"] == SECOND]
    (project.root / "store" / path).unlink()
    signals, pointer = project.made("sr_tile_signals")
    assert {row["image_id"].partition("@")[0] for row in signals} == {FIRST}
    assert {it.partition("@")[0] for it in pointer.provenance.left_out} == {SECOND}


def test_tiles_are_cut_by_shot_character_kind_of_crop_and_query_and_a_metric_that_is_named(project: Project):
    project.make("sr_tile_scores")
    crops = {FIRST: ("head", 10, "fern"), SECOND: ("head", 150, "stark")}
    images = [{"image_id": it, "still_id": it, "kind": "frame", "width_px": 256, "height_px": 128} for it in crops]
    people = [{"image_id": it, "characters": []} for it in crops]
    for still, (kind, left, who) in crops.items():
        crop_id = f"{still}#{kind}-1-1-2-2"
        place = {"x_px": left, "y_px": 10, "width_px": 60, "height_px": 60}
        images.append({"image_id": crop_id, "still_id": still, "kind": kind, **place})
        people.append({"image_id": crop_id, "characters": [who]})
    project.write("images", images)
    project.write("clusters", people)
    project.write("shots", [{"episode": EPISODE, "number": n, "start_s": s} for n, s in ((0, 0.0), (1, 0.15))])
    measured = {"pixel_sha256": "p", "model_sha256": "m", "algorithm": "1"}
    night = [{"tag": "night", "category": "general", "score": 0.9}]
    project.write("tag_scores", [{"image_id": it, **measured, "tags": night if it == SECOND else []} for it in crops])
    project.write("quality_scores", [])
    project.write("hand_edited_tags", [])
    project.write("character_gallery", [], None)

    def strata(*columns: str) -> list[str]:
        queries = [{"name": "dark", "query": "night or dark"}] if "query" in columns else []
        project.changes |= {"sr_selection__strata": list(columns), "sr_selection__queries": queries}
        _, pointer = project.made("sr_selection")
        assert "worse than that of as many of the best tiles" in pointer.provenance.notes["strata"]
        lines = pointer.provenance.notes["strata"].splitlines()[2:-2]
        return [" ".join(line.strip("| ").split(" | ")[:2]) for line in lines]

    assert strata("character") == ["fern 1", "none 2", "stark 1"]
    assert strata("crop", "shot") == [
        "head / show.e1/0 1",
        "head / show.e1/1 1",
        "none / show.e1/0 1",
        "none / show.e1/1 1",
    ]
    assert strata("query", "copy") == ["dark / 1 2", "none / 1 2"]
    project.changes["sr_selection__metric"] = "cnniqa"
    assert strata("copy") == ["1 4"]
    project.changes["sr_selection__metric"] = "hyperiqa"
    with pytest.raises(OtherMetric, match=r'\[sr_selection\] metric = "hyperiqa".*are those of "cnniqa"'):
        project.made("sr_selection")
