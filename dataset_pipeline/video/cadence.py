"""How the frames of a video lie in fields: progressive, interlaced, or film spread over fields (telecine).

The flags of files are often wrong, so the pixels are asked. Weaving a frame's lines with the other lines of the frame
before and after shows which fields belong together, as ffmpeg's idet and fieldmatch do it; a weave is judged by its
combing alone, and only where something moves, so that still pictures and fine lines count for nothing.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import av
import cv2
import numpy as np

from dataset_pipeline.video.color import Cadence

Vote = Literal["progressive", "tff", "bff", "telecined", "telecined_bff"]

COMBED_ABOVE = 6  # grey levels of 255 by which a line must differ from both its neighbours
MOVES_ABOVE = 8  # grey levels of 255 between frames; less is noise
_VOTE_COLUMNS = 240  # combing runs along lines: so many columns of a picture tell enough for a vote
_CUT_ABOVE = 40  # mean grey levels between frames: another scene
_CLEARLY = 0.6  # the combing of a weave that fits, as a share of that of one that does not
_EARLIER = 0.75  # the same for fields that are neighbours in time, against fields that are not
_MIN_COMBED_SHARE = 0.04  # of the moving frames: single ones are fades and flashes
_MIN_COMBED = 3


def luma(image: av.VideoFrame) -> np.ndarray:
    """The picture's luma as uint8 [height, width], in its own range."""
    name = image.format.name
    if (image.format.is_planar and not image.format.is_rgb) or name.startswith(("nv", "p0", "p2", "p4", "gray")):
        plane, component = image.planes[0], image.format.components[0]
        if component.bits <= 8:
            return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        if not name.endswith("be") and component.bits <= 16:
            words = np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, plane.line_size // 2)[
                :, : plane.width
            ]
            unused_bits = 8 if name.startswith(("p0", "p2", "p4")) else component.bits - 8
            return (words >> unused_bits).astype(np.uint8)
    return image.reformat(format="gray").to_ndarray()


def combing(picture: np.ndarray) -> np.ndarray:
    """How deep lines are combed, uint8 [height - 3, width], of luma uint8 [height, width].

    A line's pixel counts where it is lighter than both its neighbours and the line below it darker than both of its,
    or the other way round; the shallower of the two is the depth. A single thin line is none.
    """
    above, middle, below = picture[:-2], picture[1:-1], picture[2:]
    peak = cv2.subtract(middle, cv2.max(above, below))
    valley = cv2.subtract(cv2.min(above, below), middle)
    return cv2.max(cv2.min(peak[:-1], valley[1:]), cv2.min(valley[:-1], peak[1:]))


def woven(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """The even lines of one picture (counted from 0) and the odd lines of the other; any two arrays of lines."""
    picture = top.copy()
    picture[1::2] = bottom[1::2]
    return picture


def moving(before: np.ndarray, picture: np.ndarray, after: np.ndarray) -> np.ndarray:
    """255 where a pixel or a line beside it differs from the frame before or after, uint8 [height - 3, width]."""
    change = cv2.max(cv2.absdiff(picture, before), cv2.absdiff(picture, after))
    near = cv2.max(cv2.max(change[:-3], change[1:-2]), cv2.max(change[2:-1], change[3:]))
    return cv2.threshold(near, MOVES_ABOVE, 255, cv2.THRESH_BINARY)[1]


def vote(before: np.ndarray, picture: np.ndarray, after: np.ndarray) -> Vote | None:
    """What three successive frames say of the middle one, luma uint8 each; None where they do not tell.

    `telecined`: its own fields do not fit, but its top field fits the bottom field before and its bottom field the top
    field after; `telecined_bff` the other way round. `tff` and `bff`: no fields fit, and these come next in time.
    """
    step = max(1, picture.shape[1] // _VOTE_COLUMNS)
    before, picture, after = (np.ascontiguousarray(frame[:, ::step]) for frame in (before, picture, after))
    if max(float(cv2.absdiff(picture, other).mean()) for other in (before, after)) > _CUT_ABOVE:
        return None
    mask = moving(before, picture, after)
    pixels = cv2.countNonZero(mask)
    if pixels < max(64, mask.size // 1000):
        return None

    def combed(top: np.ndarray, bottom: np.ndarray) -> float:
        depth = cv2.bitwise_and(combing(woven(top, bottom)), mask)
        return float(cv2.subtract(depth, COMBED_ABOVE).sum()) / pixels  # type: ignore[call-overload]

    own = combed(picture, picture)
    top_first = (combed(picture, before) + combed(after, picture)) / 2
    bottom_first = (combed(picture, after) + combed(before, picture)) / 2
    if max(own, top_first, bottom_first) < 0.2:
        return None
    if own < _CLEARLY * min(top_first, bottom_first):
        return "progressive"
    if top_first < _CLEARLY * min(own, bottom_first):
        return "telecined"
    if bottom_first < _CLEARLY * min(own, top_first):
        return "telecined_bff"
    if top_first < _EARLIER * bottom_first:
        return "tff"
    if bottom_first < _EARLIER * top_first:
        return "bff"
    return None


def decide_cadence(runs: Iterable[Sequence[Vote | None]]) -> Cadence:
    """The cadence of a file from the votes of runs of successive frames, taken at many places.

    A share of combed frames makes it one that is not progressive: its restoration leaves whole frames whole. Where
    nothing moves nothing is combed.
    """
    votes = Counter(one for run in runs for one in run if one is not None)
    combed = votes.total() - votes["progressive"]
    if combed < _MIN_COMBED or combed < _MIN_COMBED_SHARE * votes.total():
        return "progressive"
    fitting = votes["telecined"] + votes["telecined_bff"]
    # Film in fields has whole frames between the combed ones; video of the same look is restored as well that way.
    if 2 * fitting >= combed or (4 * fitting >= combed and votes["progressive"] >= combed):
        return "telecined" if votes["telecined"] >= votes["telecined_bff"] else "telecined_bff"
    return "tff" if votes["tff"] + votes["telecined"] >= votes["bff"] + votes["telecined_bff"] else "bff"
