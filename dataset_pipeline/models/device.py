"""Where models run: `auto`, `cpu`, `cuda` or `cuda:N`, and never silently somewhere else than asked."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

from dataset_pipeline.base.cores import usable_cores
from dataset_pipeline.base.errors import PermanentError

# An ONNX graph y = x + x (ir 9, opset 17), to see what a session really runs on.
PROBE_MODEL = (
    b'\x08\t:7\n\x0e\n\x01x\n\x01x\x12\x01y"\x03Add\x12\x01pZ\x10\n\x01x\x12\x0b\n\t\x08\x01\x12\x05\n\x03\x12\x01n'
    b"b\x10\n\x01y\x12\x0b\n\t\x08\x01\x12\x05\n\x03\x12\x01nB\x04\n\x00\x10\x11"
)
CUDA_PROVIDER = "CUDAExecutionProvider"
# oneDNN keeps the layers that it compiled for each shape of picture, 1024 by itself: 0.75 GB of a metric that looks at
# pictures as large as they are, none of which comes again. No network here has as many of one shape.
LAYERS_KEPT = 256
logger = logging.getLogger(__name__)


class DeviceUnavailable(PermanentError, RuntimeError):
    """A GPU was asked for and is not what the model would run on."""


@dataclass(frozen=True)
class Device:
    """`cpu`, or one CUDA device."""

    kind: str
    index: int = 0

    @property
    def cuda(self) -> bool:
        return self.kind == "cuda"

    def __str__(self) -> str:
        return f"cuda:{self.index}" if self.cuda else "cpu"


def parse_device(text: str) -> Device | None:
    """The device a setting names; None for `auto`. Raises ValueError."""
    match = re.fullmatch(r"auto|cpu|cuda(?::(\d+))?", text)
    if match is None:
        raise ValueError(f"device {text!r}: use auto, cpu, cuda or cuda:N")
    if text == "auto":
        return None
    return Device(text.split(":")[0], int(match[1] or 0))


@functools.cache
def cuda_driver_devices() -> int:
    """How many GPUs the NVIDIA driver shows; 0 without a driver. Costs nothing: no library but the driver is loaded."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return 0
    number = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(number)) != 0:
        return 0
    return number.value


def torch_device(setting: str) -> Device:
    """Where torch models run under this setting; on the CPU torch then takes no more threads than this process may use
    cores, as it knows nothing of a container's quota, and keeps `LAYERS_KEPT` compiled layers unless
    ONEDNN_PRIMITIVE_CACHE_CAPACITY says otherwise. Raises DeviceUnavailable."""
    device = _decide(setting, "torch", torch_cuda_problem)
    if not device.cuda:
        import torch

        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(LAYERS_KEPT))  # read at the first layer
        if torch.get_num_threads() > usable_cores():
            torch.set_num_threads(usable_cores())
    return device


@functools.cache
def torch_cuda_problem(index: int) -> str:
    """Why torch cannot use this GPU; empty if it can."""
    import torch

    if torch.version.cuda is None:
        return "this torch is built without CUDA"
    if cuda_driver_devices() == 0:
        return "the NVIDIA driver shows no GPU"
    if not torch.cuda.is_available():
        return "torch.cuda.is_available() is False"
    if index >= torch.cuda.device_count():
        return f"there are {torch.cuda.device_count()} GPUs, numbered from 0"
    return ""


def onnx_device(setting: str) -> Device:
    """Where ONNX models run under this setting. Raises DeviceUnavailable."""
    return _decide(setting, "onnxruntime", onnx_cuda_problem)


def runs_on_gpu(setting: str) -> bool:
    """Whether ONNX models really run on a GPU under this setting; without a driver nothing is loaded to find out."""
    wanted = parse_device(setting)
    if (wanted is not None and not wanted.cuda) or not cuda_driver_devices():
        return False
    return not onnx_cuda_problem(wanted.index if wanted else 0)


@functools.cache
def onnx_cuda_problem(index: int) -> str:
    """Why onnxruntime cannot use this GPU; empty if a small session really runs on it.

    get_available_providers() lists CUDA on machines without a GPU too; only a session's own get_providers() tells.
    CUDA is asked for only where a driver shows a GPU, so that machines without one see no error lines.
    """
    import onnxruntime

    if CUDA_PROVIDER not in onnxruntime.get_available_providers():
        return "this onnxruntime is built without CUDA"
    devices = cuda_driver_devices()
    if devices == 0:
        return "the NVIDIA driver shows no GPU"
    if index >= devices:
        return f"there are {devices} GPUs, numbered from 0"
    preload_cuda_libraries()
    session = onnxruntime.InferenceSession(PROBE_MODEL, providers=[(CUDA_PROVIDER, {"device_id": index})])
    if session.get_providers()[0] != CUDA_PROVIDER:
        return f"a trial session fell back to {session.get_providers()[0]}; a CUDA or cuDNN library is missing"
    return ""


@functools.cache
def preload_cuda_libraries() -> None:
    """Load the CUDA and cuDNN libraries of the Python packages, which onnxruntime does not find by itself."""
    import onnxruntime

    onnxruntime.preload_dlls()


def _decide(setting: str, library: str, problem: Callable[[int], str]) -> Device:
    wanted = parse_device(setting)
    if wanted is not None and not wanted.cuda:
        return wanted
    reason = problem(wanted.index if wanted else 0)
    if not reason:
        return wanted or Device("cuda")
    if wanted is not None:
        raise DeviceUnavailable(
            f"device {setting!r} was asked for, but {library} would run on the CPU: {reason}. "
            "See `dataset-pipeline doctor`, or set models.device to 'auto' or 'cpu'."
        )
    if cuda_driver_devices():
        logger.warning("there is a GPU, but %s runs on the CPU: %s", library, reason)
    return Device("cpu")
