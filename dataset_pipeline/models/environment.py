"""Facts about the libraries and the device models would run on."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import metadata

from dataset_pipeline.models.device import (
    CUDA_PROVIDER,
    Device,
    DeviceUnavailable,
    cuda_driver_devices,
    onnx_cuda_problem,
    onnx_device,
    parse_device,
    torch_cuda_problem,
    torch_device,
)

LIBRARIES = (
    "torch",
    "torchvision",
    "onnxruntime-gpu",
    "onnxruntime",
    "dghs-imgutils",
    "open_clip_torch",
    "pyiqa",
    "timm",
)


@dataclass(frozen=True)
class Gpu:
    """One CUDA device as torch sees it."""

    index: int
    name: str
    memory_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class DeviceReport:
    """`torch_runs_on` and `onnx_runs_on` are what models really run on under `asked`; a `*_problem` says why torch or
    onnxruntime cannot use the GPU, or is empty; `error` is what a model load would raise, or empty."""

    asked: str
    python: str
    system: str
    libraries: dict[str, str]
    driver_gpus: int
    gpus: tuple[Gpu, ...]
    torch_cuda: str
    torch_problem: str
    torch_runs_on: str
    onnx_providers_listed: tuple[str, ...]
    onnx_providers_used: tuple[str, ...]
    onnx_problem: str
    onnx_runs_on: str
    error: str


def device_report(device: str = "auto") -> DeviceReport:
    """What models would run on under this device setting. Raises ValueError for a setting that is none."""
    import onnxruntime
    import torch

    wanted = parse_device(device)
    index = wanted.index if wanted else 0
    runs_on: dict[str, str] = {}
    errors: list[str] = []
    for library, decide in (("torch", torch_device), ("onnx", onnx_device)):
        try:
            runs_on[library] = str(decide(device))
        except DeviceUnavailable as error:
            runs_on[library] = str(Device("cpu"))
            errors.append(str(error))
    onnx_problem = onnx_cuda_problem(index)
    return DeviceReport(
        asked=device,
        python=platform.python_version(),
        system=platform.platform(),
        libraries=_versions(),
        driver_gpus=cuda_driver_devices(),
        gpus=_gpus(),
        torch_cuda=torch.version.cuda or "",
        torch_problem=torch_cuda_problem(index),
        torch_runs_on=runs_on["torch"],
        onnx_providers_listed=tuple(onnxruntime.get_available_providers()),
        onnx_providers_used=("CPUExecutionProvider",) if onnx_problem else (CUDA_PROVIDER, "CPUExecutionProvider"),
        onnx_problem=onnx_problem,
        onnx_runs_on=runs_on["onnx"],
        error="; ".join(errors),
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _gpus() -> tuple[Gpu, ...]:
    import torch

    if cuda_driver_devices() == 0 or not torch.cuda.is_available():
        return ()
    gpus = []
    for index in range(torch.cuda.device_count()):
        free_bytes, memory_bytes = torch.cuda.mem_get_info(index)
        gpus.append(Gpu(index, torch.cuda.get_device_name(index), memory_bytes, free_bytes))
    return tuple(gpus)
