"""Healthy files and the modules that they were exported from, small enough to be made in a second."""

import functools
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import ModelProto
from torch import Tensor, nn

from resnetx.graph.export import Signature, export_module
from resnetx.graph.float16 import convert_precision
from resnetx.model.deploy import Deployed
from resnetx.model.preprocessing import IMAGENET, output_names
from tests.conftest import random_network, tiny_config

SIZE = 64


def deployed(*, output: str = "logits", pixels: bool = False, **changes: Any) -> tuple[Deployed, Tensor]:
    """A tiny network with an example of its inputs."""
    network = random_network(tiny_config(**changes))
    example = torch.zeros((2, SIZE, SIZE, 3), dtype=torch.uint8) if pixels else torch.zeros(2, 3, SIZE, SIZE)
    return Deployed(network, IMAGENET if pixels else None, output).eval(), example


def exported(
    module: nn.Module,
    example: Tensor,
    *,
    outputs: tuple[str, ...] = ("logits",),
    exporter: Any = "torchscript",
    opset: int = 17,
    dynamic_batch: bool = True,
    precision: Any = "fp32",
) -> ModelProto:
    signature = Signature(inputs=("input",), outputs=outputs, free=({0: "batch"} if dynamic_batch else {},))
    model = export_module(module, [example], signature=signature, opset=opset, exporter=exporter)
    return convert_precision(model, precision)


def file_of(module: Deployed, example: Tensor, **options: Any) -> ModelProto:
    return exported(module, example, outputs=output_names(module.output), **options)


@functools.cache
def standard() -> tuple[Deployed, Tensor, bytes]:
    """The network that most tests change the file of."""
    module, example = deployed()
    return module, example, file_of(module, example).SerializeToString()


def standard_file() -> ModelProto:
    return onnx.load_from_string(standard()[2])


def optimized(model: ModelProto, level: str, folder: Path) -> ModelProto:
    """The file as ONNX Runtime rewrites it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(folder / "optimized.onnx")
