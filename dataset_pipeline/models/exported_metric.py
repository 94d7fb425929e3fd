"""HyperIQA through onnxruntime, which takes a third of what torch takes of a CPU: exported once from the pulled
weights, and used where it answers as pyiqa does.

The network sees crops, whose number is free; the crops of a picture are cut by pyiqa's own function, and its score is
their mean. The other metrics of pyiqa that take weights look at whole pictures of any size, which no export follows.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import io
import logging
import platform
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dataset_pipeline.base.errors import is_out_of_memory
from dataset_pipeline.base.paths import write_whole
from dataset_pipeline.models.device import Device
from dataset_pipeline.models.onnx import OnnxRunner

if TYPE_CHECKING:
    import torch

METRIC = "hyperiqa"
CROPS, CROP_PX = 25, 224
TOLERANCE = 1e-5  # of a crop's score, which lies in about 0..1
LIBRARIES = ("pyiqa", "torch", "onnxruntime-gpu", "onnxruntime")  # another version may answer otherwise
EXPORT = 1  # raised when `exported` or `difference` do otherwise, so that what was kept before is made again
FOLDER = "exported"  # beside a pack's `hub/`, or in the user's cache folder
logger = logging.getLogger(__name__)


class ExportedMetric:
    """HyperIQA as pyiqa's metric: called with RGB pictures [n, 3, height, width] in 0..1, it gives float32 [n]."""

    def __init__(self, runner: OnnxRunner) -> None:
        self.runner = runner

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        import torch

        scores = self.of_crops(crops_of(pictures).numpy())
        return torch.from_numpy(scores.reshape(len(pictures), CROPS).mean(1))

    def of_crops(self, crops: np.ndarray) -> np.ndarray:
        """float32 [n] of crops float32 [n, 3, 224, 224] in 0..1."""
        return self.runner.run(crops)[0].reshape(len(crops))


def crops_of(pictures: torch.Tensor) -> torch.Tensor:
    """The crops [25 n, 3, 224, 224] that pyiqa's hyperIQA looks at in pictures [n, 3, height, width]."""
    from pyiqa.archs.arch_util import uniform_crop

    crops: Any = uniform_crop([pictures], CROP_PX, CROPS)
    return crops


def open_metric(load: Callable[[], Any], weights_sha256: str, folders: Sequence[Path], threads: int = 0) -> Any:
    """The exported network of these weights, from the first folder that has it; else exported from what `load` gives
    (pyiqa's metric) and kept in the first folder that takes it; else, with a warning, that metric itself."""
    name = f"{METRIC}-{weights_sha256[:16]}-{_versions()}.onnx"
    for path in (folder / name for folder in folders):
        if path.is_file():
            try:
                return ExportedMetric(OnnxRunner(path, Device("cpu"), threads))
            except Exception as error:
                _of_export(error, f"{path} is damaged and is made again")
    metric = load()
    try:
        content = exported(metric.net)
        found = ExportedMetric(OnnxRunner(content, Device("cpu"), threads))
        reason = difference(metric.net, found)
    except Exception as error:
        _of_export(error, f"{METRIC} runs through pyiqa, which is slower: its network could not be exported")
        return metric
    if reason:
        logger.warning("%s runs through pyiqa, which is slower: %s", METRIC, reason)
        return metric
    _keep(content, name, folders)
    return found


def exported(net: Any) -> bytes:
    """HyperIQA's network as an ONNX file: any number of crops [n, 3, 224, 224] in, scores [n, 1] out."""
    import torch

    class OfCrops(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, crops: torch.Tensor) -> torch.Tensor:
            return self.net.forward_patch(crops)

    wrapped = OfCrops().eval()  # a wrapper is made in training mode, and puts what it wraps into that of its own
    buffer: Any = io.BytesIO()
    options: dict[str, Any] = {"opset_version": 17, "dynamo": False, "dynamic_axes": {"crops": {0: "n"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter: what it takes for constant, which `difference` finds out
        example = (torch.rand(2, 3, CROP_PX, CROP_PX),)
        torch.onnx.export(wrapped, example, buffer, input_names=["crops"], output_names=["scores"], **options)
    return buffer.getvalue()


def difference(net: Any, found: ExportedMetric) -> str:
    """How the exported network answers otherwise than pyiqa's, on the crops of a picture at once and on one alone;
    empty where it does not."""
    import torch

    crops = crops_of(torch.from_numpy(probe())[None])
    with torch.inference_mode():
        expected = net.forward_patch(crops).reshape(-1).numpy()
    answers = np.append(found.of_crops(crops.numpy()), found.of_crops(crops[:1].numpy()))
    most = float(np.abs(answers - np.append(expected, expected[:1])).max())
    if most <= TOLERANCE:  # false for what is no number
        return ""
    return f"the exported network's answers differ from those of pyiqa by up to {most:.2g}"


def probe() -> np.ndarray:
    """float32 [3, 300, 400] in 0..1: a picture that is smooth at one side and noise at the other, bright to dark."""
    rng = np.random.default_rng(0)
    light = np.linspace(1, 0, 300, dtype=np.float32)[None, :, None] * np.array([1, 0.8, 0.6], np.float32)[:, None, None]
    noise = rng.random((3, 300, 400), np.float32) * np.linspace(0, 1, 400, dtype=np.float32)
    return np.clip(light + noise - 0.25, 0, 1)


def _versions() -> str:
    """8 hex digits over the versions of this export and of the libraries that take part, and the kind of CPU."""
    told = [f"export {EXPORT}", platform.machine()]
    for library in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            told.append(f"{library} {importlib.metadata.version(library)}")
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:8]


def _keep(content: bytes, name: str, folders: Sequence[Path]) -> None:
    for folder in folders:
        try:
            write_whole(folder / name, content)
        except OSError as error:
            logger.info("%s cannot be written: %s", folder / name, error)
            continue
        return
    logger.warning("%s is exported by each process again: none of its folders can be written", METRIC)


def _of_export(error: Exception, what: str) -> None:
    """Tell of an error that costs the export alone; raise one of the whole."""
    if is_out_of_memory(error):
        raise error
    logger.warning("%s (%s)", what, " ".join(str(error).split())[:300])
