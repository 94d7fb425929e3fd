"""Running ONNX files: a session on an explicit device, in batches where the file allows it.

On a CPU the rows of a batch run side by side, each on one core by itself. That takes less time than all cores on one
operator, which wait for each other at its end, and what a network holds while it runs is that of as many rows as there
are cores, however large the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from dataset_pipeline.base.cores import usable_cores
from dataset_pipeline.models.device import CUDA_PROVIDER, Device, DeviceUnavailable, preload_cuda_libraries

if TYPE_CHECKING:
    import torch


Batch: TypeAlias = "np.ndarray | torch.Tensor | list[np.ndarray] | list[torch.Tensor]"


class OnnxRunner:
    """One ONNX file, or its content, opened on one device; `run` may be called from several threads.

    threads: cores for one batch on the CPU; 0 = all that this process may use. apart: each row of a batch has an answer
    of its own, as of pictures; false for a network that compares rows.
    Raises DeviceUnavailable if the session does not run on the device asked for.
    """

    def __init__(self, model: Path | bytes, device: Device, threads: int = 0, apart: bool = True) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.side_by_side = 1
        providers: list[Any] = ["CPUExecutionProvider"]
        if device.cuda:
            preload_cuda_libraries()
            # The default search times every algorithm and may pick another one each time: other bits in the answer.
            cuda = {"device_id": device.index, "cudnn_conv_algo_search": "HEURISTIC"}
            providers.insert(0, (CUDA_PROVIDER, cuda))
        else:
            cores = threads or usable_cores()
            self.side_by_side = cores if apart else 1
            options.intra_op_num_threads = 1 if apart else cores
            # Threads that spin while they wait take the cores from those that prepare the next pictures.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
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

    def run(self, batch: Batch, output: str | None = None) -> tuple[np.ndarray, int]:
        """The named output (the first, if none is named) for a batch [b, ...], in one array or row by row, and how many
        runs that took: one, also where rows run side by side, and of a file whose batch axis is fixed one for each
        piece.

        Such a file is run piece by piece, on a CPU side by side too; a short last piece is filled up and cut again. A
        tensor is read where it lies, on the GPU or in memory.
        """
        [answer], runs = self.run_several(batch, [output or self.session.get_outputs()[0].name])
        return answer, runs

    def run_several(self, batch: Batch, outputs: Sequence[str]) -> tuple[list[np.ndarray], int]:
        """As `run`, of several outputs at once, in the order named."""
        names, cut = list(outputs), list(self._cut(batch))
        if self.side_by_side > 1 and len(cut) > 1:
            pieces = list(_callers(self.side_by_side).map(lambda it: self._answers(it[0], it[1], names), cut))
        else:
            pieces = [self._answers(piece, length, names) for piece, length in cut]
        joined = [it[0] if len(it) == 1 else np.concatenate(it) for it in zip(*pieces, strict=True)]
        return joined, 1 if self.fixed_batch is None else len(pieces)

    def _answers(self, piece: Any, length: int, outputs: list[str]) -> list[np.ndarray]:
        if isinstance(piece, np.ndarray):
            answers = self.session.run(outputs, {self.input.name: piece})
        else:
            answers = self._bound(piece.contiguous(), outputs)
        return [np.asarray(answer)[:length] for answer in answers]

    def _bound(self, piece: torch.Tensor, outputs: list[str]) -> list[np.ndarray]:
        import torch

        if piece.is_cuda:  # the session works on a stream of its own
            torch.cuda.current_stream(piece.device).synchronize()
        binding, device = self.session.io_binding(), piece.device
        binding.bind_input(
            self.input.name, device.type, device.index or 0, np.float32, tuple(piece.shape), piece.data_ptr()
        )
        for output in outputs:
            binding.bind_output(output, "cpu")
        self.session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return binding.copy_outputs_to_cpu()

    def _cut(self, batch: Batch) -> Iterator[tuple[Any, int]]:
        """Pieces, and how many rows of each count. Rows that run apart are not copied."""
        size = self.fixed_batch
        if len(batch) == size or (size is None and (self.side_by_side == 1 or not len(batch))):
            yield _stacked(batch), len(batch)
            return
        if size is None:
            yield from ((row[None], 1) for row in batch)
            return
        for start in range(0, len(batch), size):
            length = min(size, len(batch) - start)
            rows: list[Any] = [batch[start + min(row, length - 1)] for row in range(size)]
            yield _stacked(rows), length


def _stacked(batch: Batch) -> np.ndarray | torch.Tensor:
    if not isinstance(batch, list):
        return batch
    rows: list[Any] = batch
    if isinstance(rows[0], np.ndarray):
        return np.stack(rows)
    import torch

    return torch.stack(rows)


@functools.cache
def _callers(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "onnx")
