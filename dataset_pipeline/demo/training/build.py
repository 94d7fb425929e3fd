"""From seeds to a complete demo pack."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from dataset_pipeline.demo.training.card import write_card
from dataset_pipeline.demo.training.data import (
    detector_sample,
    joined,
    moment_sample,
    quality_sample,
    scene_views,
    whole_sample,
)
from dataset_pipeline.demo.training.detector import (
    LARGE_THINGS,
    SMALL_THINGS,
    calibrate,
    detector_files,
    train_detector,
)
from dataset_pipeline.demo.training.embedder import embedder_files, train_embedder
from dataset_pipeline.demo.training.families import family_sample, hard_cast_sample
from dataset_pipeline.demo.training.identity import best_distance, identity_files
from dataset_pipeline.demo.training.layout import (
    CCIP_MODEL,
    CCIP_REPO,
    DETECTORS,
    EMBEDDER_REPO,
    POSE_FILE,
    POSE_REPO,
    QUALITY_FILE,
    QUALITY_REPO,
    TAGGER_MODEL,
    TAGGER_REPO,
    write_index,
    write_repo,
)
from dataset_pipeline.demo.training.measure import measure
from dataset_pipeline.demo.training.people import PeopleNet, numbered, people_outputs, train_people
from dataset_pipeline.demo.training.plans import Plan
from dataset_pipeline.demo.training.pose import pose_file, posed_sample, train_pose
from dataset_pipeline.demo.training.quality import quality_file, train_quality
from dataset_pipeline.demo.training.tagger import selected_tags_csv, tagger_onnx
from dataset_pipeline.demo.training.worlds import CALIBRATION, TRAINING, in_parallel, jobs_of

THREADS = 2


class Clock:
    """Says how long each part took; nothing depends on it."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def lap(self, what: str) -> None:
        now = time.monotonic()
        print(f"[{now - self.start:6.1f} s] {what}", flush=True)
        self.start = now


def build_detectors(out: Path, plan: Plan, seed: int, clock: Clock) -> None:
    """Train both detectors on the same scenes and write the six repositories."""
    samples = in_parallel(detector_sample, jobs_of(TRAINING, plan.casts, plan.scenes_per_cast))
    held_out = in_parallel(whole_sample, jobs_of(CALIBRATION, plan.calibration_casts, plan.calibration_scenes_per_cast))
    clock.lap(f"drew {len(samples)} + {len(held_out)} scenes")
    material = (
        (LARGE_THINGS, np.stack([s.detection for s in samples]), [s.boxes for s in samples], plan.large_things_steps),
        (
            SMALL_THINGS,
            np.concatenate([s.windows for s in samples]),
            [boxes for s in samples for boxes in s.window_boxes],
            plan.small_things_steps,
        ),
    )
    for k, (kind, images, boxes, steps) in enumerate(material):
        detector = train_detector(kind, images, boxes, steps=steps, seed=seed)
        shifts = calibrate(detector, np.stack([s[2 * k] for s in held_out]), [s[2 * k + 1] for s in held_out])
        for name, files in detector_files(detector, shifts).items():
            role = DETECTORS[name]
            write_repo(out, role.repo, {f"{role.model}/{path}": content for path, content in files.items()})
        clock.lap(f"detectors, calibration F1 {', '.join(f'{n} {f1:.3f}' for n, (_, f1) in shifts.items())}")


def build_people(out: Path, plan: Plan, seed: int, clock: Clock) -> None:
    """Train the people net, find the scale of its differences and write the identity model and the tagger."""
    scenes = in_parallel(scene_views, jobs_of(TRAINING, plan.casts, plan.scenes_per_cast))
    families = in_parallel(family_sample, [(TRAINING, number) for number in range(plan.families)])
    clock.lap(f"drew {len(scenes)} scenes and {len(families)} families")
    people = train_people(joined([*scenes, *families]), steps=plan.people_steps, seed=seed)
    distance = best_distance(*_calibration_crops(people, plan))
    files = identity_files(people, distance)
    write_repo(out, CCIP_REPO, {f"{CCIP_MODEL}/{path}": content for path, content in files.items()})
    write_repo(out, TAGGER_REPO, {f"{TAGGER_MODEL}/model.onnx": tagger_onnx(people)})
    write_repo(out, TAGGER_MODEL, {"selected_tags.csv": selected_tags_csv()})
    clock.lap(f"tagger and identity, cosine distance at the threshold {distance:.3f}")


