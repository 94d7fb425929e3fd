from __future__ import annotations

import json
import tomllib
import zipfile
from collections import Counter
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import yaml

from dataset_pipeline.images.png import encode_png
from dataset_pipeline.images.resize import decode
from dataset_pipeline.settings.degradation import DOWNSCALE
from dataset_pipeline.super_resolution.card import card
from dataset_pipeline.super_resolution.configs import SetFacts, configs, crop_px
from dataset_pipeline.super_resolution.layout import (
    META_INFO,
    SCORES,
    SIZED_META_INFO,
    TRAIN,
    VALIDATION,
    Tile,
    named,
    texts,
)
from dataset_pipeline.super_resolution.low_quality import degraded, downscaled
from dataset_pipeline.super_resolution.set_files import LowQuality, set_files, write_zip
from dataset_pipeline.super_resolution.tiles import plan_tiles, tiles_of
from dataset_pipeline.training.score_cut import TILES, Cut, select_by_score
from dataset_pipeline_tests.super_resolution.drawn_sets import HELD_OUT, NAMES, TRAINED, step, written
from dataset_pipeline_tests.super_resolution.loaders import (
    basicsr_pairs,
    basicsr_single,
    check_png,
    neosr_pairs,
    trainner_pairs,
    trainner_single,
)


def test_names_are_numbers_in_the_order_of_scores_that_sort_so(tiles: list[Tile]):
    assert [tile.file_name for tile in tiles if tile.split == VALIDATION] == ["0.png", "1.png", "2.png"]
    names = [tile.file_name for tile in tiles if tile.split == TRAIN]
    assert names == sorted(names) == [f"{number:02d}.png" for number in range(TRAINED)]
    assert [it.name for it in named([({}, 0.5)] * 10_000, TRAIN)][::9_999] == ["0000", "9999"]
    assert named([], TRAIN) == []


def test_lists_have_the_lines_that_each_trainer_writes_itself(tiles: list[Tile]):
    found = texts(tiles, (2, 4))
    assert found[META_INFO].splitlines()[:2] == ["train/hr/00.png", "train/hr/01.png"]
    assert found[SIZED_META_INFO].splitlines()[0] == "00.png (96,96,3)"
    assert found["meta_info_pairs_x4.txt"].splitlines()[11] == "train/hr/11.png, train/x4/11.png"
    assert found[SCORES].splitlines()[7] == f"07.png\t{tiles[7].score!r}"
    assert {len(text.splitlines()) for text in found.values()} == {TRAINED}


def test_a_set_has_its_tiles_with_the_pixels_of_their_pictures_and_smaller_ones_of_the_same_name(
    folder: Path, tiles: list[Tile], pictures: dict[str, np.ndarray]
):
    for tile in tiles:
        expected = next(tiles_of(pictures[tile.row["image_id"]], [tile.row]))
        assert np.array_equal(decode((folder / tile.path()).read_bytes()), expected)
        for scale in (2, 4):
            assert np.array_equal(decode((folder / tile.path(f"x{scale}")).read_bytes()), downscaled(expected, scale))


def test_nothing_but_plain_pictures_lies_in_folders_of_pictures(folder: Path):
    counts = Counter(path.parent.relative_to(folder).as_posix() for path in folder.glob("*/*/*"))
    parts = {"train": TRAINED, "validation": HELD_OUT}
    assert counts == {f"{part}/{it}": count for part, count in parts.items() for it in ("hr", "x2", "x4")}
    for path in folder.glob("*/*/*"):
        check_png(str(path))


