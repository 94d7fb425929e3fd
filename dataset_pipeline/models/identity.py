"""Whether two pictures show the same character: CCIP, with the preprocessing of dghs-imgutils."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

import numpy as np

from dataset_pipeline.models import loading
from dataset_pipeline.models.batching import peek, prepared_batches
from dataset_pipeline.models.device import onnx_device
from dataset_pipeline.models.imports import import_imgutils
from dataset_pipeline.models.onnx import OnnxRunner
from dataset_pipeline.models.registry import Role
from dataset_pipeline.models.resource import SingleModelResource

FEATURE_LENGTH = 768
DIFFERENCES_AT_ONCE = 2000


class _Networks(NamedTuple):
    features: OnnxRunner
    differences: OnnxRunner


class Identity(SingleModelResource):
    """Features of one character per picture, and how much two of them differ (0..1, less is more alike)."""

    role: ClassVar[Role] = "identity"

    @property
    def threshold(self) -> float:
        """The difference up to which the model's authors call two pictures the same. Raises WeightsMissing."""
        pack, entry = self._entry()
        return float(json.loads(pack.file(entry, "metrics").read_text("utf-8"))["threshold"])

    def embed(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """float32 [n, 768], not normalised, for n RGB pictures [height, width, 3] uint8 of any sizes.

        Raises WeightsMissing, DeviceUnavailable, ValueError for a picture of another shape.
        """
        pictures = peek(images)
        if pictures is None:
            return np.zeros((0, FEATURE_LENGTH), np.float32)
        from PIL import Image

        runner = self._networks().features
        preprocess = import_imgutils("metrics.ccip")._preprocess_image

        def prepare(image: np.ndarray) -> np.ndarray:
            return preprocess(Image.fromarray(image)).astype(np.float32)

        features = []
        for batch in prepared_batches(pictures, prepare, self.batch_size):
            answer, runs = runner.run(np.stack(batch), "output")
            features.append(answer)
            loading.count(self.role, len(batch), runs)
        return np.concatenate(features)

    def differences(
        self, features: np.ndarray, others: np.ndarray | None = None, at_once: int = DIFFERENCES_AT_ONCE
    ) -> np.ndarray:
        """float32 [n, n] between all features [n, 768]; with `others` [m, 768], float32 [n, m] to each of them.

        The network compares every row it is given with every other, so more than `at_once` rows are cut into blocks:
        memory beyond the answer itself stays at about at_once squared.
        """
        features = np.asarray(features, np.float32)
        if others is None and len(features) <= at_once:
            return self._compare(features)
        columns = features if others is None else np.asarray(others, np.float32)
        answer = np.zeros((len(features), len(columns)), np.float32)
        block = max(1, at_once // 2)
        for top in range(0, len(features), block):
            rows = features[top : top + block]
            for left in range(0, len(columns), block):
                if others is None and left < top:
                    answer[top : top + block, left : left + block] = answer[left : left + block, top : top + block].T
                    continue
                both = np.concatenate([rows, columns[left : left + block]])
                answer[top : top + block, left : left + block] = self._compare(both)[: len(rows), len(rows) :]
        return answer

    def _compare(self, features: np.ndarray) -> np.ndarray:
        if not len(features):
            return np.zeros((0, 0), np.float32)
        answer, runs = self._networks().differences.run(features, "output")
        loading.CALLS[f"{self.role}.difference_runs"] += runs
        return answer

    def _networks(self) -> _Networks:
        pack, entry = self._entry()
        device = onnx_device(self.device)
        paths = [pack.file(entry, "features"), pack.file(entry, "differences")]
        key = (pack.root, entry.name, pack.fingerprint(self.role).sha256, device, self.threads)
        return self._loaded(key, lambda: _Networks(*(OnnxRunner(path, device, self.threads) for path in paths)))
