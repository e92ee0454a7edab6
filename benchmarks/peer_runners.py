"""The peers of benchmarks/peers.py, each opened with the API that its users call."""

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from threading import local

import numpy as np
from peer_files import TOOLS

from resnetx.benchmark.messages import CaseOrder
from resnetx.benchmark.worker import opening_of
from resnetx.graph.card import ModelCard
from resnetx.model.preprocessing import Preprocessing
from resnetx.runtime.runner import Call, Facts, Feeds, Runner

# From images as floats to logits.
Network = Callable[[np.ndarray], np.ndarray]


class PeerRunner(Runner):
    """A peer's own call behind the harness's interface."""

    def __init__(
        self, order: CaseOrder, call: Network, precision: str, options: Mapping[str, str] | None = None
    ) -> None:
        opening = opening_of(order)
        super().__init__(
            Facts(
                provider=order.provider,
                inputs=opening.inputs,
                outputs=opening.outputs,
                placement=((order.provider, 1),),
                effective_precision=precision,
                options=options or {},
            )
        )
        self._call = call

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        return {self.outputs[0].name: self._call(feeds[self.inputs[0].name])}

    def bind(self, feeds: Feeds) -> Call:
        return partial(self.run, feeds)

    def close(self) -> None:
        del self._call


def plain_onnxruntime(order: CaseOrder) -> PeerRunner:
    return PeerRunner(order, onnxruntime_call(Path(order.model)), "fp32")


def onnxruntime_call(model: Path) -> Network:
    import onnxruntime as ort

    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def optimum(order: CaseOrder) -> PeerRunner:
    """The class that Optimum's documentation recommends instead of that of transformers."""
    from optimum.onnxruntime import ORTModelForImageClassification

    with tempfile.TemporaryDirectory() as folder:
        _as_transformers(Path(order.model), Path(folder))
        model = ORTModelForImageClassification.from_pretrained(folder)
    return PeerRunner(order, lambda images: model(pixel_values=images).logits, "fp32")


def _as_transformers(source: Path, folder: Path) -> None:
    """Save our file under the names that Optimum expects, with transformers' configuration of a ResNet."""
    import onnx
    from transformers import ResNetConfig

    model = onnx.load(source)
    old, model.graph.input[0].name = model.graph.input[0].name, "pixel_values"
    for node in model.graph.node:
        node.input[:] = ["pixel_values" if name == old else name for name in node.input]
    onnx.save(model, folder / "model.onnx")
    ResNetConfig(num_labels=1000).save_pretrained(folder)


def native_openvino(order: CaseOrder, hint: str, precision: str) -> PeerRunner:
    names = {"fp32": "f32", "bf16": "bf16"}
    settings = {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": names[precision]}
    call, options = openvino_call(Path(order.model), order.batch, settings)
    found = {name: key for key, name in names.items()}[options["INFERENCE_PRECISION_HINT"]]
    return PeerRunner(order, call, found, options)


def openvino_call(model: Path, batch: int, settings: Mapping[str, str]) -> tuple[Network, Mapping[str, str]]:
    """OpenVINO without ONNX Runtime, with static shapes as in its benchmark_app; each calling thread has a request."""
    import openvino as ov

    core = ov.Core()
    read = core.read_model(model)
    read.reshape([batch, *[size.get_length() for size in list(read.input(0).get_partial_shape())[1:]]])
    compiled = core.compile_model(read, "CPU", dict(settings))
    own = local()

    def call(images: np.ndarray) -> np.ndarray:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        return np.array(own.request.infer({0: images}, share_inputs=True, share_outputs=True)[0])

    options = {"INFERENCE_PRECISION_HINT": compiled.get_property("INFERENCE_PRECISION_HINT").to_string()}
    for name in ("NUM_STREAMS", "INFERENCE_NUM_THREADS", "OPTIMAL_NUMBER_OF_INFER_REQUESTS"):
        options[name] = str(compiled.get_property(name))
    return call, options


def in_int8(order: CaseOrder, tool: str, *, pixels: bool = False) -> PeerRunner:
    """What a peer's tool quantized, on its runtime; from pixels, NumPy does what our file does by itself."""
    file = Path(order.model).with_name(TOOLS[tool])
    options: Mapping[str, str] = {}
    if tool == "onnxruntime":
        call = onnxruntime_call(file)
    else:
        call, options = openvino_call(file, order.batch, {"PERFORMANCE_HINT": "LATENCY"})
    return PeerRunner(order, from_pixels(call, _preprocessing(order)) if pixels else call, "int8", options)


def _preprocessing(order: CaseOrder) -> Preprocessing:
    assert order.card is not None
    found = ModelCard.from_json(order.card).preprocessing
    assert found is not None
    return found


def from_pixels(call: Network, preprocessing: Preprocessing) -> Network:
    """From uint8 pixels (N, H, W, 3): normalizes, and finds the five best classes; the logits are what is verified."""
    assert preprocessing.order == "RGB"
    factor = np.float32(preprocessing.scale) / np.float32(preprocessing.std)
    offset = -np.float32(preprocessing.mean) / np.float32(preprocessing.std)

    def whole(pixels: np.ndarray) -> np.ndarray:
        images = pixels.astype(np.float32) * factor + offset
        logits = call(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        five_best(logits)
        return logits

    return whole


def five_best(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes with the highest scores, best first, and their probabilities."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores = powers / powers.sum(axis=1, keepdims=True)
    indices = np.argsort(-scores, axis=1)[:, :5]
    return indices, np.take_along_axis(scores, indices, axis=1)


PEERS: dict[str, Callable[[CaseOrder], PeerRunner]] = {
    "onnxruntime": plain_onnxruntime,
    "optimum": optimum,
    "openvino-native-latency": lambda order: native_openvino(order, "LATENCY", "fp32"),
    "openvino-native-throughput": lambda order: native_openvino(order, "THROUGHPUT", "fp32"),
    "openvino-native-bf16": lambda order: native_openvino(order, "LATENCY", "bf16"),
    "nncf-openvino-int8": lambda order: in_int8(order, "nncf-openvino"),
    "nncf-onnx-int8": lambda order: in_int8(order, "nncf-onnx"),
    "onnxruntime-int8": lambda order: in_int8(order, "onnxruntime"),
    "nncf-openvino-int8-numpy": lambda order: in_int8(order, "nncf-openvino", pixels=True),
    "onnxruntime-int8-numpy": lambda order: in_int8(order, "onnxruntime", pixels=True),
}