def _calibration_crops(people: PeopleNet, plan: Plan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Identity vectors, who is who and which cast, of calibration scenes and of casts like the harder season's."""
    jobs = jobs_of(CALIBRATION, plan.calibration_casts, plan.calibration_scenes_per_cast)
    images, names, casts = [], [], []
    for (_, cast, _), views in zip(jobs, in_parallel(scene_views, jobs), strict=True):
        images.append(views.images)
        names += views.characters
        casts += [cast] * len(views.images)
    hard = [(CALIBRATION, number) for number in range(plan.calibration_hard_casts)]
    for (_, number), (pictures, whose) in zip(hard, in_parallel(hard_cast_sample, hard), strict=True):
        images.append(pictures)
        names += [f"hard-{number}-{name}" for name in whose]
        casts += [plan.calibration_casts + number] * len(pictures)
    identity = numbered(names)
    _, vectors = people_outputs(people, np.concatenate(images)[identity >= 0])
    return vectors, identity[identity >= 0], np.array(casts)[identity >= 0]


def build_embedder(out: Path, plan: Plan, seed: int, clock: Clock) -> None:
    """Train the embedder and write its repository."""
    moments = np.stack(in_parallel(moment_sample, jobs_of(TRAINING, plan.moments, 1)))
    write_repo(out, EMBEDDER_REPO, embedder_files(train_embedder(moments, steps=plan.embedder_steps, seed=seed)))
    clock.lap("embedder")


def build_quality(out: Path, plan: Plan, seed: int, clock: Clock) -> None:
    """Train the quality net and write its repository."""
    pictures = in_parallel(quality_sample, jobs_of(TRAINING, plan.pictures, 1))
    versions, quality = np.stack([v for v, _ in pictures]), np.stack([q for _, q in pictures])
    net = train_quality(versions, quality, steps=plan.quality_steps, seed=seed)
    write_repo(out, QUALITY_REPO, {QUALITY_FILE: quality_file(net)})
    clock.lap("quality")


def build_pose(out: Path, plan: Plan, seed: int, clock: Clock) -> None:
    """Train the pose net and write its repository."""
    samples = in_parallel(posed_sample, jobs_of(TRAINING, plan.pose_casts, plan.pose_scenes_per_cast))
    clock.lap(f"drew {len(samples)} people")
    write_repo(out, POSE_REPO, {POSE_FILE: pose_file(train_pose(samples, steps=plan.pose_steps, seed=seed))})
    clock.lap("pose")


PARTS: dict[str, Callable[[Path, Plan, int, Clock], None]] = {
    "detectors": build_detectors,
    "people": build_people,
    "embedder": build_embedder,
    "quality": build_quality,
    "pose": build_pose,
}


def build_pack(out: Path, *, plan: Plan, seed: int, parts: Sequence[str] = tuple(PARTS)) -> None:
    """Train the nets of `parts` as `plan` says and write them into the pack `out`; other parts stay as they lie there.

    Each part depends on the seed and on nothing of another part, so parts made one by one are those made together.
    Measures the written files on fresh scenes unless the plan measures none. Raises `ValueError` if `out` holds
    anything that is not a pack, and `FileNotFoundError` if a part that is not made is not there either.
    """
    if out.exists() and any(out.iterdir()) and not (out / "pack.json").is_file():
        raise ValueError(f"{out} is not empty and holds no pack.json; name an empty folder or an earlier pack")
    torch.set_num_threads(THREADS)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # nothing reads it, and it takes a tenth of the time
    clock = Clock()
    if set(parts) == set(PARTS):
        shutil.rmtree(out / "hub", ignore_errors=True)
    for part in parts:
        PARTS[part](out, plan, seed, clock)
    measured = measure(out, scenes=plan.measured_scenes) if plan.measured_scenes else {}
    clock.lap("measured")
    write_index(out, seed=seed, measured=measured)
    write_card(out, plan=plan, seed=seed, measured=measured)
