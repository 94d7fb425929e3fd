"""Running ONNX files: a session on an explicit device, in batches where the file allows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataset_pipeline.base.cores import usable_cores
from dataset_pipeline.models.device import CUDA_PROVIDER, Device, DeviceUnavailable, preload_cuda_libraries


class OnnxRunner:
    """One ONNX file, or its content, opened on one device; `run` may be called from several threads.

    threads: cores for one run on the CPU; 0 = all that this process may use.
    Raises DeviceUnavailable if the session does not run on the device asked for.
    """

    def __init__(self, model: Path | bytes, device: Device, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        providers: list[Any] = ["CPUExecutionProvider"]
        if device.cuda:
            preload_cuda_libraries()
            # The default search times every algorithm and may pick another one each time: other bits in the answer.
            cuda = {"device_id": device.index, "cudnn_conv_algo_search": "HEURISTIC"}
            providers.insert(0, (CUDA_PROVIDER, cuda))
        else:
            options.intra_op_num_threads = threads or usable_cores()
        self.path = "a network in memory" if isinstance(model, bytes) else str(model)
        content = model if isinstance(model, bytes) else self.path
        self.session = onnxruntime.InferenceSession(content, options, providers=providers)
        runs_on = self.session.get_providers()[0]
        if device.cuda and runs_on != CUDA_PROVIDER:
            raise DeviceUnavailable(f"{self.path} was to run on {device}, but its session runs on {runs_on}")
        self.input = self.session.get_inputs()[0]
        axis = self.input.shape[0]
        self.fixed_batch: int | None = axis if isinstance(axis, int) else None

    @property
    def metadata(self) -> dict[str, str]:
        """The key/value pairs stored in the file."""
        return self.session.get_modelmeta().custom_metadata_map

    def run(self, batch: np.ndarray, output: str | None = None) -> tuple[np.ndarray, int]:
        """The named output (the first, if none is named) for a batch [b, ...], and how many runs that took.

        A file whose batch axis is fixed is run piece by piece; a short last piece is filled up and cut again.
        """
        [answer], runs = self.run_several(batch, [output or self.session.get_outputs()[0].name])
        return answer, runs

    def run_several(self, batch: np.ndarray, outputs: Sequence[str]) -> tuple[list[np.ndarray], int]:
        """As `run`, of several outputs at once, in the order named."""
        pieces = []
        for piece, length in self._cut(batch):
            answers = self.session.run(list(outputs), {self.input.name: piece})
            pieces.append([np.asarray(answer)[:length] for answer in answers])
        joined = [it[0] if len(it) == 1 else np.concatenate(it) for it in zip(*pieces, strict=True)]
        return joined, len(pieces)

    def _cut(self, batch: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        size = self.fixed_batch
        if size is None or len(batch) == size:
            yield batch, len(batch)
            return
        for start in range(0, len(batch), size):
            piece = batch[start : start + size]
            yield np.concatenate([piece, np.repeat(piece[-1:], size - len(piece), axis=0)]), len(piece)
