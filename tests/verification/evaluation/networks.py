"""A small network of many kinds of layers, and the files that exporters, converters and optimizers make of it."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn import functional

from resnetx.base.loggers import silenced
from resnetx.graph.export import Signature, export_module


class Mixture(nn.Module):
    """Convolutions, normalizations, gates, pools, attention: in 20,000 parameters."""

    def __init__(self, classes: int = 7) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.depthwise = nn.Conv2d(16, 16, 5, padding=2, groups=16)
        self.groups = nn.GroupNorm(4, 16)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.SiLU(), nn.Conv2d(4, 16, 1))
        self.slope = nn.PReLU(16)
        self.up = nn.ConvTranspose2d(16, 16, 3, stride=2, padding=1, output_padding=1, groups=4)
        self.average = nn.AvgPool2d(2, padding=1, count_include_pad=False)
        self.before = nn.LayerNorm(16)
        self.qkv = nn.Linear(16, 48)
        self.mlp = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.stem(x)))
        x = self.pool(x)
        x = x + functional.leaky_relu(self.groups(self.depthwise(x)), 0.125)
        x = x * torch.sigmoid(self.gate(x))
        x = self.slope(self.average(functional.interpolate(self.up(x), scale_factor=0.5, mode="bilinear")))
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.before(tokens)).chunk(3, -1)
        tokens = tokens + torch.softmax(q @ k.transpose(1, 2) * 0.25, -1) @ v
        tokens = tokens + self.mlp(tokens)
        return self.head(functional.elu(tokens).mean(1))


class Plain(nn.Module):
    """What quantizers know: convolutions, additions, ReLU and pools."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 8, 3, padding=1)
        self.two = nn.Conv2d(8, 8, 3, padding=1)
        self.three = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.one(x))
        x = functional.relu(x + self.two(x))
        x = functional.max_pool2d(functional.relu(self.three(x)), 2)
        return self.head(x.mean((2, 3)))


@torch.no_grad()
def mixture(seed: int = 0) -> Mixture:
    """With parameters and statistics away from their defaults, and epsilons that float32 holds exactly."""
    torch.manual_seed(seed)
    network = Mixture()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
            module.weight.uniform_(0.5, 1.5)
            module.bias.uniform_(-0.5, 0.5)
            module.eps = 2.0**-16
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@torch.no_grad()
def plain(seed: int = 0) -> Plain:
    """Each filter's largest weight is 127 steps of 1/512 and all others are whole steps: INT8 stores them exactly."""
    torch.manual_seed(seed)
    network = Plain()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            steps = torch.randint(-60, 61, module.weight.shape)
            steps[:, 0].fill_(127)
            module.weight.copy_(steps / 512)
            assert module.bias is not None
            module.bias.uniform_(-0.5, 0.5)
    return network.eval()


def batch(count: int = 3, size: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 3, size, size)).astype(np.float32)


@torch.no_grad()
def truth(network: nn.Module, x: np.ndarray) -> np.ndarray:
    """In float64; the network stays as it was."""
    kind = next(network.parameters()).dtype
    result = network.double()(torch.from_numpy(x).double()).numpy()
    network.to(kind)
    return np.asarray(result)


def exported(network: nn.Module, *, exporter: str = "torchscript", opset: int = 17, size: int = 24) -> onnx.ModelProto:
    example = torch.zeros((2, 3, size, size), dtype=next(network.parameters()).dtype)
    signature = Signature(inputs=("x",), outputs=("y",), free=({0: "batch"},))
    return export_module(network, [example], signature=signature, opset=opset, exporter=exporter)  # type: ignore[arg-type]


def optimized(model: onnx.ModelProto, folder: Path, level: str) -> onnx.ModelProto:
    """As ONNX Runtime writes it: ENABLE_BASIC, ENABLE_EXTENDED or ENABLE_ALL."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}")
    options.optimized_model_filepath = str(folder / f"{level}.onnx")
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(options.optimized_model_filepath)


def quantized(model: onnx.ModelProto, folder: Path, *, operators: bool = False) -> onnx.ModelProto:
    """By ONNX Runtime's static quantizer, as Q/DQ pairs or as quantized operators."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds: Iterator[dict[str, np.ndarray]] = iter([{"x": batch(seed=seed)} for seed in range(4)])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.feeds, None)

    form = quantization.QuantFormat.QOperator if operators else quantization.QuantFormat.QDQ
    with warnings.catch_warnings(), silenced("root"):
        warnings.simplefilter("ignore")
        quantization.quantize_static(
            onnx.ModelProto.FromString(model.SerializeToString()),  # it moves the weights out of what it is given
            folder / "quantized.onnx",
            Reader(),
            quant_format=form,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
    return onnx.load(folder / "quantized.onnx")


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, as a part of the largest number."""
    assert found.shape == wanted.shape and np.abs(wanted).max() > 0
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())
