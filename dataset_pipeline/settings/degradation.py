"""The recipe by which a super-resolution set makes its low-quality pictures worse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from dataset_pipeline.settings.section import Section

Kind = Literal["downscale", "blur", "noise", "jpeg", "webp", "h264", "h265", "mpeg2", "mpeg4", "vp9"]
DOWNSCALE = "downscale"
# Video codecs, through which the frames of the real shot go together.
BEST_AND_WORST = {"h264": (1, 51), "h265": (1, 51), "mpeg2": (1, 31), "mpeg4": (1, 31), "vp9": (1, 63)}
_RANGES: dict[str, tuple[float, float]] = {
    "blur": (0, 100), "noise": (0, 255), "jpeg": (1, 100), "webp": (1, 100), **BEST_AND_WORST,
}  # fmt: skip


class DegradationStep(Section):
    """A step of a recipe. low, high: between them its strength is drawn: of blur the sigma in pixels, of noise the
    deviation in levels, of jpeg and webp the quality, of a video codec the constant rate factor, or the quantizer of
    MPEG-2 and MPEG-4. probability: that it is taken at all. Whole numbers are drawn where only whole ones make sense.
    """

    kind: Kind
    low: float = 0.0
    high: float = 0.0
    probability: float = 1.0


def check_recipe(recipe: Sequence[DegradationStep]) -> None:
    """Raises ValueError for a recipe that does not downscale once and always, or a strength that is none."""
    scaling = [step for step in recipe if step.kind == DOWNSCALE]
    if len(scaling) != 1 or scaling[0].probability != 1:
        raise ValueError("a recipe has the step downscale, once and always")
    for step in recipe:
        least, most = _RANGES.get(step.kind, (0, 0))
        if not least <= step.low <= step.high <= most:
            raise ValueError(
                f"{step.kind} from {step.low:g} to {step.high:g} is none: it goes from {least:g} to {most:g}"
            )
        if not 0 <= step.probability <= 1:
            raise ValueError(f"{step.kind} with the probability {step.probability:g} is none: it goes from 0 to 1")
