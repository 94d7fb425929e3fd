"""What models run on, as `doctor` tells it."""

from __future__ import annotations

import logging
import platform

import pytest

from dataset_pipeline.models import environment
from dataset_pipeline.models.device import CUDA_PROVIDER, Device, DeviceUnavailable
from dataset_pipeline.models.environment import Gpu, device_report


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "cuda_driver_devices", lambda: 0)
    monkeypatch.setattr(environment, "torch_cuda_problem", lambda index: "no GPU")
    monkeypatch.setattr(environment, "onnx_cuda_problem", lambda index: "no GPU")
    for decide in ("torch_device", "onnx_device"):
        monkeypatch.setattr(environment, decide, lambda device: Device("cpu"))


def test_a_machine_without_a_gpu_runs_everything_on_its_cpu(without_gpu):
    report = device_report("auto")
    assert (report.torch_runs_on, report.onnx_runs_on, report.error) == ("cpu", "cpu", "")
    assert (report.torch_problem, report.onnx_problem, report.gpus) == ("no GPU", "no GPU", ())
    assert report.onnx_providers_used == ("CPUExecutionProvider",)
    assert report.python == platform.python_version()
    assert {"torch", "pyiqa", "open_clip_torch"} <= report.libraries.keys()


def test_a_gpu_that_both_libraries_can_use_is_used_by_both(monkeypatch):
    monkeypatch.setattr(environment, "cuda_driver_devices", lambda: 1)
    monkeypatch.setattr(environment, "torch_cuda_problem", lambda index: "")
    monkeypatch.setattr(environment, "onnx_cuda_problem", lambda index: "")
    for decide in ("torch_device", "onnx_device"):
        monkeypatch.setattr(environment, decide, lambda device: Device("cuda", 0))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda index: (3, 4))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda index: "H")
    report = device_report("cuda")
    assert (report.torch_runs_on, report.onnx_runs_on) == ("cuda:0", "cuda:0")
    assert report.gpus == (Gpu(0, "H", 4, 3),)
    assert report.onnx_providers_used[0] == CUDA_PROVIDER


@pytest.mark.parametrize("decide", ["torch_device", "onnx_device"])
def test_what_a_model_load_would_raise_is_told(without_gpu, monkeypatch, decide):
    def unavailable(device: str) -> Device:
        raise DeviceUnavailable("there is no GPU 3")

    monkeypatch.setattr(environment, decide, unavailable)
    report = device_report("cuda:3")
    assert report.error == "there is no GPU 3"
    assert (report.torch_runs_on, report.onnx_runs_on) == ("cpu", "cpu")


def test_a_device_setting_that_is_none_is_an_error():
    with pytest.raises(ValueError, match="gpu"):
        device_report("gpu")


def test_a_library_that_is_not_installed_has_no_version(without_gpu, monkeypatch):
    monkeypatch.setattr(environment, "LIBRARIES", ("torch", "no-such-library"))
    assert list(device_report("cpu").libraries) == ["torch"]


def test_what_a_library_warns_of_that_nothing_here_uses_is_not_printed():
    assert not logging.getLogger("bitsandbytes.backends.cpu.ops").isEnabledFor(logging.WARNING)
    assert logging.getLogger("bitsandbytes.backends.cpu.ops").isEnabledFor(logging.ERROR)
