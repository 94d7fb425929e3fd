"""How long the demo pack is trained: in full, shortly, or just long enough for a test."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How much is drawn and for how many batches each net learns; never a clock, so that a rerun gives the same."""

    casts: int
    scenes_per_cast: int
    calibration_casts: int
    calibration_scenes_per_cast: int
    portraits: int
    moments: int
    pictures: int
    detector_steps: int
    people_steps: int
    embedder_steps: int
    quality_steps: int
    measured_scenes: int


FULL = Plan(
    casts=480,
    scenes_per_cast=6,
    calibration_casts=8,
    calibration_scenes_per_cast=25,
    portraits=6000,
    moments=160,
    pictures=220,
    detector_steps=1200,
    people_steps=2600,
    embedder_steps=300,
    quality_steps=250,
    measured_scenes=120,
)
SHORT = Plan(
    casts=180,
    scenes_per_cast=9,
    calibration_casts=6,
    calibration_scenes_per_cast=14,
    portraits=1500,
    moments=90,
    pictures=150,
    detector_steps=500,
    people_steps=700,
    embedder_steps=200,
    quality_steps=200,
    measured_scenes=48,
)
TINY = Plan(
    casts=3,
    scenes_per_cast=4,
    calibration_casts=1,
    calibration_scenes_per_cast=4,
    portraits=4,
    moments=2,
    pictures=3,
    detector_steps=2,
    people_steps=2,
    embedder_steps=2,
    quality_steps=2,
    measured_scenes=0,
)
PLANS = {"full": FULL, "short": SHORT, "tiny": TINY}
