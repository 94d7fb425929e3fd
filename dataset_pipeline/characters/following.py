"""From frames to tracks: who is found on them is linked over each shot, and a few pieces are told apart by identity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

import cv2
import numpy as np

from dataset_pipeline.base.boxes import Box, clipped
from dataset_pipeline.characters.cut_off import completed
from dataset_pipeline.characters.linking import Found, Linked, Linker, people_of
from dataset_pipeline.characters.small_copies import Backdrop, small_copy
from dataset_pipeline.characters.tracks import KINDS

SIGNATURE_CELLS = 18 * 32
HELD_LEVELS = 6  # of 255: a picture of which no cell of the signature differs by more is held
MOVING_CELLS = 16  # of a signature: a picture of which so many differ shows as much that is new as any
CLOSER = 3.0  # times nearer than on average looks may lie
AT_ONCE = 256  # frames among which looks are spread
FRAMES_AT_ONCE = 32  # handed to the detector
CROPS_AT_ONCE = 96  # that wait for their vectors
SPREAD = 5  # samples of a track that get vectors anyway, spread over it
DOUBTS = 6  # places of a track that get vectors besides, at most
MIN_SIDE_PX = 24  # of a piece that gets a vector


@dataclass(frozen=True)
class Look:
    """A frame that is looked at. `held_until_s`: the last time at which its picture is known to be still the same.
    `since_s`, `until_s`: halfway to the looks before and after it, or where its shot begins and ends."""

    shot: int
    pts: int
    pts_s: float
    held_until_s: float
    since_s: float
    until_s: float


def looks_of(shots: Iterable[Mapping[str, Any]], per_s: float) -> list[Look]:
    """Which frames to look at: of the shots, rows of `shots`, `per_s` a second at most over all, in order.

    Farthest-point choice over each stretch of `AT_ONCE` frames: a frame is worth a look by the time to the nearest one,
    times how much of the picture is another one, from `MOVING_CELLS` of the signature on all of it. So people who walk
    get many and a mouth that moves few. The first frame of each shot is looked at anyway, a held picture once, and two
    looks lie no nearer than `1 / per_s` by `CLOSER`.
    """
    rows = list(shots)
    worth = [
        (gain, -shot, -frame) for shot, row in enumerate(rows) for gain, frame in _worth_of(row, 1 / (CLOSER * per_s))
    ]
    due = round(per_s * sum(row["end_s"] - row["start_s"] for row in rows))
    chosen: dict[int, list[int]] = {}
    for gain, shot, frame in sorted(worth, reverse=True):
        if due > 0 or gain == np.inf:
            chosen.setdefault(-shot, []).append(-frame)
            due -= 1
    return [look for shot, frames in sorted(chosen.items()) for look in _looks_at(rows[shot], sorted(frames))]


def _worth_of(shot: Mapping[str, Any], least_s: float) -> Iterator[tuple[float, int]]:
    """The frames of a shot that are worth a look and how much each is, in seconds; of the first it is infinite."""
    times_s, signatures = np.asarray(shot["frame_pts_s"], np.float64), _signatures_of(shot)
    yield np.inf, 0
    for start in range(0, len(times_s), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        gains, frame = np.full(len(times_s[some]), np.inf), 0
        while True:
            changed = (np.abs(signatures[some] - signatures[start + frame]) > HELD_LEVELS).sum(axis=1)
            apart_s = np.abs(times_s[some] - times_s[start + frame])
            gains = np.minimum(gains, apart_s * np.minimum(1.0, changed / MOVING_CELLS))
            frame = int(gains.argmax())
            if gains[frame] <= least_s:
                break
            yield float(gains[frame]), start + frame


def _signatures_of(shot: Mapping[str, Any]) -> np.ndarray:
    """int16 [frames, cells]."""
    return np.frombuffer(shot["signatures"], np.uint8).reshape(-1, SIGNATURE_CELLS).astype(np.int16)


def _steps_held(signatures: np.ndarray) -> int:
    """For how many steps the first of some pictures, [n, cells], is held."""
    same = np.abs(signatures - signatures[0]).max(axis=1) <= HELD_LEVELS
    return (len(same) if same.all() else int(same.argmin())) - 1


def _looks_at(shot: Mapping[str, Any], frames: Sequence[int]) -> Iterator[Look]:
    """Looks at these frames of a shot, each at the first one of its picture, and none twice at one that is held."""
    signatures = _signatures_of(shot)
    looked: list[tuple[int, int]] = []
    for frame in frames:
        if looked and frame <= looked[-1][1]:
            continue
        begin = looked[-1][1] + 1 if looked else 0
        frame -= _steps_held(signatures[begin : frame + 1][::-1])
        looked.append((frame, frame + _steps_held(signatures[frame:])))
    times_s = shot["frame_pts_s"]
    middles = [(times_s[held] + times_s[other]) / 2 for (_, held), (other, _) in pairwise(looked)]
    for (frame, held), since_s, until_s in zip(
        looked, [shot["start_s"], *middles], [*middles, shot["end_s"]], strict=True
    ):
        yield Look(shot["number"], shot["frame_pts"][frame], times_s[frame], times_s[held], since_s, until_s)


@dataclass(eq=False)
class _Piece:
    """One sample's pixels, for its vectors: the person's and the head's, RGB uint8 [height, width, 3] of full size."""

    sample: int
    pixels: dict[str, np.ndarray]


