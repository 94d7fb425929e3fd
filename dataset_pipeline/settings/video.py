"""Sections of how videos are decoded, and which frames of them are kept."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
)

from dataset_pipeline.settings.kinds import Byte, Cosine, Share
from dataset_pipeline.settings.section import NO_RESULT, Section


class VideoSettings(Section):
    hardware: Annotated[Literal["none", "cuda"], NO_RESULT]


class ShotsSettings(Section):
    cut_ratio: Annotated[float, Field(ge=1.0, le=100.0)]
    cut_change: Annotated[float, Field(ge=0.0, le=255.0)]
    min_shot_s: Annotated[float, Field(ge=0.0, le=60.0)]
    fade_level: Byte


class TracksSettings(Section):
    mode: Literal["off", "auto", "on"]
    per_s: Annotated[float, Field(gt=0.0, le=120.0)]


class AlignmentsSettings(Section):
    panoramas: Literal["off", "on"]
    backdrops: Literal["off", "auto", "on"]
    min_travel: Share


class StitchedLimits(Section):
    """From which share on what is stitched is kept, and from which a person is asked."""

    like_frame: Share
    doubtful_like_frame: Share
    known: Share
    doubtful_known: Share
    max_residual_px: Annotated[float, Field(ge=0.0, le=10.0)]


class PanoramasSettings(StitchedLimits):
    min_travel: Share


class BackdropsSettings(StitchedLimits):
    pass


POSES_RULE = 2  # raised when the same tracks give other poses, so that keyframes in other modes stay as they are


class KeyframesSettings(Section):
    mode: Literal["iframes", "mpdecimate", "interval", "shot", "poses"]
    hi: Annotated[int, Field(ge=0, le=16_384)]
    lo: Annotated[int, Field(ge=0, le=16_384)]
    frac: Share
    max_drop: Annotated[int, Field(ge=0)]
    every_s: Annotated[float, Field(gt=0.0, le=3600.0)]
    frames_per_shot: Annotated[int, Field(ge=1, le=100)]
    poses_per_track: Annotated[int, Field(ge=1, le=100)]
    poses_min_score: Share
    working_short_side_px: Annotated[int, Field(ge=32, le=4096)]
    chroma_upsampling: Literal["smooth", "nearest"]
    alpha_background: Annotated[list[Byte], Field(min_length=3, max_length=3)]

    @property
    def looks_at_every_frame(self) -> bool:
        """Whether candidates are chosen among all frames of a video."""
        return self.mode in ("mpdecimate", "interval", "shot")

    @property
    def picks_poses(self) -> bool:
        """Whether candidates are chosen from tracks."""
        return self.mode == "poses"

    def counted(self) -> dict[str, Any]:
        """Without what is for `poses` alone, in other modes, and with the version of its rule in that one."""
        found = super().counted()
        if self.picks_poses:
            return found | {"poses_rule": POSES_RULE}
        return {name: value for name, value in found.items() if not name.startswith("poses_")}


class FramePassSettings(Section):
    """Follows from the other sections and stands in no file. `whole`: the frames of a pass are decoded whole, since
    `keyframes` may share it; else for small copies alone, which is faster, gives other pixels at edges of blocks, and
    counts for no version."""

    whole: bool

    def counted(self) -> dict[str, Any]:
        return super().counted() if self.whole else {}


class FrameDefectsSettings(Section):
    max_combing: Share
    max_ghost: Share
    max_blockiness: Share
    drop: list[Literal["combing", "ghost", "blockiness"]]


class DistinctFramesSettings(Section):
    similarity: Cosine
    min_contrast: Share


class RepeatedFramesSettings(Section):
    similarity: Cosine
    aligned_similarity: Cosine
