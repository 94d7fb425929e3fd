"""The files of a super-resolution set, drawn one picture at a time, and a set as one archive."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_pipeline.base.parallel import map_ahead
from dataset_pipeline.base.paths import long_path, replace
from dataset_pipeline.images.png import encode_png
from dataset_pipeline.settings.degradation import DegradationStep
from dataset_pipeline.super_resolution.card import CARD, MANIFEST, card, entry, manifest
from dataset_pipeline.super_resolution.layout import Tile, lq_folder, texts
from dataset_pipeline.super_resolution.low_quality import Applied, Filter, degraded, downscaled
from dataset_pipeline.super_resolution.recode import CODECS
from dataset_pipeline.super_resolution.releases import own_low
from dataset_pipeline.super_resolution.tiles import tiles_of
from dataset_pipeline.training.exporters.folder import ABSOLUTE, File, files_in

# The files and the line of the manifest of a tile that an earlier set holds; None for others.
Earlier = Callable[[Tile], tuple[list[File], dict[str, Any]] | None]
# The frames before and after an image in its shot, each of its size; none for a picture of a folder.
Around = Callable[[str], tuple[Sequence[np.ndarray], Sequence[np.ndarray]]]

# The low picture of an image that has one of its own, at the set's one scale.
LowOf = Callable[[str], np.ndarray]

FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
_READABLE = 0o644 << 16


@dataclass(frozen=True)
class LowQuality:
    """How low-quality pictures are made. scales: at 1/2, 1/4, ... of the size, each in a folder of its own; none: the
    trainer makes them as it goes. recipe: without one they are only made smaller. seed: of its draws. own: what tells
    the pixels of low pictures that are there already (`LowOf`), a hash; empty where they are drawn."""

    scales: tuple[int, ...] = ()
    filter: Filter = "bicubic"
    recipe: tuple[DegradationStep, ...] = ()
    seed: int = 0
    own: str = ""


def alone(image_id: str) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray]]:
    """An image without neighbours."""
    return (), ()


def none_earlier(tile: Tile) -> None:
    """No tile was drawn before."""


def set_files(
    tiles: Sequence[Tile],
    read: Callable[[str], np.ndarray],
    how: LowQuality,
    around: Around = alone,
    about: Mapping[str, Any] | None = None,
    threads: int = 2,
    earlier: Earlier = none_earlier,
    low_of: LowOf | None = None,
) -> Iterator[File]:
    """Every file of a set: the tiles, their low-quality pictures, the lists, the manifest and the card. Each picture is
    read once, and only kept tiles are encoded.

    read: an image's picture by its id, uint8 [height, width, 3] RGB. around: its neighbours, asked for only if a step
    of the recipe is a video codec. about: what the manifest tells of the set, and of it `held_out_by` the card too.
    threads: that draw and encode. earlier: what was drawn before; of a picture with nothing to draw nothing is read.
    low_of: where low-quality pictures are not drawn. Raises ValueError for sides that do not divide by a scale.
    """
    entries, absent = [], []
    for tile in tiles:
        if known := earlier(tile):
            entries.append(known[1])
            yield from known[0]
        else:
            absent.append(tile)
    runs = _runs(absent, read, around if any(step.kind in CODECS for step in how.recipe) else alone)
    pairs = ((*run, None) for run in runs) if low_of is None else _pairs(absent, read, low_of, *how.scales)
    for files, told in map_ahead(lambda it: _drawn(*it, how), pairs, threads, threads):
        entries.append(told)
        yield from files
    lists = texts(tiles, how.scales)
    lists |= {
        MANIFEST: manifest(entries, how.recipe, about or {}),
        CARD: card(tiles, how.scales, how.filter, how.recipe, bool(how.own), (about or {}).get("held_out_by", "")),
    }
    yield from (File(name, text.encode()) for name, text in lists.items())


def _by_image(tiles: Sequence[Tile]) -> Iterator[tuple[str, list[Tile]]]:
    """Images with their tiles, copy by copy; of an episode in the order of time."""
    by_image: dict[str, list[Tile]] = defaultdict(list)
    for tile in tiles:
        by_image[tile.row["image_id"]].append(tile)
    for image_id, its in sorted(by_image.items()):
        yield (
            image_id,
            sorted(its, key=lambda tile: (tile.row["copy_width_px"], tile.row["copy_height_px"], tile.path())),
        )


def _pairs(
    tiles: Sequence[Tile], read: Callable[[str], np.ndarray], low_of: LowOf, scale: int
) -> Iterator[tuple[Tile, list[np.ndarray], int, np.ndarray]]:
    """As `_runs`, each tile alone, with its own low picture."""
    for image_id, its in _by_image(tiles):
        low = low_of(image_id)
        for tile, pixels in zip(its, tiles_of(read(image_id), [tile.row for tile in its]), strict=True):
            yield tile, [pixels], 0, own_low(tile.row, low, scale)


def _runs(
    tiles: Sequence[Tile], read: Callable[[str], np.ndarray], around: Around
) -> Iterator[tuple[Tile, list[np.ndarray], int]]:
    """Each tile with its pixels among those of the frames around, and the number of its own; picture by picture."""
    for image_id, its in _by_image(tiles):
        before, after = around(image_id)
        cut = [tiles_of(frame, [tile.row for tile in its]) for frame in (*before, read(image_id), *after)]
        for tile, *run in zip(its, *cut, strict=True):
            yield tile, run, len(before)


def _drawn(
    tile: Tile, run: list[np.ndarray], at: int, own: np.ndarray | None, how: LowQuality
) -> tuple[list[File], dict[str, Any]]:
    """The files of a tile and its line of the manifest. own: its low picture, if that is not drawn."""
    tile_id = tile.row["tile_id"]
    files = [File(tile.path(), encode_png(run[at]), of=tile_id)]
    applied: dict[int, list[Applied]] = {}
    for scale in how.scales:
        if own is not None:
            pixels, applied[scale] = own, []
        elif how.recipe:
            pixels, applied[scale] = degraded(run, at, scale, how.recipe, how.seed, tile_id, how.filter)
        else:
            pixels, applied[scale] = downscaled(run[at], scale, how.filter), []
        files.append(File(tile.path(lq_folder(scale)), encode_png(pixels), of=tile_id))
    return files, entry(tile, applied)


def write_zip(folder: Path, target: Path) -> None:
    """All files below the folder, but for texts that name its place, as one archive, in the order of their paths,
    without compression, as PNG has its own, and with fixed dates: equal sets give equal bytes wherever they lie. The
    archive appears when it is whole."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        with zipfile.ZipFile(long_path(partial), "w", zipfile.ZIP_STORED) as archive:
            for path, file in files_in(folder).items():
                if path.startswith(f"{ABSOLUTE}/"):
                    continue
                entry = zipfile.ZipInfo(f"{folder.name}/{path}", FIRST_DATE)
                entry.create_system, entry.external_attr, entry.file_size = 3, _READABLE, file.stat().st_size
                with archive.open(entry, "w") as out, file.open("rb") as content:
                    while block := content.read(1 << 20):
                        out.write(block)
        replace(partial, target)
    finally:
        long_path(partial).unlink(missing_ok=True)
