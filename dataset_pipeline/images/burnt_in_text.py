"""Which lettering was laid over a picture, and what is left of a picture without it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dataset_pipeline.base.boxes import SIDES, Box, area, box_of, middle, place_of, share_inside, shared_area
from dataset_pipeline.images.credit_places import Placed, one_by_one
from dataset_pipeline.images.stills import FRAME, PICTURE
from dataset_pipeline.settings import BurntInTextSettings

Line = Mapping[str, Any]
SUBTITLE, CREDITS, LOGO, SIGN = "subtitle", "credits", "logo", "sign"
BY_LETTERING, BY_STAYING = "lettering", "staying"  # what a box was found by
CENTRED = 0.1  # of the width, how far the middle of a subtitle may lie from that of the picture
SUBTITLES_FROM, SUBTITLES_UNTIL = 0.66, 0.2  # of the height: lower than the first, or higher than the second
MIN_LINES = 3  # of a column of credits
# Two lines that follow one another in a column: how far off their edges or middles may be and how far apart they may
# stand, in heights of the lower line, and how many times that height the other may have.
COLUMN_OFF, COLUMN_GAP, COLUMN_HEIGHTS = 0.5, 4.0, 1.6
TITLE_WIDE = 0.25  # of the width, of a line in the middle that is laid over the picture
MIN_ASPECT = 1.2  # width by height of a line that stands alone
MIN_FILL = 0.5  # of a line
# Large letters: up to such a share of the height, from such a score and fill on; the larger, the surer they must be.
TITLES = ((0.2, 0.9, 0.75), (0.6, 0.95, 0.9))
TITLE_CONTRAST = 100
MARGIN = 0.006  # of the height, that is taken away around a box


def decide_burnt_in_text(
    stills: Iterable[Mapping[str, Any]],
    lines: Mapping[str, Sequence[Line]],
    marks: Mapping[str, Sequence[Mapping[str, Any]]],
    settings: BurntInTextSettings,
) -> list[dict]:
    """Rows of `burnt_in_text`: every line of lettering that counts as one, and every mark.

    stills: rows with image_id, kind, width_px, height_px; lines: of `text_lines` by still; marks: rows of
    `screen_marks` by still. Lettering in a low or high place of the middle is a subtitle; three lines in a column, or
    one across the middle, are credits, and so are single lines at a place where the frames of the episode have other
    words each time, and what stands close above or below; what stays at its place of the screen is a logo. All else is
    a sign: lettering in the scene itself. So is all lettering of a picture of a folder, which has no video that
    anything was laid over: a title, a comic's words.
    """
    stills = list(stills)
    logos = {it["image_id"]: _logos(marks.get(it["image_id"], ()), _size_of(it)) for it in stills}
    free = {image_id: _beside(lines.get(image_id, ()), [box for box, _ in boxes]) for image_id, boxes in logos.items()}
    rows = []
    for still, kinds in zip(stills, _kinds_of_all(stills, free, settings), strict=True):
        image_id = still["image_id"]
        found = [(LOGO, box, score, BY_STAYING) for box, score in logos[image_id]]
        found += [
            (kinds[number], box_of(free[image_id][number]), free[image_id][number]["score"], BY_LETTERING)
            for number in sorted(kinds)
        ]
        rows += [
            {
                "image_id": image_id,
                "kind": kind,
                **dict(zip(SIDES, box, strict=True)),
                "score": score,
                "found_by": found_by,
                "burnt_in": kind in settings.kinds,
            }
            for kind, box, score, found_by in found
        ]
    return rows


def box_of_shares(row: Mapping[str, Any]) -> Box:
    """The box of a row of `screen_marks`, in shares of the picture."""
    return row["x0_share"], row["y0_share"], row["x1_share"], row["y1_share"]


def boxes_by_still(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Box]]:
    """The boxes of rows of `burnt_in_text` that count, by still."""
    found: dict[str, list[Box]] = {}
    for row in rows:
        if row["burnt_in"]:
            found.setdefault(row["image_id"], []).append(box_of(row))
    return found


def without_text(boxes: Iterable[Box], place: Box, margin_px: float) -> Box | None:
    """The largest upright rectangle of `place`, in whole pixels, that no box grown by a margin touches; `place` itself
    if none does, None if nothing is left.

    Its upper and lower sides are those of boxes or of the place: all pairs of them are tried, with the widest gap
    between the boxes that lie in that band.
    """
    grown = [(b[0] - margin_px, b[1] - margin_px, b[2] + margin_px, b[3] + margin_px) for b in boxes]
    inside = [box for box in grown if shared_area(box, place) > 0]
    if not inside:
        return place
    tops = {place[1], *(min(box[3], place[3]) for box in inside)}
    bottoms = {place[3], *(max(box[1], place[1]) for box in inside)}
    bands = ((top, bottom) for top in sorted(tops) for bottom in sorted(bottoms) if top < bottom)
    found = [
        _whole((left, top, right, bottom)) for top, bottom in bands for left, right in _gaps(inside, place, top, bottom)
    ]
    best = max(found, key=area, default=None)
    return best if best is not None and area(best) > 0 else None


def _gaps(boxes: Sequence[Box], place: Box, top: float, bottom: float) -> Iterator[tuple[float, float]]:
    """Left and right of each stretch of a band of the place that no box reaches into."""
    left = place[0]
    for box in sorted(box for box in boxes if box[1] < bottom and box[3] > top):
        if box[0] > left:
            yield left, box[0]
        left = max(left, box[2])
    if place[2] > left:
        yield left, place[2]


def cut_of(image: Mapping[str, Any], boxes: Sequence[Box], still_height_px: int) -> Box | None:
    """What of an image, a row of `images`, lies clear of the boxes of its still, in pixels of the still; its whole
    place if all does, None if nothing."""
    return without_text(boxes, place_of(image), MARGIN * still_height_px)


def _whole(box: Box) -> Box:
    return math.ceil(box[0]), math.ceil(box[1]), math.floor(box[2]), math.floor(box[3])


def _scaled(box: Box, size: tuple[int, int]) -> Box:
    return box[0] * size[0], box[1] * size[1], box[2] * size[0], box[3] * size[1]


def _size_of(still: Mapping[str, Any]) -> tuple[int, int]:
    return still["width_px"], still["height_px"]


def _logos(marks: Iterable[Mapping[str, Any]], size: tuple[int, int]) -> list[tuple[Box, float]]:
    return [(_scaled(box_of_shares(it), size), it["score"]) for it in marks]


def _beside(lines: Iterable[Line], boxes: Sequence[Box]) -> list[Line]:
    """The lines that are not told already by a box."""
    return [it for it in lines if all(share_inside(box_of(it), box) < 0.5 for box in boxes)]


def _kinds_of_all(
    stills: Sequence[Mapping[str, Any]], lines: Mapping[str, Sequence[Line]], settings: BurntInTextSettings
) -> Iterator[dict[int, str]]:
    """For each still the lines that count as such, by number, with their kinds."""
    counted = [_counted(lines[it["image_id"]], it, settings) for it in stills]
    signs = [
        (at, number)
        for at, (still, kinds) in enumerate(zip(stills, counted, strict=True))
        for number, kind in kinds.items()
        if kind == SIGN and still["kind"] == FRAME
    ]
    placed = [
        Placed(stills[at]["image_id"], _size_of(stills[at]), lines[stills[at]["image_id"]][number])
        for at, number in signs
    ]
    for it in one_by_one(placed):
        at, number = signs[it]
        counted[at][number] = CREDITS
    return (_with_neighbours(lines[it["image_id"]], kinds) for it, kinds in zip(stills, counted, strict=True))


def _counted(lines: Sequence[Line], still: Mapping[str, Any], settings: BurntInTextSettings) -> dict[int, str]:
    """The lines of one still that count by themselves, with the kinds that the still alone tells."""
    size = _size_of(still)
    counted = {
        number: it
        for number, it in enumerate(lines)
        if it["score"] >= settings.min_score and _is_line(it, size, settings)
    }
    return dict.fromkeys(counted, SIGN) if still["kind"] == PICTURE else _kinds_laid_over(counted, size)


def _with_neighbours(lines: Sequence[Line], kinds: dict[int, str]) -> dict[int, str]:
    """A line next to another needs no score of its own, and is what that is."""
    waiting = {number for number in range(len(lines)) if kinds.get(number, SIGN) == SIGN}
    laid_over = [number for number, kind in kinds.items() if kind != SIGN]
    while laid_over:
        number = laid_over.pop()
        near = {it for it in waiting if _is_next_to(lines[it], lines[number])}
        kinds |= dict.fromkeys(near, kinds[number])
        laid_over += near
        waiting -= near
    return kinds


def _is_line(line: Line, size: tuple[int, int], settings: BurntInTextSettings) -> bool:
    width, height = line["x1_px"] - line["x0_px"], line["y1_px"] - line["y0_px"]
    is_title = line["contrast"] >= TITLE_CONTRAST and any(
        height <= most * size[1] and line["score"] >= score and line["fill"] >= fill for most, score, fill in TITLES
    )
    return (
        line["contrast"] >= settings.min_contrast
        and (is_title or height <= settings.max_line_height * size[1])
        and line["fill"] >= MIN_FILL
        and width >= MIN_ASPECT * height
    )


def _is_next_to(line: Line, other: Line) -> bool:
    """Whether a line stands right above or below another of like height, or beside it."""
    heights = sorted(it["y1_px"] - it["y0_px"] for it in (line, other))
    apart_y = max(line["y0_px"], other["y0_px"]) - min(line["y1_px"], other["y1_px"])
    apart_x = max(line["x0_px"], other["x0_px"]) - min(line["x1_px"], other["x1_px"])
    is_alike = line["fill"] >= MIN_FILL and heights[1] <= 2 * heights[0]
    return is_alike and apart_y <= 0.75 * heights[0] and apart_x <= (heights[1] if apart_y < -0.5 * heights[0] else 0)


def _kinds_laid_over(lines: Mapping[int, Line], size: tuple[int, int]) -> dict[int, str]:
    """The kind of each line of a frame. Where most lines stand in columns, all are credits."""
    in_columns = {number for edge in range(3) for column in _columns(lines, edge) for number in column}
    is_roll = 2 * len(in_columns) > len(lines)
    return {number: CREDITS if is_roll or number in in_columns else _kind(it, size) for number, it in lines.items()}


def _columns(lines: Mapping[int, Line], edge: int) -> Iterator[set[int]]:
    """Lines below one another that share their left edge (0), middle (1) or right edge (2): three or more of each."""
    waiting = set(lines)
    while waiting:
        column, ahead = set(), [waiting.pop()]
        while ahead:
            number = ahead.pop()
            column.add(number)
            near = {it for it in waiting if _is_in_column(lines[it], lines[number], edge)}
            ahead += near
            waiting -= near
        if len(column) >= MIN_LINES:
            yield column


def _is_in_column(line: Line, other: Line, edge: int) -> bool:
    heights = sorted(it["y1_px"] - it["y0_px"] for it in (line, other))
    places = [(it["x0_px"], (it["x0_px"] + it["x1_px"]) / 2, it["x1_px"])[edge] for it in (line, other)]
    apart = max(line["y0_px"], other["y0_px"]) - min(line["y1_px"], other["y1_px"])
    return (
        heights[1] <= COLUMN_HEIGHTS * heights[0]
        and abs(places[0] - places[1]) <= COLUMN_OFF * heights[0]
        and -0.5 * heights[0] <= apart <= COLUMN_GAP * heights[0]
    )


def _kind(line: Line, size: tuple[int, int]) -> str:
    x, y = middle(box_of(line))
    centred = abs(x / size[0] - 0.5) <= CENTRED
    if centred and not SUBTITLES_UNTIL < y / size[1] < SUBTITLES_FROM:
        return SUBTITLE
    return CREDITS if centred and line["x1_px"] - line["x0_px"] >= TITLE_WIDE * size[0] else SIGN
