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
from dataset_pipeline.super_resolution.low_quality import downscaled
from dataset_pipeline.super_resolution.recode import recoded
from dataset_pipeline.super_resolution.tiles import tiles_of
from dataset_pipeline.video.decode import iter_frames
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
    other, _, _ = made(project, sources, **best, sr_selection__amount=22.0)
    assert other not in (more, folder)
    assert encoded == []  # each tile lies in one of the two others
    _real_frames_go_through_a_codec(project, sources, best, folder)


def _real_frames_go_through_a_codec(
    project: Project, sources: tuple[Path, Path, Path], best: dict[str, Any], plain: Path
) -> None:
    recipe = [{"kind": "downscale"}, {"kind": "h264", "low": 33.0, "high": 33.0}]
    packed = {"sr_set__recipe": recipe, "sr_set__lmdb": True, "sr_set__zip": True}
    shots = {"shots__cut_ratio": 2.0}
    folder, _, calls = made(project, sources, **best, **packed, **shots, sr_selection__amount=20.0)
    assert calls == 0
    found = {line["tile_id"]: line for line in json.loads((folder / "manifest.json").read_text())["tiles"]}
    before = {line["tile_id"]: line for line in json.loads((plain / "manifest.json").read_text())["tiles"]}
    assert found.keys() == before.keys()
    of_episode = 0
    for tile_id, line in found.items():
        assert line["low_quality"]["x2"] == [{"step": "h264", "strength": 33.0}]
        hr, low, smaller = (
            decode((it / line["file"].replace("hr", kind)).read_bytes())
            for it, kind in ((folder, "hr"), (folder, "x2"), (plain, "x2"))
        )
        assert np.array_equal(hr, decode((plain / before[tile_id]["file"]).read_bytes()))
        assert 0 < np.abs(low.astype(int) - smaller).mean() < 12
        of_episode += not line["image_id"].startswith(FOLDER)
        alone = recoded([smaller], "h264", 33)[0].rgb
        assert np.array_equal(low, alone) == line["image_id"].startswith(FOLDER)
    assert of_episode > 0
    databases = folder.with_name(f"{folder.name}-lmdb")
    assert sorted(it.name for it in databases.iterdir()) == ["train_hr.lmdb", "train_x2.lmdb", "train_x4.lmdb"]
    assert len((databases / "train_x4.lmdb/meta_info.txt").read_text().splitlines()) == 20
    archive = folder.with_name(f"{folder.name}.zip").read_bytes()
    again, _, _ = made(project, sources, **best, **packed, **shots, sr_selection__amount=20.0)
    assert again == folder
    assert folder.with_name(f"{folder.name}.zip").read_bytes() == archive


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
def test_what_is_held_out_is_like_nothing_that_is_trained_on_and_another_folder_adds_no_copies(tmp_path: Path):
    folders = [tmp_path / "first", tmp_path / "second"]
    for number in range(8):
        image = draw_scene(number, (256, 192), people=1, backdrop_seed=1100 + number).image
        folder = folders[number >= 5]
        folder.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / f"{number}.png")
        if number in (1, 3):  # the same again, as an opening is
            folders[1].mkdir(exist_ok=True)
            Image.fromarray(image[2:, 3:]).save(folders[1] / f"again {number}.jpg", quality=80)
    project = new_project(tmp_path / "project")
    usual = {
        "sr_selection__metric": "sharpness", "sr_selection__how": "keep_best", "sr_selection__by": "count",
        "sr_selection__amount": 24.0, "sr_tiles__tile_px": 96, "sr_tiles__step_px": 48, "sr_set__scales": [2],
        "sr_set__validation_tiles": 5, "sr_set__max_likeness": 0.9,
    }  # fmt: skip
    only = behind("sr_set", project.settings(**usual))
    assert "sr_tile_embeddings" in only
    outcome, calls = project.run(*folders, only=only, **usual)
    assert outcome.failures == []
    [row] = project.rows("sr_set")
    assert (row["tiles"], row["validation_tiles"]) == (24, 5)
    vectors = {row["image_id"]: np.asarray(row["embedding"]) for row in project.rows("sr_tile_embeddings")}
    assert calls == {"embedder.pictures": len(vectors)}
    folder = Path(project.store.pointer("sr_set").provenance.numbers["folder"])
    assert "as told by the embedder clip-vit-b-32-laion2b (sha256 " in (folder / "README.md").read_text()
    parts = parts_in(project)
    likeness = [vectors[one] @ vectors[other] for one in parts["validation"] for other in parts["train"]]
    assert max(likeness) <= 0.9
    repeated = {row["image_id"] for row in project.rows("sr_selection") if row["reason"] == "repeated"}
    assert len(repeated) == 2
    assert all("/again" in it for it in repeated)
    assert {it.partition(".")[0] for part in parts.values() for it in part} == {"first", "second"}

    outcome, calls = project.run(*folders, only=only, **usual | {"sr_selection__amount": 20.0})
    assert outcome.failures == []
    more = {row["image_id"] for row in project.rows("sr_tile_embeddings")} - vectors.keys()
    assert calls.get("embedder.pictures", 0) == len(more) < 10  # where fewer are trained on, more places are free
    project.run(*folders, only=only, **usual, super_resolution__episodes=["first.first"])
    assert {it.partition(".")[0] for part in parts_in(project).values() for it in part} == {"first"}


