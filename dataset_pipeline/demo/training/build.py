"""From seeds to a complete demo pack."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import torch

from dataset_pipeline.demo.training.card import write_card
from dataset_pipeline.demo.training.data import (
    CALIBRATION,
    TRAINING,
    in_parallel,
    jobs_of,
    joined,
    moment_sample,
    portrait_sample,
    quality_sample,
    scene_sample,
)
from dataset_pipeline.demo.training.detector import calibrate, detector_files, train_detector
from dataset_pipeline.demo.training.embedder import embedder_files, train_embedder
from dataset_pipeline.demo.training.identity import best_distance, identity_files
from dataset_pipeline.demo.training.layout import (
    CCIP_MODEL,
    CCIP_REPO,
    DETECTORS,
    EMBEDDER_REPO,
    QUALITY_FILE,
    QUALITY_REPO,
    TAGGER_MODEL,
    TAGGER_REPO,
    write_index,
    write_repo,
)
from dataset_pipeline.demo.training.measure import measure
from dataset_pipeline.demo.training.people import numbered, people_outputs, train_people
from dataset_pipeline.demo.training.plans import Plan
from dataset_pipeline.demo.training.quality import quality_file, train_quality
from dataset_pipeline.demo.training.tagger import selected_tags_csv, tagger_onnx

THREADS = 2


def build_pack(out: Path, *, plan: Plan, seed: int) -> None:
    """Train every net as `plan` says and write a complete pack into `out`, replacing the pack that lies there.

    Measures the written files on fresh scenes unless the plan measures none. Raises `ValueError` if `out` holds
    anything that is not a pack.
    """
    if out.exists() and any(out.iterdir()) and not (out / "pack.json").is_file():
        raise ValueError(f"{out} is not empty and holds no pack.json; name an empty folder or an earlier pack")
    torch.set_num_threads(THREADS)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    clock = _Clock()

    samples = in_parallel(scene_sample, jobs_of(TRAINING, plan.casts, plan.scenes_per_cast))
    held_out_jobs = jobs_of(CALIBRATION, plan.calibration_casts, plan.calibration_scenes_per_cast)
    held_out = in_parallel(scene_sample, held_out_jobs)
    clock.lap(f"drew {len(samples)} + {len(held_out)} scenes")

    shutil.rmtree(out / "hub", ignore_errors=True)
    detector = train_detector(
        np.stack([s.detection for s in samples]), [s.boxes for s in samples], steps=plan.detector_steps, seed=seed
    )
    shifts = calibrate(detector, np.stack([s.detection for s in held_out]), [s.boxes for s in held_out])
    for name, files in detector_files(detector, shifts).items():
        role = DETECTORS[name]
        write_repo(out, role.repo, {f"{role.model}/{path}": content for path, content in files.items()})
    clock.lap(f"detectors, calibration F1 {', '.join(f'{n} {f1:.3f}' for n, (_, f1) in shifts.items())}")

    portraits = in_parallel(portrait_sample, [(TRAINING, number) for number in range(plan.portraits)])
    clock.lap(f"drew {len(portraits)} strangers twice")
    people = train_people(joined([*(s.views for s in samples), *portraits]), steps=plan.people_steps, seed=seed)
    views = joined([s.views for s in held_out])
    cast = np.repeat([job[1] for job in held_out_jobs], [len(s.views.images) for s in held_out])
    identity = numbered(views.characters)
    _, vectors = people_outputs(people, views.images[identity >= 0])
    distance = best_distance(vectors, identity[identity >= 0], cast[identity >= 0])
    files = identity_files(people, distance)
    write_repo(out, CCIP_REPO, {f"{CCIP_MODEL}/{path}": content for path, content in files.items()})
    write_repo(out, TAGGER_REPO, {f"{TAGGER_MODEL}/model.onnx": tagger_onnx(people)})
    write_repo(out, TAGGER_MODEL, {"selected_tags.csv": selected_tags_csv()})
    clock.lap(f"tagger and identity, cosine distance at the threshold {distance:.3f}")

    moments = np.stack(in_parallel(moment_sample, jobs_of(TRAINING, plan.moments, 1)))
    embedder = train_embedder(moments, steps=plan.embedder_steps, seed=seed)
    write_repo(out, EMBEDDER_REPO, embedder_files(embedder))
    clock.lap("embedder")

    pictures = in_parallel(quality_sample, jobs_of(TRAINING, plan.pictures, 1))
    versions, quality = np.stack([v for v, _ in pictures]), np.stack([q for _, q in pictures])
    write_repo(
        out,
        QUALITY_REPO,
        {QUALITY_FILE: quality_file(train_quality(versions, quality, steps=plan.quality_steps, seed=seed))},
    )
    clock.lap("quality")

    measured = measure(out, scenes=plan.measured_scenes) if plan.measured_scenes else {}
    clock.lap("measured")
    write_index(out, seed=seed, measured=measured)
    write_card(out, plan=plan, seed=seed, measured=measured)


class _Clock:
    """Says how long each part took; nothing depends on it."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def lap(self, what: str) -> None:
        now = time.monotonic()
        print(f"[{now - self.start:6.1f} s] {what}", flush=True)
        self.start = now
