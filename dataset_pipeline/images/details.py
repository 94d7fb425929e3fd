"""Which square details are cut out of stills at native size: faces, hands, eyes, heads, clothes and objects.

The first of `KINDS` go before the others: a window that shows what one before it shows is left out.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dataset_pipeline.base.boxes import SIDES, Box, area, box_of, clipped, middle, shared_area
from dataset_pipeline.base.ids import DETAIL, crop_id
from dataset_pipeline.images.detail_scores import (
    Details,
    People,
    busiest,
    windows_of,
)
from dataset_pipeline.images.detail_windows import (
    CUTS_HEAD,
    HOLDS_FACE,
    SMALLEST_SHARE,
    Part,
    Surroundings,
    Unknown,
    Window,
    around,
    lay,
    longer_side,
    show_the_same,
    snapped,
    united,
)
from dataset_pipeline.images.looks import ALIKE_BITS, bits_apart
from dataset_pipeline.images.stills import UNKNOWN_SHRUNK
from dataset_pipeline.settings import CropsSettings, DetailsSettings

KINDS = ("face", "hand", "eyes", "head", "clothes", "object")
BY_PIXELS = {"clothes": People.wear, "object": People.are_absent}
SCALES = {"face": 2.0, "hand": 2.2, "eyes": 4.0, "head": 1.5}  # a window's side by the longer side of the part
LEAST_FILLS = {"face": 0.25, "hand": 0.2, "eyes": 0.12, "head": 0.35}  # of a window's side, that the part takes
DOUBT = 0.5  # of the score that makes a person or a head: from here on no window of objects lies on it
ALIKE_PARTS_BITS = 12  # of two looks: their boxes frame parts alike, so that little tells them apart
OVERLAPS, DUPLICATE, OVER_LIMIT = "overlaps", "duplicate", "over_limit"


class _Laid(NamedTuple):
    """A window around a part, or found by its pixels without a score. reason: why it is not kept; empty if it is."""

    kind: str
    box: Box
    score: float | None
    window: Window
    reason: str


def plan_details(
    still_id: str,
    picture: np.ndarray,
    boxes: Iterable[Mapping[str, Any]],
    settings: DetailsSettings,
    scores: CropsSettings,
    unknown: np.ndarray | None = None,
) -> list[dict]:
    """Rows of `details` for one still, without what is decided over all of them, by id.

    picture: uint8 [height, width, 3]. boxes: its rows of `detections`; `scores` says from which score on they count.
    unknown: bool [height, width], true where nobody has seen the still. A row is kept, or has the reason why not:
    small, cuts_head, holds_face, touches_unknown, overlaps.
    """
    size_px = picture.shape[1], picture.shape[0]
    boxes = list(boxes)
    found = _boxes(boxes, size_px, settings, scores)
    there = Surroundings(
        size_px,
        [box for box, _ in found["head"]],
        [box for box, _ in found["face"]],
        None if unknown is None else Unknown(unknown),
    )
    details, taken, rows = Details(picture), list[Box](), dict[str, dict]()
    bodies, hands = ([box for box, _ in found[kind]] for kind in ("person", "hand"))
    people = People(bodies, there.heads, hands, _doubtful(boxes, size_px, scores))
    laid = itertools.chain(
        _around_parts(_parts(found, there, settings), there, settings, taken),
        _by_pixels(details, people, there, settings, taken),
    )
    for kind, box, score, window, reason in laid:
        if not reason:
            taken.append(window.box)
        row = _row(still_id, kind, box, window, reason, size_px)
        row |= {"score": score, "detail": details.mean_of(window)}
        rows.setdefault(row["image_id"], row)
    return [rows[image_id] for image_id in sorted(rows)]


def unknown_of(stitched: Mapping[str, Any]) -> np.ndarray | None:
    """Where nobody has seen a picture, bool [height, width], of a row of `panoramas` or `backdrops`; None if everything
    in it was seen or it has no picture. Its mask is coarse: a field of it is unknown where any pixel in it is."""
    from dataset_pipeline.images.resize import decode

    if not stitched["unknown"] or not stitched["path"]:
        return None
    x, y = stitched["whole_px"][2:]
    rows, columns = np.arange(y, y + stitched["height_px"]), np.arange(x, x + stitched["width_px"])
    mask = decode(stitched["unknown"])[..., 0] > 0
    found = mask[np.ix_(rows // UNKNOWN_SHRUNK, columns // UNKNOWN_SHRUNK)]
    return found if found.any() else None


def choose(rows: Iterable[Mapping[str, Any]], looks: Mapping[str, str], max_per_still: int) -> list[dict]:
    """The rows of an episode with the last two reasons why one is not kept: `duplicate`, of the detail in `group`, and
    `over_limit`, where its still has as many as it may.

    looks: of `look_of`, of the details that are kept so far. Of those that look alike the one with the most detail is
    kept, so that a held picture gives its face once; it does not matter how far apart their stills are.
    """
    by_place = [dict(row) | {"group": row["image_id"]} for row in rows]
    order = sorted(
        (row for row in by_place if row["kept"]),
        key=lambda row: (KINDS.index(row["kind"].removesuffix(DETAIL)), -round(row["detail"], 3), row["image_id"]),
    )
    kept, on_still = defaultdict[str, list[dict]](list), Counter[str]()
    for row in order:
        kind, look = row["kind"].removesuffix(DETAIL), looks[row["image_id"]]
        alike = next((it for it in kept[kind] if _alike(kind, looks[it["image_id"]], look)), None)
        if alike:
            row |= {"kept": False, "reason": DUPLICATE, "group": alike["image_id"]}
        elif on_still[row["still_id"]] == max_per_still:
            row |= {"kept": False, "reason": OVER_LIMIT}
        else:
            on_still[row["still_id"]] += 1
            kept[kind].append(row)
    return sorted(by_place, key=lambda row: row["image_id"])


def _around_parts(
    parts: Iterable[Part], there: Surroundings, settings: DetailsSettings, taken: Sequence[Box]
) -> Iterator[_Laid]:
    for part in parts:
        window, reason = lay(part, there, settings.target_px, settings.bucket_step_px)
        if not reason and any(show_the_same(window.box, box) for box in taken):
            reason = OVERLAPS
        yield _Laid(part.kind, part.box, part.score, window, reason)


def _by_pixels(
    details: Details, people: People, there: Surroundings, settings: DetailsSettings, taken: Sequence[Box]
) -> Iterator[_Laid]:
    side = snapped(min(settings.target_px, *there.size_px), settings.bucket_step_px)
    windows = windows_of(side, there.size_px) if side >= max(1.0, SMALLEST_SHARE * settings.target_px) else []
    for kind, is_of in BY_PIXELS.items():
        if kind in settings.kinds:
            fitting = [it for it in windows if is_of(people, it)]
            for window in busiest(fitting, details, there, taken):
                yield _Laid(kind, window.box, None, window, "")


def _alike(kind: str, one: str, other: str) -> bool:
    return bits_apart(one, other) <= (ALIKE_BITS if kind in BY_PIXELS else ALIKE_PARTS_BITS)


def _boxes(
    boxes: Iterable[Mapping[str, Any]], size_px: tuple[int, int], settings: DetailsSettings, scores: CropsSettings
) -> dict[str, list[tuple[Box, float]]]:
    """What is there, by kind, the most certain first: boxes cut to the still, and their scores."""
    found = defaultdict[str, list[tuple[Box, float]]](list)
    for row in boxes:
        kind, box, score = row["kind"], clipped(box_of(row), size_px), float(row["score"])
        if area(box) >= 1 and score >= (settings.eye_min_score if kind == "eye" else scores.min_score(kind)):
            found[kind].append((box, score))
    for them in found.values():
        them.sort(key=lambda it: (-it[1], it[0]))
    return found


def _doubtful(boxes: Iterable[Mapping[str, Any]], size_px: tuple[int, int], scores: CropsSettings) -> list[Box]:
    """What may be a person or a head: boxes that score at least half of what makes them one."""
    return [
        clipped(box_of(row), size_px)
        for row in boxes
        if row["kind"] in ("person", "head")
        and DOUBT * scores.min_score(row["kind"]) <= row["score"] < scores.min_score(row["kind"])
    ]


def _parts(
    found: Mapping[str, Sequence[tuple[Box, float]]], there: Surroundings, settings: DetailsSettings
) -> Iterator[Part]:
    """What windows are laid around, in the order of `KINDS`, the most certain first."""
    hands = [_part("hand", box, score, [box]) for box, score in found.get("hand", ()) if "hand" in settings.kinds]
    held = _held(hands, there, settings)
    for kind in (it for it in KINDS if it in settings.kinds and it in SCALES):
        if kind == "hand":
            yield from hands
        else:
            for box, score in _eyes(found, there) if kind == "eyes" else found.get(kind, ()):
                yield _part(kind, box, score, _holds(kind, box, there, held.get(box, ())))


def _part(kind: str, box: Box, score: float, holds: Sequence[Box]) -> Part:
    return Part(kind, box, score, SCALES[kind], LEAST_FILLS[kind], holds, avoids_faces=kind == "hand")


def _held(hands: Iterable[Part], there: Surroundings, settings: DetailsSettings) -> dict[Box, list[Box]]:
    """By face the hands nearest to it that no window of their own shows: it would cut through a head or show a face."""
    held = defaultdict[Box, list[Box]](list)
    for hand in hands:
        if there.faces and lay(hand, there, settings.target_px, settings.bucket_step_px)[1] in (CUTS_HEAD, HOLDS_FACE):
            x, y = middle(hand.box)
            nearest = min(there.faces, key=lambda it: (math.dist((x, y), middle(it)), it))
            held[nearest].append(hand.box)
    return held


def _holds(kind: str, box: Box, there: Surroundings, hands: Sequence[Box]) -> list[Box]:
    """What the window of a face, eyes or a head holds: the head, with hands that are shown there or not at all, as far
    as they fit; else with the heads that touch it as well."""
    head = around(box, there.heads)
    alone = hold = united([box, head]) if head else box
    for hand in hands:
        more = united([hold, hand])
        hold = more if longer_side(more) * LEAST_FILLS[kind] <= longer_side(box) else hold
    heads = united([hold, *(it for it in there.heads if head and shared_area(it, head))])
    return list(dict.fromkeys([hold, alone, heads]))


def _eyes(found: Mapping[str, Sequence[tuple[Box, float]]], there: Surroundings) -> list[tuple[Box, float]]:
    """One box for the two most certain eyes, or the only one, of each face, or of a head whose face was not found."""
    of_face = defaultdict[Box, list[tuple[Box, float]]](list)
    for eye, score in found.get("eye", ()):
        if owner := around(eye, there.faces) or around(eye, there.heads):
            of_face[owner].append((eye, score))
    pairs = [eyes[:2] for eyes in of_face.values()]
    return [(united(box for box, _ in pair), min(score for _, score in pair)) for pair in pairs]


def _row(still_id: str, kind: str, box: Box, window: Window, reason: str, size_px: tuple[int, int]) -> dict[str, Any]:
    return {
        "image_id": crop_id(still_id, kind + DETAIL, box, size_px),
        "still_id": still_id,
        "kind": kind + DETAIL,
        "x_px": window.x,
        "y_px": window.y,
        "width_px": window.side,
        "height_px": window.side,
        **dict(zip(SIDES, box, strict=True)),
        "still_share": window.side**2 / (size_px[0] * size_px[1]),
        "kept": not reason,
        "reason": reason or "kept",
    }