@dataclass(eq=False)
class Followed:
    """One track with what was seen of it. `pieces` are the samples whose vectors tell who it is; `vectors`, once they
    are made: float32 [d] by sample and kind."""

    linked: Linked
    shot: int
    size_px: tuple[int, int]
    looks: list[Look] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    copies: list[np.ndarray] = field(default_factory=list)
    pieces: dict[int, _Piece] = field(default_factory=dict)
    vectors: dict[tuple[int, str], np.ndarray] = field(default_factory=dict)
    _stride: int = 1

    def see(self, look: Look, rgb: np.ndarray, found: Found) -> None:
        """The next sample, which is the last of `linked`."""
        self.looks.append(look)
        here = len(self.looks) - 1
        person = cut(rgb, found.box)
        grey = cv2.cvtColor(person, cv2.COLOR_RGB2GRAY)
        self.sharpness.append(float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))[1][0, 0]) ** 2)
        self.copies.append(small_copy(grey))
        shown = completed(person, found.box[0] / rgb.shape[1], found.box[2] / rgb.shape[1])
        pixels = {"person": shown} | ({"head": cut(rgb, found.head)} if found.head else {})
        large = {kind: it.copy() for kind, it in pixels.items() if min(it.shape[:2]) >= MIN_SIDE_PX}
        if large:
            self.pieces[here] = _Piece(here, large)
        while len(range(0, here + 1, self._stride)) > SPREAD:
            self._stride *= 2
        self._forget(here)

    def _forget(self, here: int) -> None:
        """Keep the pixels of the samples that are spread evenly, of doubtful places and of those that may become so."""
        clear = next((place for place in range(here, -1, -1) if not self.linked.crowded[place]), here)
        wanted = {*range(0, here + 1, self._stride), *_of_doubts(self.linked), here, clear}
        self.pieces = {sample: piece for sample, piece in self.pieces.items() if sample in wanted}

    def finish(self) -> None:
        """No more samples: what was kept only in case is let go."""
        wanted = {*range(0, len(self.looks), self._stride), *_of_doubts(self.linked)}
        self.pieces = {sample: piece for sample, piece in self.pieces.items() if sample in wanted}


def _of_doubts(linked: Linked) -> set[int]:
    return {place for doubt in linked.doubts[:DOUBTS] for place in doubt}


def cut(rgb: np.ndarray, box: Box) -> np.ndarray:
    """What lies in the box of a picture, at least a pixel of it; a view."""
    height, width = rgb.shape[:2]
    x0, y0 = min(width - 1, max(0, round(box[0]))), min(height - 1, max(0, round(box[1])))
    return rgb[y0 : max(y0 + 1, min(height, round(box[3]))), x0 : max(x0 + 1, min(width, round(box[2])))]


