"""Whether two pictures show the same character: CCIP, with the preprocessing of dghs-imgutils."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, ClassVar, NamedTuple

import numpy as np

from dataset_pipeline.characters.vectors import unit
from dataset_pipeline.models import loading
from dataset_pipeline.models.batching import overlapped, peek, prepared_batches
from dataset_pipeline.models.device import Device, onnx_device
from dataset_pipeline.models.imports import import_imgutils
from dataset_pipeline.models.on_device import Preparation, can_prepare_on, preparation_like
from dataset_pipeline.models.onnx import OnnxRunner
from dataset_pipeline.models.registry import Role
from dataset_pipeline.models.resource import SingleModelResource

FEATURE_LENGTH = 768
SIDE_PX = 384  # of the input
DIFFERENCES_AT_ONCE = 2000
FORM_TOLERANCE = 1e-4  # how far a form may be from what the network answers
PROBED_COSINES = 41
PROBED_LENGTHS = (0.05, 1.0, 30.0)


class LinearForm(NamedTuple):
    """A metric that is linear in the cosine: clip(at_right_angles - slope * cosine, low, high)."""

    at_right_angles: float
    slope: float
    low: float
    high: float

    def differences(self, features: np.ndarray, others: np.ndarray) -> np.ndarray:
        """float32 [n, m] between features [n, d] and others [m, d]: one matrix product."""
        ours = unit(features)
        answer = ours @ (ours if others is features else unit(others)).T
        answer *= -self.slope
        answer += self.at_right_angles
        return np.clip(answer, self.low, self.high, out=answer)


class _Networks(NamedTuple):
    features: OnnxRunner
    differences: OnnxRunner | LinearForm


def linear_form(compare: Callable[[np.ndarray], np.ndarray]) -> LinearForm | None:
    """The form of a metric that is linear in the cosine; None for every other metric.

    compare: of [n, 768] gives [n, n]. It is asked about vectors of many cosines to one another and several lengths; the
    form counts if it gives all answers within FORM_TOLERANCE, on vectors that it was not fitted to as well.
    """
    probes = _probes()
    ours = unit(probes).astype(np.float64)
    cosines, answers = ours @ ours.T, np.asarray(compare(probes), np.float64)
    low, high = float(answers.min()), float(answers.max())
    between = (answers > low + FORM_TOLERANCE) & (answers < high - FORM_TOLERANCE)
    between[1::2] = False
    if between.sum() < PROBED_COSINES:
        return None
    slope, at_right_angles = np.polyfit(cosines[between], answers[between], 1)
    form = LinearForm(float(at_right_angles), float(-slope), low, high)
    fits = np.abs(form.differences(probes, probes) - answers).max() < FORM_TOLERANCE
    return form if fits else None


def _probes() -> np.ndarray:
    """float32 [n, 768]: vectors at every angle to one axis, in several planes through it and of several lengths."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(FEATURE_LENGTH, 1 + len(PROBED_LENGTHS))))[0].T
    cosines = np.linspace(-1.0, 1.0, PROBED_COSINES)[:, None]
    turned = [
        length * (cosines * basis[0] + np.sqrt(1 - cosines**2) * across)
        for length, across in zip(PROBED_LENGTHS, basis[1:], strict=True)
    ]
    return np.concatenate([*turned, rng.normal(size=(PROBED_COSINES, FEATURE_LENGTH))]).astype(np.float32)


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
        runner, device = self._networks().features, onnx_device(self.device)
        found = preparation() if can_prepare_on(device) else None
        prepare = found.on(device) if found else by_imgutils()

        def features(batch: list[Any]) -> np.ndarray:
            answer, runs = runner.run(batch, "output")
            loading.count(self.role, len(batch), runs)
            return answer

        batches = prepared_batches(pictures, prepare, self.batch_size)
        return np.concatenate(list(overlapped(features, batches, runner.side_by_side)))

    def differences(
        self, features: np.ndarray, others: np.ndarray | None = None, at_once: int = DIFFERENCES_AT_ONCE
    ) -> np.ndarray:
        """float32 [n, n] between all features [n, 768]; with `others` [m, 768], float32 [n, m] to each of them.

        A metric that is linear in the cosine, which is found out when its file is loaded, is one matrix product. Any
        other is asked of its network. That compares every row it is given with every other, so more than `at_once` rows
        are cut into blocks: memory beyond the answer itself stays at about at_once squared.
        """
        features = np.asarray(features, np.float32)
        if not len(features) or (others is not None and not len(others)):
            return np.zeros((len(features), 0 if others is None else len(others)), np.float32)
        metric = self._networks().differences
        if isinstance(metric, LinearForm):
            return metric.differences(features, features if others is None else np.asarray(others, np.float32))
        return self._by_network(metric, features, others, at_once)

    def _by_network(
        self, network: OnnxRunner, features: np.ndarray, others: np.ndarray | None, at_once: int
    ) -> np.ndarray:
        if others is None and len(features) <= at_once:
            return self._compare(network, features)
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
                answer[top : top + block, left : left + block] = self._compare(network, both)[: len(rows), len(rows) :]
        return answer

    def _compare(self, network: OnnxRunner, features: np.ndarray) -> np.ndarray:
        answer, runs = network.run(features, "output")
        loading.CALLS[f"{self.role}.difference_runs"] += runs
        return answer

    def _networks(self) -> _Networks:
        pack, entry = self._entry()
        device = onnx_device(self.device)
        features, differences = pack.file(entry, "features"), pack.file(entry, "differences")
        key = (pack.root, entry.name, pack.fingerprint(self.role).sha256, device, self.threads)

        def load() -> _Networks:
            # On the CPU, which multiplies with all digits: some GPUs would hide a linear form behind their rounding.
            probed = OnnxRunner(differences, Device("cpu"), self.threads, apart=False)
            form = linear_form(lambda vectors: probed.run(vectors, "output")[0])
            metric = form or (OnnxRunner(differences, device, self.threads, apart=False) if device.cuda else probed)
            return _Networks(OnnxRunner(features, device, self.threads), metric)

        return self._loaded(key, load)


def by_imgutils() -> Callable[[np.ndarray], np.ndarray]:
    """From an RGB picture [height, width, 3] uint8 to the network's input float32 [3, 384, 384]."""
    from PIL import Image

    preprocess = import_imgutils("metrics.ccip")._preprocess_image
    return lambda image: preprocess(Image.fromarray(image)).astype(np.float32)


@cache
def preparation() -> Preparation | None:
    return preparation_like(by_imgutils(), (SIDE_PX, SIDE_PX), "bilinear")
