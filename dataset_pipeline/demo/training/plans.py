"""How long the demo pack is trained: in full, shortly, or just long enough for a test."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How much is drawn and for how many batches each net learns; never a clock, so that a rerun gives the same."""

    casts: int
    scenes_per_cast: int
    calibration_casts: int
    calibration_scenes_per_cast: int
    families: int
    calibration_hard_casts: int
    moments: int
    pictures: int
    large_things_steps: int
    small_things_steps: int
    people_steps: tuple[int, int]
    embedder_steps: int
    quality_steps: int
    pose_casts: int
    pose_scenes_per_cast: int
    pose_steps: int
    measured_scenes: int


FULL = Plan(
    casts=300,
    scenes_per_cast=6,
    calibration_casts=8,
    calibration_scenes_per_cast=12,
    families=1600,
    calibration_hard_casts=3,
    moments=160,
    pictures=220,
    large_things_steps=1000,
    small_things_steps=3750,
    people_steps=(1800, 900),
    embedder_steps=300,
    quality_steps=250,
    pose_casts=300,
    pose_scenes_per_cast=8,
    pose_steps=1200,
    measured_scenes=120,
)
SHORT = Plan(
    casts=180,
    scenes_per_cast=9,
    calibration_casts=6,
    calibration_scenes_per_cast=14,
    families=700,
    calibration_hard_casts=2,
    moments=90,
    pictures=150,
    large_things_steps=600,
    small_things_steps=1500,
    people_steps=(500, 250),
    embedder_steps=200,
    quality_steps=200,
    pose_casts=150,
    pose_scenes_per_cast=8,
    pose_steps=400,
    measured_scenes=48,
)
TINY = Plan(
    casts=3,
    scenes_per_cast=4,
    calibration_casts=1,
    calibration_scenes_per_cast=4,
    families=4,
    calibration_hard_casts=1,
    moments=2,
    pictures=3,
    large_things_steps=2,
    small_things_steps=2,
    people_steps=(2, 2),
    embedder_steps=2,
    quality_steps=2,
    pose_casts=2,
    pose_scenes_per_cast=2,
    pose_steps=2,
    measured_scenes=0,
)
PLANS = {"full": FULL, "short": SHORT, "tiny": TINY}
