"""From what an excerpt costs to what the whole costs: units of work, and rates for each of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

# Of what each asset's cost grows; of `images` where it is not said. What is fixed is told apart by two sizes.
DRIVERS = {
    "video_probe": "sources",
    "shots": "seconds",
    "tracks": "seconds",
    "alignments": "seconds",
    "panoramas": "seconds",
    "backdrops": "seconds",
    "stitched_embeddings": "seconds",
    "clips": "seconds",
    "training_clips": "seconds",
    "keyframes": "candidates",
    "frame_embeddings": "candidates",
    "hand_edited_tags": "sources",
    "distinct_frames": "stills",
    "stills": "candidates",
    "detections": "stills",
    "text_lines": "stills",
    "screen_marks": "candidates",
    "burnt_in_text": "stills",
    "crops": "stills",
    "details": "stills",
    "crop_embeddings": "crops",
    "character_gallery": "crops",
    "repeated_frames": "stills",
    "descriptions": "selected",
    "training_images": "selected",
    "captions": "selected",
    "multiplies": "selected",
    "training_set": "selected",
    "exported_set": "selected",
}
FEWEST_TIMES = 1.5  # two measurements whose sizes are nearer tell nothing of a fixed cost


@dataclass(frozen=True)
class Units:
    """How much work there is: episodes, seconds of video, candidate frames (of a folder all its pictures), stills,
    crops, images (stills and crops) and images selected for the set."""

    sources: float = 0.0
    seconds: float = 0.0
    candidates: float = 0.0
    stills: float = 0.0
    crops: float = 0.0
    images: float = 0.0
    selected: float = 0.0

    def __add__(self, other: Units) -> Units:
        return Units(*(getattr(self, unit.name) + getattr(other, unit.name) for unit in fields(self)))

    def __mul__(self, factor: float) -> Units:
        return Units(*(getattr(self, unit.name) * factor for unit in fields(self)))

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def driver_of(asset: str, is_folder: bool = False, every_frame_is_looked_at: bool = False) -> str:
    """The unit that an asset's cost grows with. A folder's pictures are all probed; a mode of keyframes that looks at
    every frame costs by seconds."""
    if is_folder and asset in ("video_probe", "hand_edited_tags"):
        return "candidates"
    if asset == "keyframes" and every_frame_is_looked_at and not is_folder:
        return "seconds"
    return DRIVERS.get(asset, "images")


@dataclass(frozen=True)
class Rate:
    """What a step costs, in seconds or bytes: `fixed` each time it runs, and `each` unit of its driver."""

    fixed: float
    each: float

    def of(self, units: float) -> float:
        return self.fixed + self.each * units


def fitted(small: tuple[float, float], large: tuple[float, float]) -> Rate:
    """The rate through two measurements (units, cost), neither part of it below zero. Where both are of about one size
    the cost is taken to grow from nothing, and where there are no units, to be fixed."""
    (units, cost), (more_units, more_cost) = small, large
    if more_units <= 0:
        return Rate(more_cost, 0.0)
    most = more_cost / more_units
    if more_units < FEWEST_TIMES * units:
        return Rate(0.0, most)
    each = min(most, max(0.0, (more_cost - cost) / (more_units - units)))
    return Rate(more_cost - each * more_units, each)


def distinct_of(whole: float, looked_at: int, distinct: int, distinct_in_halves: Sequence[int]) -> float:
    """How many of `whole` pictures are distinct, if `distinct` of those `looked_at` are.

    More pictures repeat more of one another: the number grows as a power of theirs (Heaps' law, Herdan 1960), whose
    exponent shows in the halves of what was looked at.
    """
    if looked_at <= 0 or distinct <= 0:
        return 0.0
    half = sum(distinct_in_halves) / len(distinct_in_halves) if distinct_in_halves else 0.0
    exponent = min(1.0, max(0.0, math.log2(distinct / half))) if half > 0 else 1.0
    return min(whole, distinct * (whole / looked_at) ** exponent)


def whole_of(sample: Units, seconds: float, candidates: float, stills: float) -> Units:
    """The units of one whole source: what comes after stills in the sample's proportions."""
    each = stills / sample.stills if sample.stills else 0.0
    return Units(
        sources=1.0,
        seconds=seconds,
        candidates=candidates,
        stills=stills,
        crops=sample.crops * each,
        images=sample.images * each,
        selected=sample.selected * each,
    )


@dataclass(frozen=True)
class Looks:
    """What a model cost while an asset ran: seconds in its calls, those of them in which it really looked, the pictures
    that it looked at and those that it was given."""

    call_s: float = 0.0
    look_s: float = 0.0
    looked_at: int = 0
    given: int = 0

    def __add__(self, other: Looks) -> Looks:
        return Looks(
            self.call_s + other.call_s,
            self.look_s + other.look_s,
            self.looked_at + other.looked_at,
            self.given + other.given,
        )

    @property
    def each_s(self) -> float:
        return self.look_s / self.looked_at if self.looked_at else 0.0

    def as_if_all(self, step_s: float, each_s: float) -> float:
        """Seconds of a step of `step_s` had the model looked at all that it was given, at `each_s` a picture."""
        return step_s - (self.call_s - self.look_s) + each_s * (self.given - self.looked_at)
