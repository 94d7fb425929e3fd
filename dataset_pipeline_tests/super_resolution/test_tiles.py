from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from dataset_pipeline.super_resolution.tiles import (
    ENLARGED,
    SAME_SIZE,
    SHORTEST_EDGE,
    SMALLER_THAN_TILE,
    TILED,
    copies_of,
    offsets,
    plan_tiles,
    tiles_of,
)


@dataclass(frozen=True)
class Settings:
    scales: tuple[float, ...] = (1, 0.75)
    shortest_edge_px: int = 512
    keep_every_copy: bool = False
    tile_px: int = 512
    step_px: int = 240
    threshold_px: int = 0


SEED = Settings()


def source(name: str, width_px: int, height_px: int) -> dict:
    return {"image_id": name, "width_px": width_px, "height_px": height_px, "pixel_sha256": f"pixels of {name}"}


def sizes(width_px: int, height_px: int, settings: Settings) -> list[tuple[int, int]]:
    return [(it.width_px, it.height_px) for it in copies_of(width_px, height_px, settings) if not it.reason]


def noise(width_px: int, height_px: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height_px, width_px, 3), np.uint8)


def test_two_thousand_squares_of_1024_px_make_six_thousand_copies_and_52000_tiles():
    copies, tiles = plan_tiles((source(f"show.e1/{number:08d}", 1024, 1024) for number in range(2000)), SEED)
    assert len(copies) == 6_000
    assert Counter(row["copy_width_px"] for row in tiles) == {1024: 32_000, 768: 18_000, 512: 2_000}
    assert len({row["tile_id"] for row in tiles}) == 52_000


@pytest.mark.parametrize(("step_px", "tiles"), [(171, 26), (240, 26), (255, 26), (256, 14), (512, 9)])
def test_one_square_of_1024_px_gives_16_and_9_and_1_tiles_by_the_usual_step(step_px: int, tiles: int):
    copies, rows = plan_tiles([source("a.b/c", 1024, 1024)], replace(SEED, step_px=step_px))
    assert len(rows) == tiles == sum(row["tiles"] for row in copies)
    if step_px == 240:
        assert [row["tiles"] for row in copies] == [16, 9, 1]


def test_tiles_begin_at_each_step_and_the_last_one_lies_flush_with_the_edge():
    assert offsets(1024, SEED) == [0, 240, 480, 512]
    assert offsets(768, SEED) == [0, 240, 256]
    assert offsets(512, SEED) == [0]
    assert offsets(511, SEED) == []
    assert offsets(1920, SEED) == [0, 240, 480, 720, 960, 1200, 1408]
    assert offsets(1080, SEED) == [0, 240, 480, 568]
    assert len(plan_tiles([source("a.b/c", 1920, 1080)], replace(SEED, scales=(1,), shortest_edge_px=0))[1]) == 28


def test_what_is_left_at_the_edge_makes_no_tile_unless_it_is_more_than_the_threshold():
    assert offsets(1080, replace(SEED, threshold_px=88)) == [0, 240, 480]
    assert offsets(1080, replace(SEED, threshold_px=87)) == [0, 240, 480, 568]


def test_tiles_of_any_side_lie_where_basicsrs_script_puts_them():
    rng = np.random.default_rng(6)
    for length, tile, step, threshold in rng.integers((64, 32, 8, 0), (2000, 600, 500, 200), (300, 4)).tolist():
        expected = []
        if length >= tile:
            space = np.arange(0, length - tile + 1, step)
            if length - (space[-1] + tile) > threshold:
                space = np.append(space, length - tile)
            expected = space.tolist()
        assert offsets(length, Settings(tile_px=tile, step_px=step, threshold_px=threshold)) == expected


def test_sides_of_copies_are_cut_to_whole_pixels():
    assert sizes(1024, 1024, SEED) == [(1024, 1024), (768, 768), (512, 512)]
    assert sizes(1920, 1080, SEED) == [(1920, 1080), (1440, 810), (910, 512)]
    assert sizes(1080, 1920, SEED) == [(1080, 1920), (810, 1440), (512, 910)]
    assert sizes(1920, 1080, replace(SEED, scales=(1 / 3,), shortest_edge_px=400)) == [(640, 360), (711, 400)]