def follow(
    frames: Iterable[tuple[int, np.ndarray]],
    looks: Sequence[Look],
    detect: Callable[[Sequence[np.ndarray]], Sequence[Sequence[Any]]],
    embed: Callable[[Sequence[np.ndarray]], np.ndarray],
) -> Iterator[Followed]:
    """The tracks of a video with their vectors, shot after shot.

    frames: (pts, RGB uint8 [height, width, 3]) of `looks`, in their order; one that is missing is no matter.
    `detect` gives boxes (kind, x0, y0, x1, y1, score) of persons and heads for many pictures at once, `embed` float32
    [n, d] for n pieces. A few dozen pictures and the pieces of a few shots are held at a time.
    """
    by_pts = {look.pts: look for look in looks}
    known = ((by_pts[pts], rgb) for pts, rgb in frames if pts in by_pts)
    done: list[Followed] = []
    shot: _Shot | None = None
    while chunk := list(islice(known, FRAMES_AT_ONCE)):
        found = detect([rgb for _, rgb in chunk])
        for (look, rgb), boxes in zip(chunk, found, strict=True):
            if shot is None or not shot.goes_on(look, rgb):
                done += shot.finish() if shot else []
                shot = _Shot(look.shot, (rgb.shape[1], rgb.shape[0]))
            shot.see(look, rgb, boxes)
        if sum(len(piece.pixels) for it in done for piece in it.pieces.values()) >= CROPS_AT_ONCE:
            yield from _embedded(done, embed)
            done = []
    yield from _embedded([*done, *(shot.finish() if shot else [])], embed)


class _Shot:
    """The tracks of one shot, or of the part of one whose pictures have one size."""

    def __init__(self, number: int, size_px: tuple[int, int]) -> None:
        self._number, self._size_px, self._frames = number, size_px, 0
        self._linker = Linker()
        self._backdrop = Backdrop(size_px)
        self._tracks: dict[int, Followed] = {}

    def goes_on(self, look: Look, rgb: np.ndarray) -> bool:
        return look.shot == self._number and (rgb.shape[1], rgb.shape[0]) == self._size_px

    def see(self, look: Look, rgb: np.ndarray, boxes: Sequence[Any]) -> None:
        scored = {
            kind: [((float(x0), float(y0), float(x1), float(y1)), float(score)) for of, x0, y0, x1, y1, score in boxes
                   if of == kind and x1 > x0 and y1 > y0]
            for kind in KINDS
        }  # fmt: skip
        people = people_of(scored["person"], scored["head"])
        self._backdrop.see(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), [it.box for it in people])
        for linked, found in self._linker.feed(self._frames, look.pts_s, people):
            if id(linked) not in self._tracks:
                self._tracks[id(linked)] = Followed(linked, self._number, self._size_px)
            self._tracks[id(linked)].see(look, rgb, found)
        self._frames += 1

    def finish(self) -> list[Followed]:
        place = self._backdrop.known()
        for track in self._tracks.values():
            track.finish()
            boxes = [clipped(it.box, self._size_px) for it in track.linked.found]
            track.copies = [
                self._backdrop.taken_from(copy, box, place) for copy, box in zip(track.copies, boxes, strict=True)
            ]
        return list(self._tracks.values())


def _embedded(tracks: list[Followed], embed: Callable[[Sequence[np.ndarray]], np.ndarray]) -> list[Followed]:
    """The same with their vectors, all made in one call, and without their pixels."""
    places = [(it, piece.sample, kind) for it in tracks for piece in it.pieces.values() for kind in piece.pixels]
    vectors = embed([it.pieces[sample].pixels[kind] for it, sample, kind in places]) if places else []
    for (it, sample, kind), vector in zip(places, vectors, strict=True):
        it.vectors[sample, kind] = np.asarray(vector, np.float32)
    for it in tracks:
        it.pieces = {}
    return tracks
