from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from dataset_pipeline.models import Detector, DeviceUnavailable, FrameEmbedder
from dataset_pipeline.models.device import (
    PROBE_MODEL,
    Device,
    cuda_driver_devices,
    onnx_cuda_problem,
    onnx_device,
    parse_device,
    torch_device,
)
from dataset_pipeline.models.environment import device_report

no_gpu = pytest.mark.skipif(cuda_driver_devices() > 0, reason="says what happens on a machine without a GPU")


def test_device_settings_are_auto_cpu_cuda_or_a_numbered_gpu():
    assert parse_device("auto") is None
    assert parse_device("cpu") == Device("cpu")
    assert (str(parse_device("cuda")), str(parse_device("cuda:1"))) == ("cuda:0", "cuda:1")
    with pytest.raises(ValueError, match="use auto, cpu, cuda or cuda:N"):
        parse_device("gpu")


def test_the_probe_model_is_an_onnx_graph_that_doubles():
    import onnxruntime

    vector = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "p", vector[:1], vector[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    assert model.SerializeToString() == PROBE_MODEL
    session = onnxruntime.InferenceSession(PROBE_MODEL, providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.asarray([1.5, 2], np.float32)})[0].tolist() == [3.0, 4.0]


@no_gpu
def test_auto_is_the_cpu_where_there_is_no_gpu_and_onnxruntime_is_not_believed():
    import onnxruntime

    assert str(onnx_device("auto")) == "cpu"
    assert str(torch_device("auto")) == "cpu"
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        assert onnx_cuda_problem(0) == "the NVIDIA driver shows no GPU"


@no_gpu
@pytest.mark.parametrize("setting", ["cuda", "cuda:1"])
def test_a_gpu_asked_for_and_absent_stops_with_what_to_do(setting: str, onnx_pack: Path, torch_pack: Path):
    picture = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(DeviceUnavailable) as of_onnx:
        Detector(cache=str(onnx_pack), device=setting).detect([picture])
    with pytest.raises(DeviceUnavailable) as of_torch:
        FrameEmbedder(cache=str(torch_pack), device=setting).embed([picture])
    for caught, library in ((of_onnx, "onnxruntime"), (of_torch, "torch")):
        message = str(caught.value)
        assert f"device '{setting}' was asked for, but {library} would run on the CPU" in message
        assert "dataset-pipeline doctor" in message
        assert "models.device" in message


@no_gpu
def test_the_report_tells_what_models_run_on_and_why():
    report = device_report("cuda")
    assert (report.torch_runs_on, report.onnx_runs_on) == ("cpu", "cpu")
    assert report.torch_problem
    assert report.onnx_problem
    assert "was asked for" in report.error
    assert report.onnx_providers_used == ("CPUExecutionProvider",)
    assert report.gpus == ()
    assert report.libraries["torch"]
    assert device_report("auto").error == ""


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_layers_compiled_for_pictures_of_ever_new_shapes_are_not_all_kept():
    program = """
import sys, torch
from dataset_pipeline.models.device import LAYERS_KEPT, torch_device
torch_device("cpu")
layer = torch.nn.Conv2d(3, 4, 3)
with torch.inference_mode():
    for width in [40, 40, *range(41, 41 + LAYERS_KEPT), 40]:
        layer(torch.zeros(2, 3, 256, width))
"""
    environment = {name: value for name, value in os.environ.items() if name != "ONEDNN_PRIMITIVE_CACHE_CAPACITY"}
    environment["ONEDNN_VERBOSE"] = "profile_create"
    said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    of_first = [line for line in said.stdout.splitlines() if "convolution" in line and "iw40" in line]
    assert ["hit" if "cache_hit" in line else "miss" for line in of_first] == ["miss", "hit", "miss"]
