"""The model resources of a project, made from its settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataset_pipeline.models.detector import Detector
from dataset_pipeline.models.embedder import FrameEmbedder
from dataset_pipeline.models.generator import Generator
from dataset_pipeline.models.identity import Identity
from dataset_pipeline.models.pose import Pose
from dataset_pipeline.models.quality import QualityMetric
from dataset_pipeline.models.registry import WeightsMissing, cache_folder
from dataset_pipeline.models.resource import ModelResource
from dataset_pipeline.models.tagger import Tagger
from dataset_pipeline.models.text_detector import TextDetector
from dataset_pipeline.settings import Settings
from dataset_pipeline.training.score_cut import metric_fault

NOT_PULLED = "not pulled"
QUALITY_BATCH = 4  # hyperIQA makes 25 crops of a picture


def model_resources(settings: Settings) -> dict[str, ModelResource]:
    """One resource for each role: embedder, detector, identity, quality, tagger, text detector; pose where points of
    class pictures are wanted, so that nobody else needs its weights."""
    chosen = settings.models
    common: dict[str, Any] = {
        "pack": chosen.pack,
        "cache": chosen.cache,
        "device": chosen.device,
        "keep_loaded": chosen.keep_loaded,
        "batch_size": chosen.batch_size,
    }
    small_batches: dict[str, Any] = {**common, "batch_size": min(chosen.batch_size, QUALITY_BATCH)}
    return {
        "embedder": FrameEmbedder(model=chosen.embedder, **common),
        "detector": Detector(models=chosen.detector, score_floor=settings.detections.score_floor, **common),
        "identity": Identity(model=chosen.identity, **common),
        "quality": QualityMetric(
            model=chosen.quality,
            short_side_px=settings.quality_scores.short_side_px,
            **small_batches,
        ),
        "tagger": Tagger(models=chosen.taggers, **common),
        "text_detector": TextDetector(
            model=chosen.text_detector,
            long_side_px=settings.text_lines.long_side_px,
            score_floor=settings.text_lines.score_floor,
            **common,
        ),
        **({"pose": Pose(model=chosen.pose, **common)} if settings.regularization_regions.by_points else {}),
    }


def generator_of(settings: Settings) -> Generator:
    """What makes class pictures. It is no role of a pack, and none of `model_resources`: which model answers is asked
    of a server or read from gigabytes, so that only who generates asks."""
    chosen = settings.models
    cache = Path(chosen.cache).expanduser() if chosen.cache else cache_folder()
    return Generator(settings.generator, chosen.device, chosen.keep_loaded, cache / "sha256.json")


def known_weights(resources: Mapping[str, ModelResource]) -> dict[str, str]:
    """The sha256 of each role's weights, or `not pulled`: definitions load without weights, runs do not start."""
    weights = {}
    for role, resource in resources.items():
        try:
            weights[role] = resource.fingerprint().sha256
        except WeightsMissing:
            weights[role] = NOT_PULLED
    return weights


def cut_fault(settings: Settings, quality: ModelResource) -> str:
    """Why the cut of `[selection]` would stop a run at its end: it is meant for another metric. Empty if it is not."""
    selection = settings.selection
    return metric_fault(quality.terms()["metric"], selection.metric, "selection") if selection.by_metric else ""


def missing_weights(resources: Mapping[str, ModelResource]) -> list[str]:
    """For each role without weights, the error that names role, repository, file and the command that fetches them."""
    messages = []
    for resource in resources.values():
        try:
            resource.fingerprint()
        except WeightsMissing as error:
            messages.append(str(error))
    return messages
