"""The identity model of the pack: the scale of its differences and the export in the CCIP contract."""

from __future__ import annotations

import json

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from dataset_pipeline.characters.clustering import cluster
from dataset_pipeline.demo.training.export import difference_metric_onnx, to_onnx
from dataset_pipeline.demo.training.people import CROP_SIZE, PeopleNet, person_vectors

SHRINKING = 3
INPUT_SIZE = SHRINKING * CROP_SIZE
FEATURE_WIDTH = 768
REAL_THRESHOLD = 0.17847511429108218  # of ccip-caformer-24-randaug-pruned
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class ExportedIdentity(nn.Module):
    """CLIP-normalised RGB [b, 3, 384, 384] -> features [b, 768], of which the first 126 carry the identity."""

    def __init__(self, net: PeopleNet) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(CLIP_MEAN)[None, :, None, None])
        self.register_buffer("std", torch.tensor(CLIP_STD)[None, :, None, None])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits, _, identity = self.net(F.avg_pool2d(images * self.std + self.mean, SHRINKING))
        vectors = person_vectors(logits, identity)
        return F.pad(vectors, (0, FEATURE_WIDTH - vectors.shape[1]))


def best_distance(vectors: np.ndarray, identity: np.ndarray, cast: np.ndarray) -> float:
    """The cosine distance below which two crops count as one character, for which clusters are truest.

    Tried on the crops of each cast on its own: `vectors` [n, d] of unit length, `identity` [n], `cast` [n]. The
    measure is the adjusted Rand index of the pipeline's own clustering at that distance, averaged over casts and over
    2 and 4 as least cluster sizes; among equally good distances the middle one wins.
    """
    from sklearn.metrics import adjusted_rand_score

    distances = np.linspace(0.05, 0.9, 35)
    scores = np.zeros(len(distances))
    for number in np.unique(cast):
        rows = cast == number
        apart = (1 - vectors[rows] @ vectors[rows].T).clip(0)
        for i, distance in enumerate(distances):
            for least in (2, 4):
                scores[i] += adjusted_rand_score(identity[rows], cluster(apart, distance, least))
    good = np.flatnonzero(scores >= scores.max() * 0.995)
    return float(distances[good].mean())


def identity_files(net: PeopleNet, distance: float) -> dict[str, bytes]:
    """The four files of the CCIP model, scaled so that `distance` becomes the real model's threshold."""
    threshold = round(REAL_THRESHOLD, 6)
    example = torch.rand(2, 3, INPUT_SIZE, INPUT_SIZE)
    clusters = {
        "dbscan_2": {"eps": round(threshold * 0.9, 6), "min_samples": 2},
        "dbscan_free": {"eps": threshold, "min_samples": 3},
        "optics": {"eps": threshold, "min_samples": 5},
    }
    return {
        "model_feat.onnx": to_onnx(ExportedIdentity(net), example, inputs=["input"], outputs=["output"]),
        "model_metrics.onnx": difference_metric_onnx(FEATURE_WIDTH, threshold / distance),
        "metrics.json": json.dumps({"threshold": threshold}).encode(),
        "cluster.json": json.dumps(clusters).encode(),
    }
