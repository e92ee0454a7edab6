"""Whole networks: exported, converted, optimized and quantized files against PyTorch in float64 and ONNX Runtime."""

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import resnetx
from resnetx.base.loggers import silenced
from resnetx.graph.float16 import convert_precision
from resnetx.verification.evaluation.evaluator import Arithmetic, Evaluator, Steps, UnsupportedGraph
from tests.conftest import random_network, tiny_config
from tests.verification.evaluation.networks import (
    batch,
    exported,
    mixture,
    optimized,
    plain,
    quantized,
    relative,
    truth,
)
from tests.verification.evaluation.one_node import runtime_answers


def evaluated(
    model: onnx.ModelProto, x: np.ndarray, *, steps: Steps = "kept", arithmetic: Arithmetic = "float64"
) -> np.ndarray:
    return Evaluator(model, steps=steps, arithmetic=arithmetic).run({"x": x})["y"]


@pytest.fixture(scope="module")
def mixture_file() -> onnx.ModelProto:
    return exported(mixture())


@pytest.fixture(scope="module")
def plain_file() -> onnx.ModelProto:
    return exported(plain())


@pytest.mark.parametrize(
    ("exporter", "opset"), [("torchscript", 13), ("torchscript", 18), ("dynamo", 20), ("dynamo", 23)]
)
def test_a_float64_export_is_the_network(exporter: str, opset: int) -> None:
    """Exported from float64, so that nothing in the file is rounded, not even a folded BatchNorm."""
    network = mixture().double()
    x = batch()
    assert relative(evaluated(exported(network, exporter=exporter, opset=opset), x), truth(network, x)) < 1e-12


@pytest.mark.parametrize("variant", ["v1.5", "v1", "textbook"])
def test_a_float64_export_of_our_networks_is_the_network(variant: str) -> None:
    config = tiny_config(variant=variant, stages=(1, 2, 1, 1) if variant == "textbook" else (1, 2))
    network = random_network(config).double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 2.0**-16
    x = batch(size=64)
    assert relative(evaluated(exported(network, size=64), x), truth(network, x)) < 1e-12


def test_a_float32_export_differs_by_its_rounded_weights(mixture_file: onnx.ModelProto) -> None:
    x = batch()
    exact = evaluated(mixture_file, x)
    assert 0 < relative(exact, truth(mixture(), x)) < 3e-7
    assert 0 < relative(runtime_answers(mixture_file, {"x": x})[0], exact) < 2e-6


@pytest.mark.parametrize("level", ["ENABLE_BASIC", "ENABLE_EXTENDED"])
def test_what_onnxruntime_optimizes_computes_the_same(
    mixture_file: onnx.ModelProto, tmp_path: Path, level: str
) -> None:
    x = batch()
    file = optimized(mixture_file, tmp_path, level)
    assert relative(evaluated(file, x), evaluated(mixture_file, x)) < 3e-7
    if level == "ENABLE_EXTENDED":
        assert {"FusedConv", "FusedMatMul", "BiasGelu", "QuickGelu"} <= {node.op_type for node in file.graph.node}


def test_a_float16_file(mixture_file: onnx.ModelProto) -> None:
    x = batch()
    half = convert_precision(copy.deepcopy(mixture_file), "fp16")
    network = mixture()
    with torch.no_grad():
        for module in network.modules():
            for parameter in module.parameters(recurse=False):
                parameter.copy_(parameter.half().float())
    ignored, kept, declared = (evaluated(half, x, steps=steps) for steps in ("ignored", "kept", "declared"))  # type: ignore[arg-type]
    # What remains is the file's own weights; those of the folded convolution are not the module's, rounded.
    assert relative(ignored, truth(network, x)) < 1e-3
    assert 0 < relative(kept, ignored) < 1e-3
    assert relative(kept, ignored) < relative(declared, ignored) < 4e-3
    # ONNX Runtime computes most of this file in float32 on a processor.
    assert relative(runtime_answers(half, {"x": x})[0], ignored) < 2e-3


def test_a_quantized_file_with_its_steps_is_what_the_runtime_computes(
    plain_file: onnx.ModelProto, tmp_path: Path
) -> None:
    x = batch()
    file = quantized(plain_file, tmp_path)
    kept = evaluated(file, x)
    assert relative(runtime_answers(file, {"x": x})[0], kept) < 1e-6
    assert 1e-4 < relative(kept, truth(plain(), x)) < 2e-2


def test_a_quantized_file_without_its_steps_is_the_network(plain_file: onnx.ModelProto, tmp_path: Path) -> None:
    """Also where the quantizer has left out a ReLU; only the biases were rounded, and are stored so."""
    x = batch()
    file = quantized(plain_file, tmp_path)
    assert not any(node.op_type == "Relu" for node in file.graph.node)
    assert relative(evaluated(file, x, steps="ignored"), truth(plain(), x)) < 1e-4


