"""What is wrong with a picture, each a number from 0 (nothing) to 1, measured on its luma at full size.

They are made for drawn pictures: hard ink lines, flat colour, painted backdrops. Strips of rows and columns stand for
the whole where a defect covers the whole. Blackness is among the signals of `video.keyframes`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import cv2
import numpy as np

COMB_LEVELS = 8  # a row of a comb stands out from both neighbours by so many levels of 255
COMB_ROWS = 5  # and so many such rows follow one another
COMB_HALF_SHARE = 0.004  # share of the picture that is combed at 0.5
STRIP_ROWS, STRIP_STEP = 32, 96  # rows that blur is measured on
BLUR_BOX = 9  # taps of the box filter, as in Crete et al.
BLUR_PRIOR = 0.05  # of the whole energy, added in every direction
GRID = 8  # pixels from block border to block border
STEP_LEVELS = 2  # a block border is a step of at least so many levels
SMOOTH_LEVELS = 1  # between neighbours that differ by no more than so many
BLOCKS_HALF_SHARE = 0.6  # share of borders that show at 0.5
GHOST_REACH = 2  # pixels to either side of an edge
GHOST_WALK = 8  # pixels along the edge
GHOST_LEVELS = 10  # that an edge has, and that a change along it has
GHOST_SAME = 0.15  # of the change along an edge, by which its contrast may differ and still count as unchanged
GHOST_HALF_SHARE = 1 / 70  # of crossings that shine through at 0.5; most end even in a mix of equal parts
GHOST_PRIOR = 300.0  # levels of crossings assumed to end: a picture with few says little
FLAT_LEVELS = 3  # either side of the level that is most common
TEXT_HEIGHT_PX = 360  # text is looked for at this size
TEXT_STROKE_PX = 6  # strokes are thinner than this
TEXT_LEVELS = 40  # and stand out by so much
TEXT_LINE_PX = 8, 60  # height of a line
TEXT_FILL = 0.6  # share of its box that a line covers
TEXT_BORDERS = 1.9  # left and right borders of strokes in a square of the line's height
TEXT_HALF_SHARE = 0.01  # share of the picture that lines of text cover at 0.5


@dataclass(frozen=True)
class Defects:
    """combing: two fields of different moments. blur: soft whichever way one looks. smear: soft in one direction.
    ghost: another picture shines through. blockiness: borders of coded blocks. flat: one colour. text: lettering."""

    combing: float
    blur: float
    smear: float
    ghost: float
    blockiness: float
    flat: float
    text: float


def defects(luma: np.ndarray) -> Defects:
    """All of them of a picture uint8 [height, width]. Raises ValueError for another type or shape."""
    if luma.ndim != 2 or luma.dtype != np.uint8 or not luma.size:
        raise ValueError(f"luma must be uint8 [height, width] with pixels in it, not {luma.dtype} {luma.shape}")
    blurred, smeared = blur_and_smear(luma)
    return Defects(
        combing(luma), blurred, smeared, ghost(luma), blockiness(luma), flat(luma), overlaid_text(luma)
    )  # fmt: skip


def as_row(found: Defects) -> dict[str, float]:
    """Columns for a table, to four places."""
    return {name: round(value, 4) for name, value in asdict(found).items()}


def combing(luma: np.ndarray) -> float:
    """Share of the picture in which rows alternate more than columns do, as s / (s + COMB_HALF_SHARE).

    A pixel is combed if its row and the ones below it stand out by turns from both neighbours, as in the comb tests of
    Decomb and TIVTC, here over runs of rows and on the mean of four columns, so that a thin line does not count. Dither
    alternates both ways.
    """
    share = _alternating(luma)
    if share:
        share = max(0.0, share - _alternating(np.ascontiguousarray(luma.T)))
    return share / (share + COMB_HALF_SHARE)


def _alternating(luma: np.ndarray) -> float:
    """Share of the picture that lies in runs of alternating rows."""
    if luma.shape[0] < COMB_ROWS + 2:
        return 0.0
    narrow = cv2.resize(luma, (max(1, luma.shape[1] // 4), luma.shape[0]), interpolation=cv2.INTER_AREA)
    up = cv2.subtract(narrow[1:-1], cv2.max(narrow[:-2], narrow[2:])) >= COMB_LEVELS
    down = cv2.subtract(cv2.min(narrow[:-2], narrow[2:]), narrow[1:-1]) >= COMB_LEVELS
    up[1::2], down[1::2] = down[1::2].copy(), up[1::2].copy()  # now a comb is a run of one of them
    kernel = np.ones((COMB_ROWS, 1), np.uint8)
    runs = [cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_OPEN, kernel) for mask in (up, down)]
    return float(cv2.countNonZero(cv2.bitwise_or(*runs))) / narrow.size


def blur_and_smear(luma: np.ndarray) -> tuple[float, float]:
    """Blur: how soft the picture is in its sharpest direction; smear: how much of what that leaves to
    lose is lost in its softest.

    Softness is the share of the differences between neighbours that a further blur leaves (Crete et al., The Blur
    Effect, 2007). Here it is taken of their energy in every direction at once: the structure tensor of the blurred
    picture against that of the picture itself, whose generalised eigenvalues are the least and the greatest share.
    Directions with hardly any differences of their own, a fence along its bars, count as soft as the whole. Of a
    picture that is soft all over smear says little.
    """
    if min(luma.shape) < 2 * BLUR_BOX:
        return 0.0, 0.0
    before, after = np.zeros((2, 2)), np.zeros((2, 2))
    for top in range(0, luma.shape[0] - BLUR_BOX, STRIP_STEP):
        strip = luma[top : top + STRIP_ROWS]
        before += _structure(strip)
        after += _structure(cv2.blur(strip, (BLUR_BOX, BLUR_BOX)))
    if not (energy := float(np.trace(before))):
        return 0.0, 0.0
    part = BLUR_PRIOR * energy * np.eye(2)
    share = np.linalg.eigvals(np.linalg.solve(before + part, after + part * (float(np.trace(after)) / energy))).real
    least, most = np.sqrt(np.clip(np.sort(share), 0, 1))
    return float(least), float((most - least) / max(1 - least, 1e-6))


def _structure(strip: np.ndarray) -> np.ndarray:
    """The sum of outer products of the gradient, float64 [2, 2]."""
    levels = strip.astype(np.float32)
    across = (levels[:-1, 1:] - levels[:-1, :-1]).ravel()
    down = (levels[1:, :-1] - levels[:-1, :-1]).ravel()
    mixed = float(across @ down)
    return np.array([[float(across @ across), mixed], [mixed, float(down @ down)]])


def ghost(luma: np.ndarray) -> float:
    """How many of the things that cross an edge go on unchanged on its other side, as s / (s + GHOST_HALF_SHARE).

    Where one thing stands before another, what lies behind ends at the edge; where two pictures are mixed, the contrast
    across an edge of one stays the same while the other changes along it (the X-junction of Adelson and Anandan 1990).
    Looked at along upright and level edges at half size. Light and texture of photographs and rendered pictures go on
    across edges too: there it only ranks.
    """
    small = cv2.resize(luma, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) if min(luma.shape) >= 360 else luma
    if min(small.shape) < 4 * GHOST_WALK:
        return 0.0
    through = opaque = 0
    for picture in (small, small.T):
        counted = _crossings(np.ascontiguousarray(picture))
        through, opaque = through + counted[0], opaque + counted[1]
    return through / (through + GHOST_HALF_SHARE * (opaque + GHOST_PRIOR))


def _crossings(picture: np.ndarray) -> tuple[int, int]:
    """(contrast of crossings that shine through, of those that end) at upright edges, on every second column."""
    levels = picture.astype(np.int16)
    left = np.ascontiguousarray(levels[:, : -2 * GHOST_REACH : 2])
    right = np.ascontiguousarray(levels[:, 2 * GHOST_REACH :: 2])
    contrast = right - left
    here, there = contrast[:-GHOST_WALK], contrast[GHOST_WALK:]
    edge = (np.abs(here) > GHOST_LEVELS) & (np.abs(there) > GHOST_LEVELS) & ((here > 0) == (there > 0))
    y, x = np.divmod(np.flatnonzero(edge.ravel()), edge.shape[1])
    change_left = left[y + GHOST_WALK, x] - left[y, x]
    change_right = right[y + GHOST_WALK, x] - right[y, x]
    change = np.maximum(np.abs(change_left), np.abs(change_right))
    crossed = change > GHOST_LEVELS
    y, x, change = y[crossed], x[crossed], change[crossed]
    at_start = contrast[y, x]
    same = GHOST_SAME * change + 1
    goes_on = np.abs(contrast[y + GHOST_WALK, x] - at_start) <= same
    through = goes_on.copy()
    for step in range(2, GHOST_WALK, 2):
        through &= np.abs(contrast[y + step, x] - at_start) <= same
    seen = np.minimum(np.abs(at_start), change).astype(np.int64)
    return int(seen[through].sum()), int(seen[~goes_on].sum())


def blockiness(luma: np.ndarray) -> float:
    """How many borders of an 8 x 8 grid show as a step between smooth neighbours, as s / (s + BLOCKS_HALF_SHARE).

    The excess at block borders over other places is the measure of Wang, Sheikh and Bovik 2002. Here steps are counted
    instead of averaged, per column the share of rows, and the medians of the eight phases compared, so that neither ink
    lines nor a single upright edge count and a cropped grid is found too. Both directions must show it.
    """
    if min(luma.shape) < 4 * GRID:
        return 0.0
    across = _border_excess(luma[1::4])
    down = _border_excess(np.ascontiguousarray(luma[:, 1::4].T))
    share = (across * down) ** 0.5
    return share / (share + BLOCKS_HALF_SHARE)


def _border_excess(rows: np.ndarray) -> float:
    step = cv2.absdiff(rows[:, 1:], rows[:, :-1])
    smooth = cv2.max(step[:, :-2], step[:, 2:]) <= SMOOTH_LEVELS
    shown = np.where(smooth & (step[:, 1:-1] >= STEP_LEVELS), step[:, 1:-1], 0).mean(axis=0)
    phases = sorted(float(np.median(shown[phase::GRID])) for phase in range(GRID))
    return max(0.0, phases[-1] - phases[-2])


def flat(luma: np.ndarray) -> float:
    """Share of the picture within FLAT_LEVELS of its most common level: 1 for a colour card."""
    histogram = np.bincount(luma[::2, ::2].ravel(), minlength=256)
    window = np.convolve(histogram, np.ones(2 * FLAT_LEVELS + 1), mode="same")
    return float(window.max() / histogram.sum())


def overlaid_text(luma: np.ndarray) -> float:
    """Share of the picture covered by lines of lettering, as s / (s + TEXT_HALF_SHARE).

    Strokes are what a small opening takes away (top hat, bright on dark or dark on bright); close ones join to lines,
    as in stroke-density text localisation (Wu, Manmatha and Riseman 1999). A line is longer than high, and
    strokes follow one another closely in it.
    """
    height = min(TEXT_HEIGHT_PX, luma.shape[0])
    width = max(1, round(luma.shape[1] * height / luma.shape[0]))
    small = cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA) if height < luma.shape[0] else luma
    covered = max(_text_area(small), _text_area(cv2.bitwise_not(small))) / small.size
    return covered / (covered + TEXT_HALF_SHARE)


def _text_area(small: np.ndarray) -> float:
    """Pixels of lines of bright letters."""
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (TEXT_STROKE_PX, TEXT_STROKE_PX))
    standing_out = cv2.morphologyEx(small, cv2.MORPH_TOPHAT, square)
    strokes = (standing_out > TEXT_LEVELS).view(np.uint8)
    lines = cv2.morphologyEx(strokes, cv2.MORPH_CLOSE, np.ones((1, 2 * TEXT_STROKE_PX), np.uint8))
    lines = cv2.morphologyEx(lines, cv2.MORPH_OPEN, np.ones((4, 2 * TEXT_STROKE_PX), np.uint8))
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(lines, connectivity=8)
    area = 0.0
    for label, (x, y, width, height, covered) in enumerate(boxes.tolist()):
        if label == 0 or not TEXT_LINE_PX[0] <= height <= TEXT_LINE_PX[1] or width < 3 * height:
            continue
        if covered < TEXT_FILL * width * height:
            continue
        line = slice(y, y + height), slice(x, x + width)
        inside = (labels[line] == label) & (strokes[line] > 0)
        borders = np.count_nonzero(inside[:, 1:] != inside[:, :-1]) / width  # of strokes, per row and square of a line
        contrast = float(np.median(standing_out[line][inside])) if inside.any() else 0.0
        if 0.2 < inside.mean() < 0.75 and borders > TEXT_BORDERS and contrast > 2 * TEXT_LEVELS:
            area += width * height
    return area
