"""How many faces (by detections) and people (by tags) each image shows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute

from dataset_pipeline.base.tag_words import is_people_count, other_counts, people_number

pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them


class Faces(NamedTuple):
    """height_share: of the largest, by the image's height; 0 without any."""

    count: int = 0
    height_share: float = 0.0


def face_sizes(
    detections: pa.Table, images: Iterable[Mapping[str, Any]], min_score: float
) -> dict[str, list[tuple[float, float]]]:
    """Width and height of the faces of each image that shows any, in pixels of its still, by image id.

    images: rows of `images`. An image shows the faces of `min_score` and more whose box has its centre within it.
    """
    found = detections.filter(
        pc.and_(pc.equal(detections["kind"], "face"), pc.greater_equal(detections["score"], min_score))
    )
    corners = (found[name].to_pylist() for name in ("image_id", "x0_px", "y0_px", "x1_px", "y1_px"))
    by_still: dict[str, list[tuple[float, float, float, float]]] = {}
    for still_id, x0, y0, x1, y1 in zip(*corners, strict=True):
        by_still.setdefault(still_id, []).append(((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0))
    sizes = {}
    for row in images:
        shown = [
            (width, height)
            for x, y, width, height in by_still.get(row["still_id"], ())
            if 0 <= x - row["x_px"] < row["width_px"] and 0 <= y - row["y_px"] < row["height_px"]
        ]
        if shown:
            sizes[row["image_id"]] = shown
    return sizes


def faces_on(detections: pa.Table, images: Sequence[Mapping[str, Any]], min_score: float) -> dict[str, Faces]:
    """The faces of each image that shows any, as `face_sizes` finds them, by image id."""
    sizes = face_sizes(detections, images, min_score)
    return {
        row["image_id"]: Faces(len(shown), min(1.0, max(height for _, height in shown) / row["height_px"]))
        for row in images
        if (shown := sizes.get(row["image_id"]))
    }


def people_on(tag_scores: pa.Table, hand_edited: pa.Table, threshold: float) -> dict[str, int]:
    """How many people are on each image that has tags, by image id; 6 = six and more.

    The tags a person wrote count before a tagger's, of which those from `threshold` on count that no more probable one
    contradicts, as in captions.
    """
    written = zip(*(hand_edited[name].to_pylist() for name in ("image_id", "tags")), strict=True)
    return _by_tagger(tag_scores, threshold) | {image_id: people_number(tags) for image_id, tags in written}


def _by_tagger(tag_scores: pa.Table, threshold: float) -> dict[str, int]:
    """A column at a time: of an image's dozens of tags one or two count people."""
    lists = tag_scores["tags"].combine_chunks()
    items = lists.flatten()
    tags = items.field("tag").dictionary_encode()
    counting = np.array([is_people_count(tag) for tag in tags.dictionary.to_pylist()], dtype=bool)
    general = pc.and_(pc.equal(items.field("category"), "general"), pc.greater_equal(items.field("score"), threshold))
    wanted = np.flatnonzero(general.to_numpy(zero_copy_only=False) & counting[tags.indices.to_numpy()])
    image_of = np.repeat(np.arange(len(lists)), lists.value_lengths().fill_null(0).to_numpy())
    columns = (image_of[wanted].tolist(), tags.take(wanted).to_pylist(), items.field("score").take(wanted).to_pylist())
    image_ids = tag_scores["image_id"].to_pylist()
    people = dict.fromkeys(image_ids, 0)
    for number, entries in itertools.groupby(zip(*columns, strict=True), key=lambda entry: entry[0]):
        scores = {tag: score for _, tag, score in entries}
        people[image_ids[number]] = people_number(
            scores.keys() - set(other_counts(scores)) if len(scores) > 1 else scores
        )
    return people