def test_the_copy_by_its_short_side_is_made_once_and_never_enlarged_unless_every_copy_is_kept():
    halved = replace(SEED, scales=(1, 0.75, 0.5))
    assert [(it.name, it.reason) for it in copies_of(1024, 1024, halved)][-2:] == [
        ("0.5", ""),
        (SHORTEST_EDGE, SAME_SIZE),
    ]
    assert copies_of(1024, 512, SEED)[-1].reason == SAME_SIZE
    assert copies_of(600, 400, SEED)[-1].reason == ENLARGED
    as_the_script = replace(halved, keep_every_copy=True)
    assert sizes(1024, 1024, as_the_script) == [(1024, 1024), (768, 768), (512, 512), (512, 512)]
    assert sizes(600, 400, as_the_script)[-1] == (768, 512)
    tiles = plan_tiles([source("a.b/c", 1024, 1024)], as_the_script)[1]
    assert len({row["tile_id"] for row in tiles}) == len(tiles) == 27


def test_a_copy_that_is_smaller_than_a_tile_is_told_and_has_none():
    copies, tiles = plan_tiles([source("a.b/c", 640, 500), source("a.b/d", 640, 600)], replace(SEED, scales=(1,)))
    assert [(row["image_id"], row["reason"], row["tiles"]) for row in copies] == [
        ("a.b/c", SMALLER_THAN_TILE, 0),
        ("a.b/c", ENLARGED, 0),
        ("a.b/d", TILED, 4),
        ("a.b/d", TILED, 2),
    ]
    assert {row["image_id"] for row in tiles} == {"a.b/d"}


def test_a_tile_of_the_whole_size_has_the_pixels_of_its_picture_and_a_scaled_one_those_of_its_copy():
    picture = noise(960, 640)
    rows = plan_tiles([source("a.b/c", 960, 640)], replace(SEED, tile_px=128, step_px=100))[1]
    copies = {
        size: np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
        for size in ((720, 480), (768, 512))
    } | {(960, 640): picture}
    tiles = list(tiles_of(picture, rows))
    assert len(tiles) == len(rows) > 100
    for tile, row in zip(tiles, rows, strict=True):
        copy = copies[row["copy_width_px"], row["copy_height_px"]]
        assert np.array_equal(tile, copy[row["y_px"] : row["y_px"] + 128, row["x_px"] : row["x_px"] + 128])


def test_all_tiles_together_cover_their_copy_and_keep_nothing_of_the_picture_alive():
    picture = noise(700, 530)
    settings = replace(SEED, scales=(1,), shortest_edge_px=0, tile_px=128, step_px=90)
    rows = plan_tiles([source("a.b/c", 700, 530)], settings)[1]
    seen = np.zeros_like(picture)
    for tile, row in zip(tiles_of(picture, rows), rows, strict=True):
        assert tile.base is None
        seen[row["y_px"] : row["y_px"] + 128, row["x_px"] : row["x_px"] + 128] = tile
    assert np.array_equal(seen, picture)


def test_a_picture_is_scaled_once_for_each_copy(monkeypatch: pytest.MonkeyPatch):
    scaled = []
    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda it, size, *how: scaled.append(size) or resize(it, size, *how))
    rows = plan_tiles([source("a.b/c", 960, 640)], replace(SEED, tile_px=128))[1]
    assert len(list(tiles_of(noise(960, 640), rows))) == len(rows)
    assert scaled == [(720, 480), (768, 512)]


def test_a_tile_that_sticks_out_of_its_copy_is_refused():
    row = plan_tiles([source("a.b/c", 512, 512)], SEED)[1][0]
    with pytest.raises(ValueError, match="sticks out"):
        list(tiles_of(noise(512, 512), [row | {"x_px": 1}]))
    with pytest.raises(ValueError, match="sticks out"):
        list(tiles_of(noise(512, 512), [row | {"y_px": -1}]))
