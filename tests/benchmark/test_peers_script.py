"""benchmarks/peers.py: every row has its runner, a peer computes what it should, and what is missing is told."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import peer_files
import peer_runners
import peers
import pytest
import torch
from onnx import TensorProto

import resnetx
from resnetx.benchmark.case import RunningCase, case_order
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.plan import look_into
from resnetx.inputs.calibration import CALIBRATION_SEED
from resnetx.inputs.sampling import natural_images
from resnetx.inputs.synthetic import network_input, smooth_images
from resnetx.model.preprocessing import IMAGENET
from resnetx.runtime.catalog import find_provider, open_runner
from tests.conftest import TINY_SIZE, tiny_config

ROWS = [row for comparison in peers.COMPARISONS for row in comparison.rows]
PROBLEM = "No module named 'nncf'"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a run, of a network that is exported in a second; NNCF is not installed here."""
    place = tmp_path_factory.mktemp("peers")
    resnetx.export(tiny_config(), place / peer_files.FLOAT, image_size=TINY_SIZE, verify=False)
    pixels = place / peer_files.OURS_PIXELS["cpu"]
    resnetx.export(tiny_config(), pixels, image_size=TINY_SIZE, preprocess="uint8", output="top5", verify=False)
    samples = peer_files.calibration_samples(place / peer_files.FLOAT, 8)
    peer_files.onnxruntime_static(place / peer_files.FLOAT, samples, place / peer_files.TOOLS["onnxruntime"])
    return place


def case(folder: Path, name: str) -> RunningCase:
    row = next(row for row in ROWS if row.name == name)
    return peers.planned(row, look_into(folder / row.file), 2, BenchOptions(batches=(2,)))


def test_every_row_is_one_of_ours_or_a_peer() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names) and {row.name for row in ROWS if not row.provider} == set(peers.PEERS)
    assert all(find_provider(row.provider) for row in ROWS if row.provider)
    for comparison in peers.COMPARISONS:
        ours, *others = comparison.rows
        assert ours.provider and others
        assert {row.precision for row in others} <= ({"bf16"} if ours.precision == "bf16" else {"default"})


def test_samples_are_those_of_our_calibration(folder: Path, tmp_path: Path) -> None:
    found = peer_files.calibration_samples(folder / peer_files.FLOAT, 8)
    assert found.shape == (8, 3, TINY_SIZE, TINY_SIZE) and found.dtype == np.float32
    made = resnetx.quantize(
        folder / peer_files.FLOAT, tmp_path / "q.onnx", calibrate="synthetic", samples=8, target="cpu", method="minmax"
    ).made
    pixels = natural_images(11, TINY_SIZE, CALIBRATION_SEED)[[0, 1, 2, 3, 5, 6, 7, 8]]
    assert made.digest == hashlib.sha256(pixels.tobytes()).hexdigest()
    assert np.array_equal(found, network_input(pixels, IMAGENET))


def test_onnxruntimes_recipe_is_unsigned_by_signed_and_by_channel(folder: Path) -> None:
    graph = onnx.load(folder / peer_files.TOOLS["onnxruntime"]).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    quantizers = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    assert {constants[node.input[2]].data_type for node in quantizers} == {TensorProto.UINT8} and len(quantizers) > 12
    weights = [tensor for tensor in graph.initializer if tensor.data_type == TensorProto.INT8 and len(tensor.dims) == 4]
    scales = [tensor.dims for tensor in graph.initializer if tensor.name.endswith("weight_scale")]
    assert len(weights) == 12 and sorted(list(dims) for dims in scales if dims) == sorted(
        [tensor.dims[0]] for tensor in graph.initializer if tensor.name.endswith("weight_quantized")
    )


def test_a_peer_from_pixels_computes_what_the_network_does(folder: Path) -> None:
    order = case_order(case(folder, "onnxruntime-int8-numpy"))
    runner = peer_runners.PEERS[order.provider](order)
    assert (runner.inputs[0].dtype, [output.name for output in runner.outputs]) == (np.uint8, ["logits"])
    pixels = smooth_images(2, TINY_SIZE, seed=5)
    found = runner.run({runner.inputs[0].name: pixels})["logits"]
    exact = open_runner(folder / peer_files.FLOAT).run({"input": network_input(pixels, IMAGENET)})["logits"]
    assert runner.effective_precision == "int8" and np.square(found - exact).sum() < 1e-2 * np.square(exact).sum()
    indices, scores = peer_runners.five_best(exact)
    best = torch.topk(torch.softmax(torch.from_numpy(exact), 1), 5)
    assert np.array_equal(indices, best.indices) and np.allclose(scores, best.values, rtol=1e-5)


def test_a_float_file_from_pixels_is_normalized_as_the_card_says() -> None:
    taken: list[np.ndarray] = []
    whole = peer_runners.from_pixels(lambda images: taken.append(images) or np.zeros((3, 9)), IMAGENET)
    pixels = smooth_images(3, 16)
    whole(pixels)
    assert taken[0].dtype == np.float32 and taken[0].flags.c_contiguous
    assert np.abs(taken[0] - network_input(pixels, IMAGENET)).max() < 2e-6


def test_what_is_missing_is_told_in_its_row() -> None:
    row = next(row for row in ROWS if row.name == "nncf-onnx-int8")
    assert peers.why_not(row, {row.made: PROBLEM}, ()) == PROBLEM and peers.why_not(row, {}, ()) is None
    bf16 = next(row for row in ROWS if row.precision == "bf16")
    assert "no instructions for bf16" in str(peers.why_not(bf16, {}, ("avx2", "avx512f")))
    assert peers.why_not(bf16, {}, ("amx_bf16",)) is None
    rows = peers.result_rows({}, (1, 8), peers.chosen([row.name]), {row.name: PROBLEM})
    assert [(each["row"], each["batch"], each["error"]) for each in rows] == [(row.name, n, PROBLEM) for n in (1, 8)]
    lines = list(peers.lines_of(rows))
    assert lines[0] == "\nbatch 1, 1 caller, INT8 on OpenVINO" and lines[1].endswith(PROBLEM) and len(lines) == 4


def test_a_library_that_is_not_installed_leaves_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    real = peer_files.subprocess.run

    def run(command: list[str], **options: Any) -> Any:
        seen.append(options)
        # A package of that name that cannot be imported, where it is installed.
        return real(command, **options | {"env": options["env"] | {"PYTHONPATH": str(folder / "absent")}})

    (folder / "absent" / "nncf").mkdir(parents=True)
    (folder / "absent" / "nncf" / "__init__.py").write_text(f'raise ModuleNotFoundError("{PROBLEM}")')
    np.save(folder / "samples.npy", np.zeros((1, 3, TINY_SIZE, TINY_SIZE), np.float32))
    monkeypatch.setattr(peer_files.subprocess, "run", run)
    name = peer_files.TOOLS["nncf-onnx"]
    assert peer_files._made_apart(folder, "nncf-onnx", name) == {name: PROBLEM} and not (folder / name).exists()
    assert seen[0]["env"]["NNCF_CI"] == "1"


def test_each_case_has_the_options_of_its_row(folder: Path) -> None:
    two = case(folder, "openvino-throughput")
    assert two.plan.provider == "openvino" and two.plan.options == {"PERFORMANCE_HINT": "THROUGHPUT"}
    assert two.name == "openvino-throughput" and case(folder, "cpu-int8-pixels").plan.model.card.output == "top5"
