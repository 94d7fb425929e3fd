"""A set put together: which tiles are its parts, what its content is, and what an earlier set spares it to draw."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dataset_pipeline.images.png import is_whole
from dataset_pipeline.super_resolution.card import FORMAT, MANIFEST, entry
from dataset_pipeline.super_resolution.layout import HR, TRAIN, VALIDATION, Tile, lq_folder, named
from dataset_pipeline.super_resolution.low_quality import applied_to
from dataset_pipeline.super_resolution.set_files import Earlier, LowQuality, none_earlier
from dataset_pipeline.super_resolution.validation import NEXT_RANKS, validation_picks
from dataset_pipeline.training.exporters.folder import ExportError, File, checksums_in, content_hash, within
from dataset_pipeline.training.score_cut import ENOUGH_ROWS, LOW_SCORE, SOURCE_FULL, STRATUM_FULL

_JUST_MISSED = frozenset({LOW_SCORE, ENOUGH_ROWS, STRATUM_FULL, SOURCE_FULL})  # and nothing else speaks against them
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Held:
    """How many tiles are held out at most, and how alike one may be to a tile that is trained on."""

    count: int
    max_likeness: float


def compared(
    selection: Iterable[Row], tiles: Mapping[str, Row], validation_tiles: int, higher_is_better: bool = True
) -> tuple[list[Row], list[Row]]:
    """(the tiles that are trained on, those that may be held out): rows of `sr_selection`, each the best first.

    tiles: rows of `sr_tiles` by tile id. What may be held out just missed the selection, and lies on no place of its
    picture that is trained on, at whatever scale.
    """
    rows = list(selection)
    chosen = sorted((row for row in rows if row["selected"]), key=lambda row: row["place"])
    if not validation_tiles:
        return chosen, []
    sign = -1 if higher_is_better else 1
    rest = [row for row in rows if row["reason"] in _JUST_MISSED]
    rest.sort(key=lambda row: (sign * row["score"], row["tile_id"]))
    most = max(NEXT_RANKS, 2 * validation_tiles)
    return chosen, list(_apart(chosen, rest, tiles, most))


def parts_of(
    selection: Iterable[Row],
    tiles: Mapping[str, Row],
    vectors: Mapping[str, np.ndarray],
    held: Held,
    higher_is_better: bool = True,
) -> list[Tile]:
    """The tiles of a set with their names, those that are trained on first.

    selection: rows of `sr_selection`. tiles: rows of `sr_tiles` by tile id. vectors: of length 1, by tile id, which
    tell how alike tiles are; a tile without one is not held out. Held out are tiles as `compared` gives them.
    """
    chosen, free = compared(selection, tiles, held.count, higher_is_better)
    trained = named([(tiles[row["tile_id"]], row["score"]) for row in chosen], TRAIN)
    free = [row for row in free if row["tile_id"] in vectors]
    if not free:
        return trained
    others = [vectors[row["tile_id"]] for row in chosen if row["tile_id"] in vectors]
    candidates = np.stack([vectors[row["tile_id"]] for row in free])
    against = np.stack(others) if others else candidates[:0]
    picks = sorted(validation_picks(candidates, against, held.count, held.max_likeness))
    return trained + named([(tiles[free[at]["tile_id"]], free[at]["score"]) for at in picks], VALIDATION)


def _apart(trained: Iterable[Row], ranked: Iterable[Row], tiles: Mapping[str, Row], most: int) -> Iterator[Row]:
    """The first of the ranked tiles that share no place of their picture with one that is trained on."""
    places: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for row in trained:
        tile = tiles[row["tile_id"]]
        places[tile["image_id"]].append(_place(tile))
    found = 0
    for row in ranked:
        tile = tiles[row["tile_id"]]
        if any(_overlap(_place(tile), other) for other in places[tile["image_id"]]):
            continue
        yield row
        found += 1
        if found == most:
            return


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two boxes of left, top, right, bottom share more than an edge."""
    return all(one[side] < other[side + 2] and other[side] < one[side + 2] for side in (0, 1))


def _place(tile: Row) -> tuple[float, float, float, float]:
    """Left, top, right and bottom as shares of the picture, whatever the scale of the copy."""
    width, height, side = tile["copy_width_px"], tile["copy_height_px"], tile["side_px"]
    return tile["x_px"] / width, tile["y_px"] / height, (tile["x_px"] + side) / width, (tile["y_px"] + side) / height


def content_of(tiles: Sequence[Tile], how: LowQuality) -> str:
    """A hash of all that the pictures of a set and their names depend on."""
    return content_hash([told(how), [[tile.path(), tile.score, dict(tile.row)] for tile in tiles]])


def told(how: LowQuality) -> dict[str, Any]:
    """How tiles are drawn, as JSON keeps it."""
    recipe = [step.model_dump() for step in how.recipe]
    return json.loads(json.dumps({"format": FORMAT, **asdict(how), "recipe": recipe}))


def first_of(found: Sequence[Earlier]) -> Earlier:
    """What the first of them holds that holds a tile."""

    def earlier(tile: Tile) -> tuple[list[File], dict[str, Any]] | None:
        return next((it for one in found if (it := one(tile))), None)

    return earlier


def begun_in(folder: Path, how: LowQuality) -> Earlier:
    """What a run that was interrupted has written of the same set into its folder: tiles of which every picture is
    whole."""

    def earlier(tile: Tile) -> tuple[list[File], dict[str, Any]] | None:
        paths = [tile.path(it) for it in (HR, *map(lq_folder, how.scales))]
        try:
            contents = {path: (folder / path).read_bytes() for path in paths}
        except OSError:
            return None
        if not all(map(is_whole, contents.values())):
            return None
        tile_id = tile.row["tile_id"]
        files = [File(path, content, of=tile_id) for path, content in contents.items()]
        steps = applied_to(how.recipe, how.seed, tile_id)
        return files, entry(tile, dict.fromkeys(how.scales, steps) if how.recipe else {})

    return earlier


def earlier_in(folder: Path, how: LowQuality) -> Earlier:
    """What an earlier set, whose manifest tells how it was drawn, holds of tiles drawn in the same way. A file that
    somebody changed is drawn again, and so are all if that is the manifest."""
    try:
        sums = checksums_in(folder)
    except (OSError, ValueError):
        return none_earlier
    if (manifest := _unchanged(folder, MANIFEST, sums)) is None:
        return none_earlier
    before = json.loads(manifest)
    if before["about"].get("drawn") != told(how):
        return none_earlier
    lines = {(line["tile_id"], line["pixel_sha256"]): line for line in before["tiles"]}
    folders = (HR, *map(lq_folder, how.scales))

    def earlier(tile: Tile) -> tuple[list[File], dict[str, Any]] | None:
        line = lines.get((tile.row["tile_id"], tile.row["pixel_sha256"]))
        if line is None:
            return None
        split, _, name = PurePosixPath(line["file"]).parts
        contents = {it: _unchanged(folder, f"{split}/{it}/{name}", sums) for it in folders}
        if any(content is None for content in contents.values()):
            return None
        files = [File(tile.path(it), content or b"", of=tile.row["tile_id"]) for it, content in contents.items()]
        return files, {**line, "file": tile.path(), "score": tile.score}

    return earlier


def _unchanged(folder: Path, path: str, sums: Mapping[str, str]) -> bytes | None:
    """A file of a set, if it is the one that was written."""
    try:
        content = within(folder, path, str(folder)).read_bytes()
    except (OSError, ExportError):
        return None
    return content if hashlib.sha256(content).hexdigest() == sums.get(path) else None
