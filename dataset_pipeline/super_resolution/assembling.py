"""A set put together: which tiles are its parts, what its content is, and what an earlier set spares it to draw."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dataset_pipeline.super_resolution.card import FORMAT, MANIFEST
from dataset_pipeline.super_resolution.layout import HR, TRAIN, VALIDATION, Tile, lq_folder, named
from dataset_pipeline.super_resolution.set_files import Earlier, LowQuality, none_earlier
from dataset_pipeline.super_resolution.signatures import as_vectors
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


def parts_of(
    selection: Iterable[Row],
    tiles: Mapping[str, Row],
    signatures: Mapping[str, bytes],
    held: Held,
    higher_is_better: bool = True,
) -> list[Tile]:
    """The tiles of a set with their names, those that are trained on first.

    selection: rows of `sr_selection`. tiles: rows of `sr_tiles` by tile id. Held out are tiles that the selection left
    out, the best ranked first, none of which lies on a place of its picture that is trained on, at whatever scale.
    """
    rows = list(selection)
    chosen = sorted((row for row in rows if row["selected"]), key=lambda row: row["place"])
    trained = named([(tiles[row["tile_id"]], row["score"]) for row in chosen], TRAIN)
    if not held.count:
        return trained
    sign = -1 if higher_is_better else 1
    rest = [row for row in rows if row["reason"] in _JUST_MISSED]
    rest.sort(key=lambda row: (sign * row["score"], row["tile_id"]))
    free = list(_apart([tile.row for tile in trained], [tiles[row["tile_id"]] for row in rest], NEXT_RANKS))
    scores = {row["tile_id"]: row["score"] for row in rest}
    candidates, others = (
        as_vectors([signatures[row["tile_id"]] for row in its]) for its in (free, [tile.row for tile in trained])
    )
    picks = sorted(validation_picks(candidates, others, held.count, held.max_likeness))
    return trained + named([(free[at], scores[free[at]["tile_id"]]) for at in picks], VALIDATION)


def _apart(trained: Iterable[Row], ranked: Iterable[Row], most: int) -> Iterator[Row]:
    """The first of the ranked tiles that share no place of their picture with one that is trained on."""
    places: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for row in trained:
        places[row["image_id"]].append(_place(row))
    found = 0
    for row in ranked:
        if any(_overlap(_place(row), other) for other in places[row["image_id"]]):
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
    return json.loads(json.dumps({"format": FORMAT, **asdict(how)}))


def earlier_in(folder: Path | None, how: LowQuality) -> Earlier:
    """What an earlier set, whose manifest tells how it was drawn, holds of tiles drawn in the same way. A file that
    somebody changed is drawn again, and so are all if that is the manifest."""
    if folder is None:
        return none_earlier
    try:
        sums = checksums_in(folder)
    except (OSError, ValueError):
        return none_earlier
    if (manifest := _unchanged(folder, MANIFEST, sums)) is None:
        return none_earlier
    before = json.loads(manifest)
    if before["about"]["drawn"] != told(how):
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
