"""The rows of `shots` from one look at all frames of a video, whichever step it is that looks: `keyframes` hands on
what it saw of the shots while it chose among the frames, so that `shots` of the same run decodes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np

from dataset_pipeline.repeated.tracks import PER_SECOND, THUMB, fingerprints
from dataset_pipeline.video.color import Conversion
from dataset_pipeline.video.cuts import CutSettings
from dataset_pipeline.video.frame_pass import Seen, View, Viewer
from dataset_pipeline.video.shots import SMALL_SIDE_PX, CutWatch, ShotFinder
from dataset_pipeline.video.stream import DecodeReport


class ShotsLook:
    """Looks on in a pass over all frames of a video; `close` it, also where the pass fails."""

    def __init__(self, cuts: CutSettings) -> None:
        self._finder, self._prints = ShotFinder(cuts), Fingerprints()

    @property
    def viewers(self) -> list[Viewer]:
        return [self._finder, self._prints]

    @property
    def watch(self) -> CutWatch:
        """Who finds the cuts, for another in the same pass."""
        return self._finder.watch

    def rows(self) -> list[dict[str, Any]]:
        """Of `shots`, without their episode, when the pass is over."""
        return with_fingerprints(self._finder.finished(), self._prints)

    def close(self) -> None:
        self._finder.close()


class Fingerprints:
    """Sees the pictures that fingerprints are made of, so small that those of a whole episode can be kept."""

    view = View(SMALL_SIDE_PX, PER_SECOND)

    def __init__(self) -> None:
        self.seen: list[tuple[float, np.ndarray]] = []

    def feed(self, seen: Seen) -> None:
        small = cv2.resize(seen.bgr, THUMB, interpolation=cv2.INTER_AREA)
        self.seen.append((seen.pts_s, cv2.cvtColor(small, cv2.COLOR_BGR2RGB)))


def with_fingerprints(rows: list[dict[str, Any]], prints: Fingerprints) -> list[dict[str, Any]]:
    """The shots of a video, each with the fingerprints of its frames."""
    taken = fingerprints(prints.seen)
    times_s = taken["pts_s"].to_numpy()
    thumbs = np.stack(taken["thumb"].to_numpy()) if len(times_s) else np.zeros((0, THUMB[0] * THUMB[1]), np.uint8)
    inside = [(times_s >= row["start_s"]) & (times_s < row["end_s"]) for row in rows]
    return [
        row | {"fingerprint_pts_s": times_s[mine].tolist(), "fingerprints": thumbs[mine].ravel()}
        for row, mine in zip(rows, inside, strict=True)
    ]


@dataclass(frozen=True)
class Looked:
    """All that decides what a look sees: the file as it is, what makes its small copies and what is sought on them.
    Chroma and background of `conversion` show in no small copy, so that it is the one without them."""

    path: Path
    size_bytes: int
    changed_ns: int
    conversion: Conversion
    cuts: tuple[float, float, float, int]
    hardware: str

    @classmethod
    def at(cls, path: Path, conversion: Conversion, cuts: CutSettings, hardware: str) -> Looked:
        found = path.stat()
        sought = cuts.cut_ratio, cuts.cut_change, cuts.min_shot_s, cuts.fade_level
        return cls(path, found.st_size, found.st_mtime_ns, conversion, sought, hardware)


Found = tuple[list[dict[str, Any]], DecodeReport]


class _HandedOn:
    """The rows of the last look that nobody has taken, of one video (23 MB for 24 minutes), and what was met in it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: tuple[Looked, Found] | None = None

    def put(self, looked: Looked, rows: list[dict[str, Any]], report: DecodeReport) -> None:
        """Of a look that is over, in place of the one before."""
        with self._lock:
            self._kept = looked, (rows, replace(report, reasons=list(report.reasons)))

    def take(self, looked: Looked) -> Found | None:
        """What is there of this very look; nobody else gets it."""
        with self._lock:
            if self._kept is None or self._kept[0] != looked:
                return None
            found, self._kept = self._kept[1], None
            return found


HANDED_ON = _HandedOn()
