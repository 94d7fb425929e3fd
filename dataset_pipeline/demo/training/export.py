"""From a torch module to the bytes of an ONNX file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

OPSET = 17
IR_VERSION = 9
HALF_FROM_ELEMENTS = 256


def to_onnx(
    module: nn.Module,
    example: torch.Tensor,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Export `module` in evaluation mode with a free batch axis (axis 0 of every input and output).

    `example` is one input batch of at least two items; `metadata` becomes the model's custom properties, which
    imgutils reads class names and the input size from.
    """
    buffer = io.BytesIO()
    names = [*inputs, *outputs]
    torch.onnx.export(
        module.eval(),
        (example,),
        buffer,
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_axes={name: {0: "batch"} for name in names},
        opset_version=OPSET,
        dynamo=False,
    )
    model = onnx.load_from_string(buffer.getvalue())
    store_weights_as_half(model)
    if metadata:
        helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def store_weights_as_half(model: onnx.ModelProto) -> None:
    """Store large float32 initialisers as float16 with a cast back: half the file, the same float32 arithmetic."""
    graph = model.graph
    casts: list[onnx.NodeProto] = []
    for index, tensor in enumerate(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < HALF_FROM_ELEMENTS:
            continue
        half = numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}.half")
        casts.append(helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))
        graph.initializer[index].CopyFrom(half)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def difference_metric_onnx(width: int, scale: float) -> bytes:
    """ONNX of the identity metric: [n, width] features -> [n, n] differences ``clip(scale * (1 - cosine), 0, 1)``."""
    nodes = [
        helper.make_node("LpNormalization", ["input"], ["unit"], axis=1, p=2),
        helper.make_node("Transpose", ["unit"], ["unit_t"], perm=[1, 0]),
        helper.make_node("MatMul", ["unit", "unit_t"], ["cosine"]),
        helper.make_node("Sub", ["one", "cosine"], ["distance"]),
        helper.make_node("Mul", ["distance", "scale"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "zero", "one"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "difference",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", "batch"])],
        [numpy_helper.from_array(np.float32(v), n) for n, v in (("one", 1.0), ("zero", 0.0), ("scale", scale))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model.SerializeToString()
