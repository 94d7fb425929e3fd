"""An episode as the search for repeats sees it: fingerprints of its pictures, taken a few times a second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from dataset_pipeline.repeated.chapters import Chapter

PER_SECOND = 4  # fingerprints
THUMB = 16, 9  # columns and rows of a fingerprint's picture
STEPS = (1, 16 * 8), (2, 15 * 9)  # axis and number of the steps between neighbours in a stack of them
MIN_SPREAD = 4.0  # levels of 255: a picture that varies less looks like any other flat one


@dataclass(frozen=True, eq=False)
class Track:
    """An episode as its fingerprints see it.

    times_s: float64 [n], ascending. signatures: float32 [n, d], rows of length 1 whose products say how alike two
    frames are, 0 where the frame says nothing. step_s: the usual time between two.
    """

    episode: str
    duration_s: float
    times_s: np.ndarray
    signatures: np.ndarray
    informative: np.ndarray
    step_s: float
    chapters: tuple[Chapter, ...] = ()


def fingerprints(frames: Iterable[tuple[float, np.ndarray]], per_second: float = PER_SECOND) -> pa.Table:
    """A table of `pts_s` and `thumb`, list of 9 x 16 luma values row by row, `per_second` times a second.

    frames: (seconds, picture uint8 [h, w, 3] RGB or [h, w] luma) in their order, upright and without bars. The first
    frame in each interval is taken, so any frame rate will do and frames that are not taken cost nothing.
    """
    times, thumbs, due = [], [], -np.inf
    for pts_s, picture in frames:
        if pts_s < due:
            continue
        due = (np.floor(pts_s * per_second + 1e-6) + 1) / per_second - 1e-6
        small = cv2.resize(picture, THUMB, interpolation=cv2.INTER_AREA)
        times.append(pts_s)
        thumbs.append((small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)).ravel())
    values = pa.array(np.concatenate(thumbs) if thumbs else np.zeros(0, np.uint8))
    offsets = pa.array(np.arange(len(thumbs) + 1, dtype=np.int32) * THUMB[0] * THUMB[1])
    return pa.table({"pts_s": pa.array(times, pa.float64()), "thumb": pa.ListArray.from_arrays(offsets, values)})


def track_of_fingerprints(
    episode: str, table: pa.Table, duration_s: float, chapters: Iterable[Mapping[str, Any]] = ()
) -> Track:
    """The track of a table that `fingerprints` gave. chapters: mappings of start_s, end_s, title.

    Its signatures are the steps between neighbours in the picture, as in a difference hash but not cut down to signs:
    unlike the levels themselves they hardly agree between scenes that merely have the sky at the top.
    """
    thumbs = table["thumb"].combine_chunks().flatten().to_numpy().astype(np.float32)
    thumbs = thumbs.reshape(-1, THUMB[1], THUMB[0])
    informative = thumbs.std(axis=(1, 2)) >= MIN_SPREAD
    steps = np.concatenate([np.diff(thumbs, axis=axis).reshape(len(thumbs), size) for axis, size in STEPS], axis=1)
    steps -= steps.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(steps, axis=1)
    signatures = (steps / np.maximum(lengths, 1e-6)[:, None] * informative[:, None]).astype(np.float32)
    times_s = table["pts_s"].to_numpy()
    order = np.argsort(times_s, kind="stable")
    step_s = float(np.median(np.diff(times_s[order]))) if len(order) > 1 else 1 / PER_SECOND
    named = tuple(Chapter(chapter["start_s"], chapter["end_s"], chapter["title"]) for chapter in chapters)
    return Track(episode, duration_s, times_s[order], signatures[order], informative[order], step_s, named)
