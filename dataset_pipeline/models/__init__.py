"""The injected models: one resource class per role, offline, lazy, batched, and open about which weights answer.

Importing this package imports no model library.
"""

import logging

from dataset_pipeline.models.detector import Box, Detector
from dataset_pipeline.models.device import DeviceUnavailable
from dataset_pipeline.models.embedder import FrameEmbedder
from dataset_pipeline.models.identity import Identity
from dataset_pipeline.models.pose import Pose
from dataset_pipeline.models.quality import QualityMetric
from dataset_pipeline.models.registry import ModelFingerprint, ModelPack, RegistryError, WeightsMissing, load_registry
from dataset_pipeline.models.tagger import Tagger, TagScores
from dataset_pipeline.models.text_detector import TextDetector

# pyiqa and diffusers import it, and on some processors it warns of kernels that nothing here uses.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

__all__ = [
    "Box",
    "Detector",
    "DeviceUnavailable",
    "FrameEmbedder",
    "Identity",
    "ModelFingerprint",
    "ModelPack",
    "Pose",
    "QualityMetric",
    "RegistryError",
    "TagScores",
    "Tagger",
    "TextDetector",
    "WeightsMissing",
    "load_registry",
]
