"""Which tiles are a set's parts, and what an earlier set spares it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dataset_pipeline.super_resolution.assembling import Held, content_of, earlier_in, parts_of, told
from dataset_pipeline.super_resolution.layout import TRAIN, VALIDATION, Tile, named
from dataset_pipeline.super_resolution.reading import TileReader
from dataset_pipeline.super_resolution.set_files import LowQuality, none_earlier, set_files
from dataset_pipeline.super_resolution.signatures import as_vectors
from dataset_pipeline.super_resolution.tiles import plan_tiles
from dataset_pipeline.training.exporters.folder import File, write_folder
from dataset_pipeline_tests.super_resolution.drawn_sets import NAMES, Settings

HOW = LowQuality((2,))
NONE_HELD = Held(0, 1.0)


def rows_of(tiles: dict[str, dict], selected: int) -> list[dict[str, Any]]:
    """A selection of the first so many tiles; the score falls from tile to tile."""
    return [
        {"tile_id": it, "score": 1 - n / 100, "selected": n < selected, "place": n if n < selected else None}
        | {"reason": "selected" if n < selected else "enough"}
        for n, it in enumerate(tiles)
    ]


def planned(images: int = 3) -> dict[str, dict]:
    sources = [{"image_id": it, "width_px": 256, "height_px": 192, "pixel_sha256": it} for it in NAMES[:images]]
    return {row["tile_id"]: row for row in plan_tiles(sources, Settings())[1]}


def place(tile: Tile) -> tuple[float, float, float, float]:
    row = tile.row
    scale = row["copy_width_px"] / 256
    return tuple(round(it / scale, 3) for it in (row["x_px"], row["y_px"], row["x_px"] + 96, row["y_px"] + 96))  # type: ignore[return-value]


def test_what_is_held_out_shares_no_place_with_what_is_trained_on_and_is_like_none_of_it():
    tiles = planned()
    rng = np.random.default_rng(3)
    signatures = {it: rng.integers(0, 255, 256, np.uint8).tobytes() for it in tiles}
    chosen = [it for it in tiles if it.startswith(NAMES[0])][:3]
    order = dict.fromkeys([*chosen, *tiles])
    blocky = next(it for it in tiles if it.startswith(NAMES[2]))
    twin = next(it for it in tiles if it.startswith(NAMES[1]))
    signatures[twin] = signatures[chosen[0]]
    rows = [
        row | ({"reason": "blocky"} if row["tile_id"] == blocky else {})
        for row in rows_of({it: tiles[it] for it in order}, 3)
    ]
    vectors = dict(zip(signatures, as_vectors(list(signatures.values())), strict=True))
    parts = parts_of(rows, tiles, vectors, Held(5, 0.9))
    trained, held = ([it for it in parts if it.split == split] for split in (TRAIN, VALIDATION))
    assert [it.row["tile_id"] for it in trained] == chosen
    assert len(held) == 5
    assert not {twin, blocky}.intersection(it.row["tile_id"] for it in held)
    assert [it.name for it in held] == ["0", "1", "2", "3", "4"]
    assert sorted((it.score for it in held), reverse=True) == [it.score for it in held]
    unknown = next(it.row["tile_id"] for it in held)
    without = parts_of(rows, tiles, {it: v for it, v in vectors.items() if it != unknown}, Held(5, 0.9))
    assert unknown not in {it.row["tile_id"] for it in without}
    for one in held:
        for other in trained:
            assert vectors[one.row["tile_id"]] @ vectors[other.row["tile_id"]] <= 0.9
            if one.row["image_id"] == other.row["image_id"]:
                left, top, right, bottom = place(one)
                x0, y0, x1, y1 = place(other)
                assert right <= x0 or x1 <= left or bottom <= y0 or y1 <= top


def test_a_selection_becomes_names_by_its_places():
    tiles = planned(1)
    parts = parts_of(rows_of(tiles, 4)[::-1], tiles, {}, NONE_HELD)
    assert [(it.name, it.row["tile_id"]) for it in parts] == list(zip("0123", tiles, strict=False))
    assert content_of(parts, HOW) != content_of(parts[:3], HOW)
    assert content_of(parts, HOW) != content_of(parts, LowQuality((2,), "box"))


def written(root: Path, name: str, tiles: list[Tile], pictures: dict[str, np.ndarray], before: Path | None) -> Path:
    earlier = earlier_in(before, HOW) if before else none_earlier
    about = {"drawn": told(HOW)}
    return write_folder(
        root,
        name,
        lambda partial: set_files(tiles, pictures.__getitem__, HOW, about=about, earlier=earlier),
        lambda folder: {},
        lambda folder: [],
    )[0]


def test_a_set_of_another_size_draws_only_what_the_one_before_lacks_and_is_the_same_as_drawn_anew(
    tmp_path: Path, pictures: dict[str, np.ndarray]
):
    tiles = planned()
    first = written(tmp_path, "first", parts_of(rows_of(tiles, 8), tiles, {}, NONE_HELD), pictures, None)
    parts = parts_of(rows_of(tiles, 12), tiles, {}, NONE_HELD)
    earlier = earlier_in(first, HOW)
    assert [earlier(it) is None for it in parts] == [False] * 8 + [True] * 4
    again, anew = (written(tmp_path, it, parts, pictures, before) for it, before in (("again", first), ("anew", None)))
    assert (again / "checksums.sha256").read_bytes() == (anew / "checksums.sha256").read_bytes()


def test_what_somebody_changed_in_the_set_before_and_what_is_drawn_otherwise_is_drawn_again(
    tmp_path: Path, pictures: dict[str, np.ndarray]
):
    tiles = planned(1)
    parts = parts_of(rows_of(tiles, 4), tiles, {}, NONE_HELD)
    folder = written(tmp_path, "first", parts, pictures, None)
    (folder / parts[1].path("x2")).write_bytes(b"touched")
    (folder / parts[2].path()).unlink()
    assert [earlier_in(folder, HOW)(it) is None for it in parts] == [False, True, True, False]
    assert earlier_in(folder, LowQuality((2,), "box"))(parts[0]) is None
    other_pixels = named([({**parts[0].row, "pixel_sha256": "other"}, 1.0)], TRAIN)[0]
    assert earlier_in(folder, HOW)(other_pixels) is None
    (folder / "manifest.json").write_text("{}")
    assert earlier_in(folder, HOW)(parts[0]) is None
    assert earlier_in(tmp_path / "gone", HOW)(parts[0]) is None


def test_a_set_that_is_stopped_in_the_middle_leaves_nothing(tmp_path: Path, pictures: dict[str, np.ndarray]):
    tiles = planned()
    parts = parts_of(rows_of(tiles, 12), tiles, {}, NONE_HELD)

    def stopped() -> list[File]:
        files = set_files(parts, pictures.__getitem__, HOW)
        return [next(files) for _ in range(5)]

    def files(partial: Path):
        yield from stopped()
        raise KeyboardInterrupt

    try:
        write_folder(tmp_path, "set", files, lambda folder: {}, lambda folder: [])
    except KeyboardInterrupt:
        assert list(tmp_path.iterdir()) == []
    else:
        raise AssertionError("it went on")


def test_a_picture_is_read_once_for_all_its_tiles_and_never_parted(pictures: dict[str, np.ndarray]):
    tiles = planned()
    read: list[str] = []
    reader = TileReader(tiles, lambda it: read.append(it) or pictures[it])
    chunks = list(reader.in_chunks(sorted(tiles), 5))
    assert [it for chunk in chunks for it in chunk] == sorted(tiles)
    assert [{tiles[it]["image_id"] for it in chunk} for chunk in chunks] == [{name} for name in NAMES]
    for chunk in chunks:
        for tile_id, tile in zip(chunk, reader.tiles(chunk), strict=True):
            assert tile.shape == (96, 96, 3)
            assert np.array_equal(tile, reader.tile(tile_id))
    assert read == list(NAMES)
