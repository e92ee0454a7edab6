"""One-node models, evaluated by ONNX Runtime and by the evaluator."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from resnetx.verification.evaluation.evaluator import Arithmetic, Evaluator, Steps


def node_model(
    operator: str,
    inputs: Sequence[np.ndarray | None],
    *,
    outputs: int = 1,
    opset: int = 20,
    domain: str = "",
    more: Mapping[str, Any] | None = None,
    **attributes: Any,
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A model of one node, and what to feed it; `more` holds attributes named like this function's arguments."""
    names = [f"i{index}" if each is not None else "" for index, each in enumerate(inputs)]
    feeds = {name: each for name, each in zip(names, inputs, strict=True) if each is not None}
    written = [f"o{index}" for index in range(outputs)]
    node = helper.make_node(operator, names, written, name="only", domain=domain, **attributes, **(more or {}))
    graph = helper.make_graph(
        [node],
        "one_node",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(each.dtype), each.shape)
            for name, each in feeds.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in written],
    )
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10), feeds


def runtime_answers(
    model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], level: str = "ORT_DISABLE_ALL"
) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(each) for each in session.run(None, dict(feeds))]


def answers(
    model: onnx.ModelProto,
    feeds: Mapping[str, np.ndarray],
    *,
    steps: Steps = "kept",
    arithmetic: Arithmetic = "float64",
) -> list[np.ndarray]:
    return list(Evaluator(model, steps=steps, arithmetic=arithmetic).run(feeds).values())


def assert_same(
    operator: str,
    inputs: Sequence[np.ndarray | None],
    *,
    tolerance: float = 2e-6,
    steps_apart: int = 0,
    **rest: Any,
) -> None:
    """Floats are equal to the rounding of float32, relative to the largest number; integers to `steps_apart`."""
    model, feeds = node_model(operator, inputs, **rest)
    for found, wanted in zip(answers(model, feeds), runtime_answers(model, feeds), strict=True):
        assert found.shape == wanted.shape
        if wanted.dtype.kind != "f":
            assert found.dtype == wanted.dtype
            apart = np.abs(found.astype(np.int64) - wanted.astype(np.int64))
            assert apart.max(initial=0) <= steps_apart, f"{apart.max()} apart"
            continue
        finite = np.isfinite(wanted)
        np.testing.assert_array_equal(np.isfinite(found), finite)
        scale = np.abs(wanted[finite]).max(initial=1e-30)
        np.testing.assert_allclose(found[finite], wanted[finite], rtol=1e-5, atol=tolerance * scale)
        np.testing.assert_array_equal(found[~finite], wanted[~finite])


def floats(shape: Sequence[int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(tuple(shape)).astype(np.float32)