def test_each_picture_is_read_once_and_only_kept_tiles_are_encoded(
    tiles: list[Tile], pictures: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    encoded, read = [], []
    monkeypatch.setattr(
        "dataset_pipeline.super_resolution.set_files.encode_png", lambda picture: encoded.append(picture) or b"png"
    )
    files = list(set_files(tiles, lambda name: read.append(name) or pictures[name], LowQuality((2,))))
    assert sorted(read) == sorted(NAMES)
    assert len(encoded) == 2 * len(tiles)
    assert len(files) == 2 * len(tiles) + 6


@pytest.mark.parametrize("scale", [2, 4])
def test_every_trainer_finds_all_pairs_by_the_settings_written_for_it(folder: Path, scale: int):
    absolute = folder / "absolute"
    expected = [(f"{number:02d}.png", f"{number:02d}.png") for number in range(TRAINED)]
    held_out = [(f"{number}.png", f"{number}.png") for number in range(HELD_OUT)]
    for name, check in (("basicsr", basicsr_pairs), ("trainner_redux", trainner_pairs), ("neosr", neosr_pairs)):
        path = absolute / f"{name}_x{scale}.{'toml' if name == 'neosr' else 'yml'}"
        options = tomllib.loads(path.read_text()) if name == "neosr" else yaml.safe_load(path.read_text())
        assert options["scale"] == scale
        pairs = check(options["datasets"]["train"], scale)
        assert [(Path(gt).name, Path(lq).name) for gt, lq in pairs if lq] == expected
        assert {Path(gt).parent for gt, _ in pairs} == {folder / "train/hr"}
        gt, lq = (options["datasets"]["val"][key] for key in ("dataroot_gt", "dataroot_lq"))
        gt, lq = (it[0] if isinstance(it, list) else it for it in (gt, lq))
        assert [(it.name, it.name) for it in sorted(Path(gt).iterdir())] == held_out
        assert sorted(it.name for it in Path(lq).iterdir()) == [it for it, _ in held_out]


def test_low_quality_made_on_the_fly_never_pads_a_tile(folder: Path):
    options = yaml.safe_load((folder / "absolute/trainner_redux_otf_x4.yml").read_text())
    assert len(trainner_single(options["datasets"]["train"], 4)) == TRAINED
    assert len(basicsr_single(folder / META_INFO, folder)) == TRAINED
    assert options["high_order_degradation"] is True
    assert options["num_gpu"] == "auto"  # traiNNer-redux refuses options without it


@pytest.mark.parametrize(
    ("tile_px", "scale", "margin_px", "side_px"),
    [(512, 4, 0, 64), (512, 4, 32, 64), (256, 4, 32, 56), (96, 4, 32, 16), (100, 3, 0, 32)],
)
def test_a_crop_has_room_in_its_tile(tile_px: int, scale: int, margin_px: int, side_px: int):
    assert crop_px(tile_px, scale, margin_px) == side_px
    assert side_px * scale + margin_px <= tile_px


def test_tiles_without_room_for_a_crop_are_refused():
    with pytest.raises(ValueError, match="tiles of 48 px are too small"):
        crop_px(48, 4, 32)


def test_settings_without_a_folder_name_paths_from_within_the_set():
    found = configs(SetFacts("mine", 512, (4,), validation=False), "")
    assert sorted(found) == ["basicsr_x4.yml", "neosr_x4.toml", "trainner_redux_otf_x4.yml", "trainner_redux_x4.yml"]
    assert yaml.safe_load(found["basicsr_x4.yml"])["datasets"]["train"]["dataroot_gt"] == "train/hr"
    assert tomllib.loads(found["neosr_x4.toml"])["datasets"]["train"]["dataroot_lq"] == "train/x4"
    assert all("val" not in yaml.safe_load(text)["datasets"] for name, text in found.items() if name.endswith("yml"))


def test_the_same_set_has_the_same_bytes_and_so_has_its_archive(
    tmp_path: Path, tiles: list[Tile], pictures: dict[str, np.ndarray]
):
    recipe = (
        step("blur", 0.3, 1.5),
        step(DOWNSCALE),
        step("noise", 1, 5),
        step("jpeg", 50, 90),
    )
    how = LowQuality((2,), "box", recipe, seed=7)
    folders = [written(tmp_path / it, "a set", tiles, pictures, how) for it in ("one", "other")]
    archives = []
    for number, folder in enumerate(folders):
        write_zip(folder / "train", tmp_path / f"{number}.zip")
        archives.append((tmp_path / f"{number}.zip").read_bytes())
    assert (folders[0] / "checksums.sha256").read_bytes() == (folders[1] / "checksums.sha256").read_bytes()
    assert archives[0] == archives[1]
    with zipfile.ZipFile(tmp_path / "0.zip") as archive:
        assert archive.namelist()[0] == "train/hr/00.png"
        assert len(archive.namelist()) == 2 * TRAINED
        assert archive.read("train/x2/03.png") == (folders[0] / "train/x2/03.png").read_bytes()
        assert {it.date_time for it in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert sorted(it.name for it in tmp_path.iterdir()) == ["0.zip", "1.zip", "one", "other"]


@pytest.mark.thorough
def test_a_set_of_10000_of_52000_tiles_encodes_and_writes_10000(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small = SimpleNamespace(  # a set of seed size, at a sixteenth of its sides
        scales=(1, 0.75), shortest_edge_px=32, keep_every_copy=False, tile_px=32, step_px=15, threshold_px=0
    )
    sources = [
        {"image_id": f"show.e1/{n:08d}", "width_px": 64, "height_px": 64, "pixel_sha256": str(n)} for n in range(2000)
    ]
    rows = plan_tiles(sources, small)[1]
    assert len(rows) == 52_000
    scores = np.random.default_rng(1).random(len(rows))
    table = pa.Table.from_pylist(rows).append_column("score", pa.array(scores))
    chosen = select_by_score(table, Cut("keep_best", "count", 10_000), keys=TILES).to_pylist()
    by_id = {row["tile_id"]: row for row in rows}
    best = sorted((row for row in chosen if row["selected"]), key=lambda row: row["place"])
    parts = named([(by_id[row["tile_id"]], row["score"]) for row in best], TRAIN)
    encoded = Counter()

    def counting(picture: np.ndarray) -> bytes:
        encoded[picture.shape[0]] += 1
        return encode_png(picture)

    monkeypatch.setattr("dataset_pipeline.super_resolution.set_files.encode_png", counting)
    drawn = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    folder = written(
        tmp_path, "large", parts, dict.fromkeys((it["image_id"] for it in sources), drawn), LowQuality((2,))
    )
    assert encoded == {32: 10_000, 16: 10_000}
    assert len(list((folder / "train/hr").iterdir())) == len((folder / META_INFO).read_text().splitlines()) == 10_000


def test_a_codec_of_the_recipe_sees_the_frames_around(tiles: list[Tile], pictures: dict[str, np.ndarray]):
    asked = []

    def around(image_id: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
        asked.append(image_id)
        frames = [np.roll(pictures[image_id], shift, axis=1) for shift in (-12, -6, 6, 12)]
        return frames[:2], frames[2:]

    how = LowQuality((2,), recipe=(step(DOWNSCALE), step("h264", 30, 30)))
    with_run = {it.path: it.content for it in set_files(tiles, pictures.__getitem__, how, around)}
    alone = {it.path: it.content for it in set_files(tiles, pictures.__getitem__, how)}
    assert sorted(asked) == sorted(NAMES)
    for tile in tiles:
        assert with_run[tile.path()] == alone[tile.path()]
        low, plain = (decode(it[tile.path("x2")]).astype(int) for it in (with_run, alone))  # type: ignore[arg-type]
        assert not np.array_equal(low, plain)
        assert np.abs(low - plain).mean() < 12
    list(set_files(tiles, pictures.__getitem__, LowQuality((2,)), around))
    assert len(asked) == len(NAMES)


def test_the_manifest_tells_where_each_tile_comes_from_and_what_was_done_to_it(
    tiles: list[Tile], pictures: dict[str, np.ndarray]
):
    how = LowQuality(
        (2, 4),
        "box",
        (step("blur", 1, 2, 0.5), step(DOWNSCALE), step("jpeg", 60, 90)),
        seed=3,
    )
    files = {it.path: it.content for it in set_files(tiles, pictures.__getitem__, how, about={"scores": "piqe"})}
    told = json.loads(files["manifest.json"])  # type: ignore[arg-type]
    assert told["about"] == {"scores": "piqe"}
    assert [it["step"] for it in told["recipe"]] == ["blur", "downscale", "jpeg"]
    assert [it["file"] for it in told["tiles"]] == sorted(tile.path() for tile in tiles)
    by_file = {tile.path(): tile for tile in tiles}
    for line in told["tiles"]:
        tile = by_file[line["file"]]
        assert (line["tile_id"], line["score"]) == (tile.row["tile_id"], tile.score)
        for scale in (2, 4):
            pixels = next(tiles_of(pictures[line["image_id"]], [tile.row]))
            drawn, applied = degraded([pixels], 0, scale, how.recipe, how.seed, line["tile_id"], "box")
            assert np.array_equal(decode(files[tile.path(f"x{scale}")]), drawn)  # type: ignore[arg-type]
            expected = [{"step": it.kind, "strength": it.strength} for it in applied]
            assert line["low_quality"][f"x{scale}"] == expected


def test_the_card_tells_what_lies_where_and_how_low_quality_was_made(tiles: list[Tile]):
    recipe = (step("blur", 0.5, 2, 0.25), step(DOWNSCALE))
    text = card(tiles, (2, 4), "bicubic", recipe, held_out_by="the embedder a-tower")
    assert "like those in `train/`, as told by the embedder a-tower." in text
    for split, count in ((TRAIN, TRAINED), (VALIDATION, HELD_OUT)):
        mean = fmean(tile.score for tile in tiles if tile.split == split)
        assert all(f"| {split}/{folder} | {count} | {mean:.4f} |\n" in text for folder in ("hr", "x2", "x4"))
    assert "Tiles of 96 x 96 pixels" in text
    assert "went through: blur 0.5 to 2 (25 %), downscale." in text
    assert "validation" not in card([it for it in tiles if it.split == TRAIN], (2,), "box", ())
    assert "not changed otherwise" in card(tiles, (2,), "box", ())
    assert "left to the trainer" in card(tiles, (), "box", ())
