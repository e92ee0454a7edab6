"""`resnetx quantize`: INT8 files that are what was asked for, measured on what calibration did not see, or none."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import resnetx
from resnetx.cli.main import main
from resnetx.conversion.quantization.agreement import Scores, compare_scores, measured_accuracy, paired_interval
from resnetx.conversion.quantization.histogram import BINS, Histogram
from resnetx.conversion.quantization.messages import QuantizeOrder
from resnetx.conversion.quantization.quantize import QuantizeOptions, quantize_file
from resnetx.conversion.quantization.worker import quantize as quantize_here
from resnetx.errors import FileError, UsageError
from resnetx.graph.card import read_card
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.graph.stored_weights import stored_weights
from resnetx.inputs.calibration import read_calibration
from resnetx.inputs.labelled import LabelledImages
from resnetx.machine.facts import read_processor
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.runner import TensorInfo
from resnetx.verification.verify import VerifyOptions, verify_file
from tests.conftest import TINY_SIZE, tiny_config
from tests.support.onnx_models import quantized_convolution, serialize, small_classifier

LAYERS = 13


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ours") / "m.onnx"
    assert resnetx.export(tiny_config(), path, image_size=TINY_SIZE).passed
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten classes of four images."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for number in range(40):
        (folder / str(number % 10)).mkdir(exist_ok=True)
        pixels = Image.fromarray(random.integers(0, 255, (5, 5, 3), np.uint8)).resize((50, 60))
        pixels.save(folder / str(number % 10) / f"{number}.png")
    return folder


def quantize(source: Path, out: Path, **options: Any) -> Any:
    return quantize_file(source, out, QuantizeOptions(**options))


@pytest.mark.parametrize("target", ["cpu", "openvino", "tensorrt"])
def test_every_layer_is_in_integers_and_the_file_is_verified(
    target: str, ours: Path, images: Path, tmp_path: Path
) -> None:
    result = quantize(ours, tmp_path / "q.onnx", calibrate=images, target=target, method="minmax")
    made = result.made
    assert result.written and made.n_layers == LAYERS and made.kept == [] and made.samples == 32
    assert made.agreement.samples == 8 and made.agreement.sqnr_db is not None and made.agreement.sqnr_db > 25
    assert set(made.layers) <= {node.name for node in onnx.load(ours).graph.node} and len(made.layers) >= LAYERS - 1
    assert all(value is not None and value > 15 for value in made.layers.values())
    model = onnx.load(tmp_path / "q.onnx")
    producers = {name: node.op_type for node in model.graph.node for name in node.output}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == LAYERS
    assert all(producers.get(node.input[0]) == producers.get(node.input[1]) == "DequantizeLinear" for node in layers)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    zeros = [weights[node.input[2]] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    kinds = {zero.data_type for zero in zeros}
    assert kinds == ({TensorProto.INT8} if target == "tensorrt" else {TensorProto.UINT8})
    if target == "tensorrt":
        assert not any(numpy_helper.to_array(zero).any() for zero in zeros)
    card = read_card(model)
    assert card is not None and card.precision == "int8" and card.quantization is not None
    facts = card.quantization
    assert (facts.target, facts.method, facts.samples, facts.source) == (target, "minmax", 32, "images")
    # Where there is no GPU, a file for TensorRT is verified on the processor.
    provider = "cpu" if target == "tensorrt" else target
    assert verify_file(tmp_path / "q.onnx", VerifyOptions(providers=(provider,))).passed


def test_the_closest_method_is_taken_and_the_digest_is_that_of_the_samples(
    ours: Path, images: Path, tmp_path: Path
) -> None:
    first = quantize(ours, tmp_path / "a.onnx", calibrate=images, target="cpu").made
    assert first.method == max(first.tried, key=lambda name: first.tried[name] or 0) and len(first.tried) == 3
    again = quantize(ours, tmp_path / "b.onnx", calibrate=images, target="cpu", method=first.method).made
    fewer = quantize(ours, tmp_path / "c.onnx", calibrate=images, target="cpu", method=first.method, samples=10).made
    assert first.digest == again.digest != fewer.digest and fewer.samples == 10
    if not first.shifted + again.shifted:  # chosen by timing, where the processor has AMX
        assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_excluded_layers_stay_in_float(ours: Path, images: Path, tmp_path: Path) -> None:
    names = ("conv1", "fc")
    made = quantize(ours, tmp_path / "q.onnx", calibrate=images, target="cpu", method="minmax", exclude=names).made
    assert made.kept == list(names)
    model = onnx.load(tmp_path / "q.onnx")
    floats = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    kept = [node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm") and node.input[1] in floats]
    assert sorted(kept) == sorted(names)


def test_a_file_most_of_whose_layers_are_in_float_is_verified_as_int8(ours: Path, images: Path, tmp_path: Path) -> None:
    names = [layer.layer for layer in stored_weights(read_onnx(ours).graph)][:-2]
    quantize(ours, tmp_path / "q.onnx", calibrate=images, target="cpu", method="minmax", exclude=names)
    stored = [layer.precision for layer in stored_weights(read_onnx(tmp_path / "q.onnx").graph)]
    assert stored.count("int8") == 2 and stored.count("fp32") > 2
    result = verify_file(tmp_path / "q.onnx", VerifyOptions(batches=(1, 4)))
    assert result.passed and result.verdicts[0].precision == "int8"


def test_foreign_files_take_arrays(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(small_classifier())
    arrays = np.random.default_rng(0).standard_normal((20, 3, 16, 16)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=arrays, other=arrays[:3])
    made = quantize(tmp_path / "m.onnx", tmp_path / "q.onnx", calibrate=tmp_path / "data.npz", target="cpu").made
    assert (made.source, made.samples, made.agreement.samples) == ("arrays", 16, 4)
    runner, exact = open_runner(tmp_path / "q.onnx"), open_runner(tmp_path / "m.onnx")
    found, expected = (each.run({"x": arrays})["y"] for each in (runner, exact))
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


def crushed(path: Path) -> Path:
    """A network with a tensor of which one channel is 10,000 times the others, that 256 steps cannot hold."""
    random = np.random.default_rng(0)
    first = random.standard_normal((8, 3, 3, 3)).astype(np.float32)
    second = random.standard_normal((8, 8, 3, 3)).astype(np.float32)
    first[0] *= 1e4
    second[:, 0] = 0
    head = random.standard_normal((8, 40)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], name="stem", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="relu"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], name="body"),
        helper.make_node("Relu", ["c2"], ["r2"], name="relu2"),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "w3"], ["y"], name="fc"),
    ]
    weights = {"w1": first, "w2": second, "w3": head}
    model = serialize(
        nodes,
        inputs={"x": (TensorProto.FLOAT, ["batch", 3, 16, 16])},
        outputs={"y": (TensorProto.FLOAT, ["batch", 40])},
        weights=[numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    path.write_bytes(model)
    np.savez(path.with_suffix(".npz"), random.standard_normal((100, 3, 16, 16)).astype(np.float32))
    return path


def test_a_limit_gives_the_harmful_layer_back(tmp_path: Path) -> None:
    source = crushed(tmp_path / "m.onnx")
    options = {"calibrate": tmp_path / "m.npz", "target": "cpu", "method": "minmax"}
    free = quantize(source, tmp_path / "free.onnx", **options)
    assert free.made.drop > 0.2 and free.written
    held = quantize(source, tmp_path / "held.onnx", **options, max_drop=0.1)
    made = held.made
    assert held.written and made.drop <= 0.1 and "body" in made.kept
    # Whoever writes or reads the tensor is harmful, and the classifier is not.
    assert list(made.harm)[-1] == "fc" and "fc" not in made.kept
    assert [step.kept for step in made.steps] == list(range(len(made.kept) + 1))
    assert made.steps[0].drop == free.made.drop and all(step.speedup > 0 for step in made.steps)


def test_a_limit_that_cannot_be_held_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = crushed(tmp_path / "m.onnx")
    options = ["--calibrate", str(tmp_path / "m.npz"), "--target", "cpu", "--method", "minmax", "--max-drop", "0%"]
    command = ["resnetx", "quantize", str(source), "-o", str(tmp_path / "q.onnx"), *options]
    # What is left is one layer, whose output cannot be held in 256 steps.
    kept = ["--exclude", "body", "--exclude", "fc"]
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", [*command, *kept, "--json", str(tmp_path / "q.json")])
    with pytest.raises(SystemExit) as ended:
        main()
    found, shown = json.loads((tmp_path / "q.json").read_text()), capsys.readouterr().out
    assert ended.value.code == 1 and not found["written"] and found["kept"] == ["body", "fc"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.npz", "m.onnx", "q.json"]
    assert "was not written: the drop stays above 0.00%" in " ".join(shown.split())
    assert max(len(line) for line in shown.splitlines()) <= 80 and "calibrated on 80 arrays, method minmax" in shown


def test_labelled_images_say_how_much_is_lost(ours: Path, images: Path, tmp_path: Path) -> None:
    made = quantize(ours, tmp_path / "q.onnx", calibrate=images, target="cpu", method="minmax", evaluate=images).made
    found = made.accuracy
    assert found is not None and found.images == 40 and found.low <= found.drop <= found.high
    rows = "\n".join(f"{number % 10}/{number}.png,{number % 10}" for number in range(40))
    (images / "labels.csv").write_text(rows)
    card = read_card(onnx.load(ours))
    listed, folders = LabelledImages(images / "labels.csv", card), LabelledImages(images, card)
    assert len(list(listed)) == len(list(folders)) == len(listed) == 40
    assert sorted(listed.labels) == sorted(folders.labels) and listed.skipped == folders.skipped == 0


def test_classes_go_by_number_label_or_order(ours: Path, tmp_path: Path) -> None:
    card = read_card(onnx.load(ours))
    assert card is not None and card.classes == 10
    pixels = Image.new("RGB", (40, 40))

    def labels(names: list[str], card: Any = card) -> list[int]:
        for name in names:
            (tmp_path / "-".join(names) / name).mkdir(parents=True)
            pixels.save(tmp_path / "-".join(names) / name / "a.png")
        read = LabelledImages(tmp_path / "-".join(names), card)
        assert len(list(read)) == len(names)
        return read.labels

    assert labels(["3", "7"]) == [3, 7]
    named = replace(card, labels=tuple(f"kind {number}" for number in range(10)))
    assert labels(["kind 4", "kind 9"], named) == [4, 9]
    assert labels([f"n{number:02}" for number in range(10)]) == list(range(10))
    for names, words in (
        (["a", "b"], "neither a number nor a label"),
        (["12"], "has the class 12, and the network has"),
    ):
        with pytest.raises(UsageError, match=words):
            labels(names)
    (tmp_path / "rows.csv").write_text("a.png,1,2\n")
    with pytest.raises(FileError, match=r"Row 1 of .* has 3 fields"):
        LabelledImages(tmp_path / "rows.csv", card)
    (tmp_path / "rows.csv").write_text("absent.png,1\n")
    with pytest.raises(FileError, match="1 of 1 labelled images cannot be read"):
        list(LabelledImages(tmp_path / "rows.csv", card))


# --- what is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "--calibrate is missing: the range of every tensor"),
        ({"calibrate": "synthetic", "target": "gpu"}, "--target is one of cpu, openvino, tensorrt, auto; found 'gpu'"),
        ({"calibrate": "synthetic", "method": "best"}, "--method is one of minmax, entropy, percentile, auto"),
        ({"calibrate": "synthetic", "samples": 0}, "--samples takes 1 to 10,000; found 0"),
        ({"calibrate": "synthetic", "max_drop": 1.5}, "--max-drop takes 0 to 100%"),
        ({"calibrate": "synthetic", "exclude": ("nope",)}, "has no layer 'nope' to exclude. Its layers are conv1"),
        ({"calibrate": "synthetic", "evaluate": Path("nowhere")}, "no folder or CSV file"),
        ({"calibrate": "nowhere"}, "There is no folder or file|neither a folder nor a file"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], words: str, ours: Path, tmp_path: Path) -> None:
    with pytest.raises((UsageError, FileError), match=words):
        quantize(ours, tmp_path / "q.onnx", **options)
    assert not (tmp_path / "q.onnx").exists()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (quantized_convolution(), "is quantized already; give the float32 file"),
        (small_classifier(dtype=np.float16), "is in fp16; resnetx quantize takes the float32 file"),
    ],
)
def test_files_that_cannot_be_quantized(model: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(model)
    with pytest.raises(UsageError, match=words):
        quantize(tmp_path / "m.onnx", tmp_path / "q.onnx", calibrate="synthetic")


INFO = TensorInfo("x", np.dtype(np.float32), ("N", 3, 4, 4))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (
            {"a": np.zeros((3, 3, 4, 4), np.float32), "b": np.zeros(3)},
            "has the arrays a, b; it needs one for the input",
        ),
        ({"x": np.zeros((3, 4, 4), np.float32)}, "has an array of 3x4x4 float32; the input 'x' takes Nx3x4x4 float32"),
        ({"x": np.zeros((3, 3, 5, 4), np.float32)}, "takes Nx3x4x4"),
        ({"x": np.full((3, 3, 4, 4), np.nan, np.float32)}, "contains NaN or infinity"),
        ({"x": np.zeros((3, 3, 4, 4), np.float32)}, "All samples of the calibration data are equal"),
        ({"x": np.zeros((0, 3, 4, 4), np.float32)}, "needs two samples or more"),
        ({"x": np.zeros((1, 3, 4, 4), np.float32)}, "needs two samples or more"),
    ],
)
def test_arrays_that_are_no_calibration(arrays: dict[str, np.ndarray], words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(UsageError, match=words):
        read_calibration(str(tmp_path / "data.npz"), INFO, None, samples=8)


def test_images_that_cannot_be_read_are_counted_up_to_a_tenth(ours: Path, images: Path, tmp_path: Path) -> None:
    card = read_card(onnx.load(ours))
    for path in images.rglob("*.png"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nonsense")
    info = open_runner(ours).inputs[0]
    assert read_calibration(str(tmp_path), info, card, samples=64).skipped == 1
    for number in range(8):
        (tmp_path / f"broken{number}.png").write_bytes(b"\x89PNG nonsense")
    with pytest.raises(FileError, match=r"9 of 49 images in .* cannot be read, more than 10%"):
        read_calibration(str(tmp_path), info, card, samples=64)
    with pytest.raises(UsageError, match="no model card"):
        read_calibration(str(tmp_path), info, None, samples=64)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="contains no images"):
        read_calibration(str(tmp_path / "empty"), info, card, samples=64)


# --- laws


@given(st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=200), st.integers(1, 4))
def test_a_histogram_keeps_every_count_as_it_grows(values: list[float], parts: int) -> None:
    histogram = Histogram()
    for array in (np.array(chunk, np.float32) for chunk in np.array_split(values, parts) if len(chunk)):
        histogram.add(array, float(np.abs(array).max(initial=0)))
    assert histogram.counts.sum() == sum(value > 0 for value in np.float32(values))
    largest = float(np.float32(values).max())
    for cut in (histogram.percentile(100.0), histogram.percentile(50.0), histogram.entropy()):
        assert 0 <= cut <= histogram.width
    assert histogram.percentile(100.0) >= largest * (1 - 1e-6)
    assert histogram.percentile(50.0) <= histogram.percentile(100.0) + histogram.width / BINS


def test_no_channel_of_a_small_tensor_is_left_out() -> None:
    values = np.ones((1, 512, 2, 2), np.float32)
    values[0, 3, 1, 0] = 9.0  # not among each fifth, in any sample
    histogram = Histogram()
    for _ in range(10):
        histogram.add(values, 9.0)
    assert histogram.percentile(99.99) == 9.0


def test_a_rare_large_value_is_cut_off_by_entropy_and_percentile() -> None:
    values = np.abs(np.random.default_rng(0).standard_normal(500_000)).astype(np.float32)
    values[::100_000] = 1000.0
    histogram = Histogram()
    histogram.add(values, 1000.0)
    assert histogram.percentile(99.99) < 10 and histogram.entropy() < 100


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 400))
def test_the_interval_of_a_drop_holds_it_and_does_not_collapse(lost: int, won: int, same: int) -> None:
    n = lost + won + same + 1
    low, high = paired_interval(lost=lost, won=won, n=n)
    assert -1 <= low < high <= 1
    mirrored = paired_interval(lost=won, won=lost, n=n)
    assert low == pytest.approx(-mirrored[1]) and high == pytest.approx(-mirrored[0])
    # Towards zero by at most what two more pairs change.
    assert low <= (lost - won) / n * n / (n + 2) <= high


def test_the_interval_covers_the_true_drop() -> None:
    """Of 1,000 drawn test sets at least 93 % must hold the true drop of 2 %."""
    random = np.random.default_rng(0)
    n, held = 500, 0
    for _ in range(1000):
        lost, won = random.multinomial(n, [0.03, 0.01, 0.96])[:2]
        low, high = paired_interval(lost=int(lost), won=int(won), n=n)
        held += low <= 0.02 <= high
    assert held >= 930


def test_agreement_and_accuracy_by_hand() -> None:
    def scored(rows: list[list[float]]) -> Scores:
        numbers = np.array(rows)
        return Scores(best=np.argsort(-numbers, axis=1, kind="stable")[:, :5], numbers=numbers)

    before = scored([[3, 2, 1, 0, 0, 0], [0, 5, 0, 0, 0, 0]])
    after = scored([[3, 2, 1, 0, 0, 0], [5, 4, 3, 2, 1, 0]])
    found = compare_scores(before, after)
    assert (found.top1, found.top5, found.samples) == (0.5, 1.0, 2)
    accuracy = measured_accuracy(before, after, [0, 1], skipped=0)
    assert (accuracy.before_top1, accuracy.after_top1, accuracy.drop) == (1.0, 0.5, 0.5)


@pytest.mark.parametrize(("instructions", "bits"), [(("avx2", "fma"), 7), (("avx2", "avx_vnni"), 8), (("asimd",), 8)])
def test_weights_have_7_bits_where_sums_of_pairs_overflow(
    instructions: tuple[str, ...], bits: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    processor = replace(read_processor(), instruction_sets=instructions)
    monkeypatch.setattr("resnetx.conversion.quantization.worker.read_processor", lambda: processor)
    (tmp_path / "m.onnx").write_bytes(small_classifier())
    order = QuantizeOrder(
        path=str(tmp_path / "m.onnx"),
        made_from="0",
        out=str(tmp_path / "q.onnx"),
        calibrate="synthetic",
        target="cpu",
        provider="cpu",
        method="minmax",
        samples=4,
        exclude=[],
        evaluate=None,
        max_drop=None,
    )
    assert quantize_here(order).weight_bits == bits
    weights = [numpy_helper.to_array(each) for each in onnx.load(tmp_path / "q.onnx").graph.initializer]
    largest = max(int(np.abs(each.astype(int)).max()) for each in weights if each.dtype == np.int8 and each.ndim > 1)
    assert largest in {7: (63, 64), 8: (127,)}[bits]
