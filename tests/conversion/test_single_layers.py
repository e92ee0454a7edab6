"""Layers of an INT8 file by themselves: which are faster with shifted weights, by a clock that the test sets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import resnetx
from resnetx.conversion.quantization import single_layers, worker
from resnetx.conversion.quantization.messages import QuantizeOrder
from resnetx.conversion.quantization.single_layers import faster_shifted, interleaved_ms
from resnetx.machine.facts import read_processor
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.runner import Runner
from resnetx.verification.verify import VerifyOptions, verify_file
from tests.conftest import TINY_SIZE, tiny_config

CONVOLUTIONS = 12
ORDER = {
    "made_from": "0",
    "calibrate": "synthetic",
    "provider": "cpu",
    "method": "minmax",
    "samples": 16,
    "exclude": [],
}


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exact") / "m.onnx"
    resnetx.export(tiny_config(), path, image_size=TINY_SIZE, verify=False)
    return path


def order(exact: Path, out: Path, target: str) -> QuantizeOrder:
    return QuantizeOrder(path=str(exact), out=str(out), target=target, evaluate=None, max_drop=None, **ORDER)  # type: ignore[arg-type]


def zero_points(path: Path) -> dict[str, int]:
    """Of the weights of each layer."""
    graph = onnx.load(path).graph
    steps = {node.output[0]: node.input[2] for node in graph.node if node.op_type == "DequantizeLinear"}
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm") and node.input[1] in steps]
    return {node.name: int(np.unique(constants[steps[node.input[1]]]).item()) for node in layers}


def test_the_variants_are_one_layer_each_and_the_faster_ones_are_taken(exact: Path, tmp_path: Path) -> None:
    worker.quantize(order(exact, tmp_path / "q.onnx", "openvino"))
    seen: list[tuple[int, ...]] = []

    def medians(runners: Sequence[Runner], feed: np.ndarray) -> list[float]:
        """Layers that read 16 channels gain half, others too little to be sure of."""
        before, after = (next(iter(each.run({each.inputs[0].name: feed}).values())) for each in runners)
        assert before.dtype == after.dtype == np.uint8 and before.shape[0] == 1
        # On processors whose sums overflow, shifted weights may overflow elsewhere.
        assert np.abs(before.astype(int) - after.astype(int)).mean() < 8
        seen.append(feed.shape)
        return [2.0, 1.0] if feed.shape[1] == 16 else [2.0, 1.9]

    float_model = onnx.shape_inference.infer_shapes(onnx.load(exact))
    found = faster_shifted(onnx.load(tmp_path / "q.onnx"), float_model, medians=medians)
    readers = [
        tensor.dims[1]
        for node in float_model.graph.node
        for tensor in float_model.graph.initializer
        if node.op_type == "Conv" and node.input[1] == tensor.name
    ]
    assert len(seen) == len(readers) == CONVOLUTIONS and sorted(shape[1] for shape in seen) == sorted(readers)
    assert len(found) == readers.count(16) > 0 and "conv1" not in found


def test_medians_are_of_turns(monkeypatch: pytest.MonkeyPatch, exact: Path) -> None:
    runners = [open_runner(exact), open_runner(exact)]
    now, taken = [0.0], iter([3.0, 1.0] * single_layers.ROUNDS)
    turns = iter(range(4 * single_layers.ROUNDS))

    def clock() -> float:
        if next(turns) % 2:
            now[0] += next(taken) / 1e3
        return now[0]

    monkeypatch.setattr(single_layers.time, "perf_counter", clock)
    feed = np.zeros((1, 3, TINY_SIZE, TINY_SIZE), np.float32)
    assert interleaved_ms(runners, feed) == pytest.approx([3.0, 1.0])


def test_the_file_has_the_chosen_weights_and_the_same_numbers(
    exact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SHIFTED_FOR", "what no processor has")
    assert worker.quantize(order(exact, tmp_path / "plain.onnx", "cpu")).shifted == []
    asked = []
    monkeypatch.setattr(worker, "SHIFTED_FOR", read_processor().instruction_sets[0])
    monkeypatch.setattr(worker, "faster_shifted", lambda model, exact: asked.append(1) or ["layer1.0.conv1"])
    assert worker.quantize(order(exact, tmp_path / "other.onnx", "openvino")).shifted == [] and not asked
    made = worker.quantize(order(exact, tmp_path / "shifted.onnx", "cpu"))
    assert len(asked) == 1 and made.shifted == ["layer1.0.conv1"]
    found = zero_points(tmp_path / "shifted.onnx")
    assert {name: zero for name, zero in found.items() if zero} == {"layer1.0.conv1": -1}
    images = np.random.default_rng(0).standard_normal((3, 3, TINY_SIZE, TINY_SIZE)).astype(np.float32)
    before, after = (
        open_runner(tmp_path / name, optimize=False).run({"input": images})["logits"]
        for name in ("plain.onnx", "shifted.onnx")
    )
    assert np.array_equal(before, after) and before.std() > 0
    assert verify_file(tmp_path / "shifted.onnx", VerifyOptions()).passed