def parts_in(project: Project) -> dict[str, list[str]]:
    """The tiles of the set by their part."""
    pointer = project.store.pointer("sr_set")
    assert pointer is not None
    parts: dict[str, list[str]] = {}
    for line in json.loads((Path(pointer.provenance.numbers["folder"]) / "manifest.json").read_text())["tiles"]:
        parts.setdefault(line["file"].partition("/")[0], []).append(line["tile_id"])
    return parts


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


@pytest.mark.thorough
@pytest.mark.parametrize("layout", ["vimeo", "trainner"])
def test_sequences_are_frames_of_one_shot_that_follow_one_another(
    sources: tuple[Path, Path, Path], tmp_path: Path, layout: str
):
    project = new_project(tmp_path / "project")
    changes = {"sr_sequences__layout": layout, "sr_sequences__frames": 5, "sr_sequences__min_change": 0.05}
    changes |= {"sr_set__scales": [2], "sr_set__filter": "box", "sr_sequences__most_of_shot": 2}
    changes["sr_sequences__validation_sequences"] = 1
    only = behind("sr_sequences", project.settings(**changes))
    assert only == {"video_probe", "shots", "sr_sequences"}
    outcome, _ = project.run(*sources[:2], only=only, **changes)
    assert outcome.failures == []
    pointer = project.store.pointer("sr_sequences")
    assert pointer is not None
    folder, length = Path(pointer.provenance.numbers["folder"]), 7 if layout == "vimeo" else 5
    frames = {frame.pts: frame.rgb() for frame in iter_frames(sources[1])}
    [episode] = [it for it in project.store.episodes("shots") if project.store.read("shots", it).num_rows]
    shots = [row["frame_pts"] for row in project.store.read("shots", episode).to_pylist()]
    written = sorted(folder.glob("*/hr/**/*.png"), key=lambda it: [len(it.name), it.as_posix()])
    runs: dict[str, list[Path]] = {}
    for path in written:
        runs.setdefault(path.parent.as_posix() if layout == "vimeo" else path.name.partition("_")[0], []).append(path)
    numbers = pointer.provenance.numbers
    assert len(runs) == numbers["sequences"] + numbers["validation_sequences"]
    assert numbers["sequences"] >= numbers["validation_sequences"] == 1
    shots_of: dict[str, set[int]] = {"train": set(), "validation": set()}
    for its in runs.values():
        assert len(its) == length
        pictures = [decode(it.read_bytes()) for it in sorted(its)]
        [first] = [pts for pts, frame in frames.items() if np.array_equal(frame, pictures[0])][:1]
        [shot] = [it for it in shots if first in it]
        shots_of[its[0].relative_to(folder).parts[0]].add(shot[0])
        following = shot[shot.index(first) :][:length]
        assert len(following) == length
        assert all(np.array_equal(frames[at], it) for at, it in zip(following, pictures, strict=True))
        low = decode(Path(sorted(its)[0].as_posix().replace("/hr/", "/x2/")).read_bytes())
        assert np.array_equal(low, downscaled(pictures[0], 2, "box"))
    assert shots_of["validation"]
    assert shots_of["train"].isdisjoint(shots_of["validation"])
