"""A folder of pictures and an episode become a set for super-resolution, without any weights."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from dataset_pipeline.demo.episodes import TEST_SHOW, write_show
from dataset_pipeline.demo.scenes import draw_scene
from dataset_pipeline.graph.declaration import behind
from dataset_pipeline.images.resize import decode
from dataset_pipeline.super_resolution import set_files
from dataset_pipeline.super_resolution.tiles import tiles_of
from dataset_pipeline_tests.scenarios.conftest import Project, new_project

FOLDER = "pictures.pictures"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Pictures, of which some do not fit; an episode; test images."""
    root = tmp_path_factory.mktemp("sources")
    pictures, tested = root / "pictures", root / "tested"
    pictures.mkdir()
    tested.mkdir()
    for number in range(7):
        image = draw_scene(number, (360, 240), people=1, backdrop_seed=1000 + number).image.copy()
        if number == 3:
            image[:36], image[-36:] = 0, 0
        if number == 4:
            for color, width in ((0, 4), (255, 2)):
                cv2.putText(
                    image, "She said it was here", (40, 220), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (color,) * 3, width
                )
        Image.fromarray(image).save(pictures / f"{number}.png")
    with Image.open(pictures / "1.png") as image:
        image.resize((300, 200)).save(pictures / "again.png")
        image.resize((120, 80)).save(pictures / "tiny.png")
    with Image.open(pictures / "2.png") as image:
        image.resize((180, 120)).save(tested / "test.png")
    Image.new("RGB", (360, 240), (9, 9, 9)).save(pictures / "black.png")
    Image.fromarray(draw_scene(40, (100, 90), people=1, backdrop_seed=1040).image).save(pictures / "small.png")
    show = replace(TEST_SHOW, size=(320, 180), scripts=("solo 0.8, talk 0.8",), opening_s=0.5, ending_s=0.5)
    return pictures, write_show(root / "episodes", show)[0], tested


def made(project: Project, sources: tuple[Path, Path, Path], **changes: Any) -> tuple[Path, Counter[str], int]:
    """The set's folder, what became of the pictures of the folder, and how many pictures models saw."""
    usual = {
        "models__pack": "real",  # of which nothing is pulled
        "models__cache": str(project.root / "no weights"),
        "sr_selection__metric": "sharpness",
        "sr_sources__excluded": str(sources[2]),
        "sr_tiles__tile_px": 128,
        "sr_tiles__step_px": 96,
    }
    settings = project.settings(**usual | changes)
    outcome, calls = project.run(*sources[:2], only=behind("sr_set", settings), **usual | changes)
    assert outcome.failures == []
    reasons = Counter(row["reason"] for row in project.rows("sr_sources") if row["episode"] == FOLDER)
    pointer = project.store.pointer("sr_set")
    assert pointer is not None
    return Path(pointer.provenance.numbers["folder"]), reasons, sum(calls.values())


def test_pictures_and_an_episode_become_a_set_and_another_count_costs_its_own_tiles_alone(
    sources: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = new_project(tmp_path / "project")
    encoded: list[np.ndarray] = []
    encode = set_files.encode_png
    monkeypatch.setattr(set_files, "encode_png", lambda picture: encoded.append(picture) or encode(picture))
    best = {"sr_selection__how": "keep_best", "sr_selection__by": "count"}
    folder, reasons, calls = made(project, sources, **best, sr_selection__amount=20.0)
    assert (calls, len(encoded)) == (0, 3 * 20)
    assert reasons == {"kept": 5, "duplicate": 2, "excluded": 1, "bars": 1, "text": 1, "blank": 1}
    _of_each_picture_a_reason(project)
    _tiles_are_those_of_their_pictures(project, folder)

    measured = project.rows("sr_tile_signals")
    assert len(measured) == len(project.rows("sr_tiles")) > 60
    encoded.clear()
    more, _, calls = made(project, sources, **best, sr_selection__amount=24.0)
    assert more != folder
    assert calls == 0
    assert len(encoded) == 3 * len(_ids(more) - _ids(folder)) <= 3 * 8
    encoded.clear()
    fewer, _, _ = made(project, sources, **best, sr_selection__amount=20.0)
    assert (fewer, encoded) == (folder, [])
    assert project.rows("sr_tile_signals") == measured


def _ids(folder: Path) -> set[str]:
    return {line["tile_id"] for line in json.loads((folder / "manifest.json").read_text())["tiles"]}


def _of_each_picture_a_reason(project: Project) -> None:
    sources = project.rows("sr_sources")
    rows = {row["image_id"].partition("/")[2].rpartition("-")[0]: row for row in sources if row["episode"] == FOLDER}
    assert {name: row["reason"] for name, row in rows.items() if row["reason"] not in ("kept", "duplicate")} == {
        "2": "excluded", "3": "bars", "4": "text", "black": "blank"
    }  # fmt: skip
    assert rows["2"]["of"] == "test.png"
    [kept] = [row["image_id"] for name in ("1", "again", "tiny") if (row := rows[name])["kept"]]
    assert {row["of"] for row in rows.values() if row["reason"] == "duplicate"} == {kept}
    assert any(row["kept"] for row in sources if row["episode"] != FOLDER)
    pointer = project.store.pointer("sr_tiles", FOLDER)
    assert pointer is not None
    [(small, why)] = pointer.provenance.left_out.items()
    assert small.startswith(f"{FOLDER}/small-")
    assert why == "every copy of it is smaller than a tile: 100x90 px"
    assert {row["reason"] for row in project.rows("sr_selection")} == {"selected", "enough"}


def _tiles_are_those_of_their_pictures(project: Project, folder: Path) -> None:
    tiles = {row["tile_id"]: row for row in project.rows("sr_tiles")}
    pictures = {row["image_id"]: row["path"] for row in project.rows("sr_sources") if row["kept"]}
    lines = json.loads((folder / "manifest.json").read_text())["tiles"]
    assert len(lines) == len(list((folder / "train/hr").iterdir())) == 20
    for line in lines:
        [expected] = tiles_of(decode(project.store.read_picture(pictures[line["image_id"]])), [tiles[line["tile_id"]]])
        assert np.array_equal(decode((folder / line["file"]).read_bytes()), expected)


@pytest.mark.thorough
def test_a_set_ranked_by_a_model_measures_each_tile_once(sources: tuple[Path, Path, Path], tmp_path: Path):
    project = new_project(tmp_path / "project")
    by_model = {
        "models__pack": "demo",
        "models__cache": "",
        "sr_selection__metric": "quality",
        "sr_tiles__scales": [1.0],
        "sr_tiles__step_px": 200,
    }
    _, _, calls = made(project, sources, **by_model)
    assert calls == len(project.rows("sr_tiles")) == len(project.rows("sr_tile_scores")) > 10
    _, _, calls = made(project, sources, **by_model, sr_selection__amount=50.0)
    assert calls == 0
    assert sum(row["selected"] for row in project.rows("sr_selection")) == -(-len(project.rows("sr_tiles")) // 2)