@pytest.mark.parametrize("operators", [False, True])
def test_quantized_operators_compute_what_pairs_of_steps_do(
    plain_file: onnx.ModelProto, tmp_path: Path, operators: bool
) -> None:
    x = batch()
    pairs = quantized(plain_file, tmp_path)
    file = (
        quantized(plain_file, tmp_path, operators=True) if operators else optimized(pairs, tmp_path, "ENABLE_EXTENDED")
    )
    assert {"QLinearConv", "QLinearAdd"} <= {node.op_type for node in file.graph.node}
    assert relative(evaluated(file, x, steps="ignored"), truth(plain(), x)) < 1e-4
    # The converted file rounds the average and the classifier's output too.
    assert relative(evaluated(file, x), evaluated(pairs, x)) < (2e-2 if operators else 1e-9)


def test_a_wrong_scale_shows_without_the_steps(plain_file: onnx.ModelProto, tmp_path: Path) -> None:
    """Steps and no rounding: a pair whose scales differ is not the identity."""
    x = batch()
    file = quantized(plain_file, tmp_path)
    activations = {node.output[0] for node in file.graph.node if node.op_type == "QuantizeLinear"}
    node = next(each for each in file.graph.node if each.op_type == "DequantizeLinear" and each.input[0] in activations)
    scale = next(each for each in file.graph.initializer if each.name == node.input[1])
    wrong = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(scale) * np.float32(1.02), "wrong_scale")
    file.graph.initializer.append(wrong)
    node.input[1] = "wrong_scale"
    assert relative(evaluated(file, x, steps="ignored"), truth(plain(), x)) > 2e-3


def test_the_noise_of_each_arithmetic(mixture_file: onnx.ModelProto) -> None:
    x = batch()
    exact = evaluated(mixture_file, x)
    noise = {
        name: relative(evaluated(mixture_file, x, arithmetic=name), exact)
        for name in ("float32", "tf32", "fp16", "bf16")
    }  # type: ignore[arg-type]
    assert 1e-8 < noise["float32"] < 2e-6
    assert 2e-5 < noise["tf32"] < 2e-3
    assert noise["tf32"] / 2 < noise["fp16"] < noise["bf16"]
    assert 5e-4 < noise["bf16"] < 3e-2


def test_weights_that_are_quantized_and_activations_as_they_come(tmp_path: Path) -> None:
    """ONNX Runtime's dynamic quantization: DynamicQuantizeLinear, MatMulInteger and ConvInteger."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with silenced("root"):
        quantize_dynamic(exported(plain()), tmp_path / "dynamic.onnx", weight_type=QuantType.QUInt8)
    file = onnx.load(tmp_path / "dynamic.onnx")
    assert {"DynamicQuantizeLinear", "ConvInteger"} <= {node.op_type for node in file.graph.node}
    x = batch()
    kept, ignored = evaluated(file, x), evaluated(file, x, steps="ignored")
    assert relative(runtime_answers(file, {"x": x})[0], kept) < 1e-3  # a few ties fall to the other side
    # The weights are stored in 255 steps of each tensor.
    assert 0 < relative(ignored, truth(plain(), x)) < 2e-2
    assert 0 < relative(kept, ignored) < 3e-2


@pytest.mark.parametrize("output", ["logits", "probabilities", "top5"])
@pytest.mark.parametrize("preprocess", ["none", "uint8"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_files_of_our_export(tmp_path: Path, preprocess: str, output: str, precision: str) -> None:
    resnetx.export(
        tiny_config(),
        tmp_path / "m.onnx",
        image_size=32,
        preprocess=preprocess,  # type: ignore[arg-type]
        output=output,  # type: ignore[arg-type]
        precision=precision,  # type: ignore[arg-type]
        exporter="torchscript",
        opset=17,
        verify=False,
    )
    file = onnx.load(tmp_path / "m.onnx")
    (value,) = file.graph.input
    dims = [dim.dim_value or 2 for dim in value.type.tensor_type.shape.dim]
    pixels = np.random.default_rng(0).integers(0, 256, dims, np.uint8)
    feeds = {value.name: pixels if preprocess == "uint8" else (pixels / 64 - 2).astype(np.float32)}
    found = Evaluator(file).run(feeds)
    for exact, runtime in zip(found.values(), runtime_answers(file, feeds), strict=True):
        assert exact.shape == runtime.shape
        if runtime.dtype.kind == "i":
            assert exact.dtype == runtime.dtype
        else:
            assert relative(runtime, exact) < (2e-6 if precision == "fp32" else 2e-2)


def test_the_layout_of_one_processor_is_refused_by_name(mixture_file: onnx.ModelProto, tmp_path: Path) -> None:
    """The highest level of ONNX Runtime reorders weights for the processor it runs on."""
    file = optimized(mixture_file, tmp_path, "ENABLE_ALL")
    if not any(node.domain == "com.microsoft.nchwc" for node in file.graph.node):
        pytest.skip("this processor has no such layout")
    with pytest.raises(UnsupportedGraph, match=r"com\.microsoft\.nchwc:\w+ .*not supported"):
        Evaluator(file)
