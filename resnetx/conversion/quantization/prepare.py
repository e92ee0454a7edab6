"""A file as the quantizer needs it: named nodes, known shapes, and BatchNormalization folded into convolutions."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx

from resnetx.base.loggers import silenced
from resnetx.base.text import readable
from resnetx.errors import UsageError
from resnetx.graph.node_names import uniquely_named
from resnetx.graph.quantization.static import LEAST_OPSET, is_quantized, quantizable
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.runtime.file_boundary import real_inputs
from resnetx.runtime.file_precision import stored_precision

SHOWN = 5


def prepared_model(path: Path, exclude: Sequence[str]) -> onnx.ModelProto:
    """The model, or an error that says why it cannot be quantized."""
    model = uniquely_named(read_onnx(path))
    if is_quantized(model.graph):
        raise UsageError(f"{path} is quantized already; give the float32 file that it was made from.")
    stored = stored_precision(model.graph)
    if stored != "fp32":
        raise UsageError(f"{path} is in {stored}; resnetx quantize takes the float32 file that it was made from.")
    inputs = real_inputs(model.graph)
    if len(inputs) != 1:
        raise UsageError(f"{path} has {len(inputs)} inputs; resnetx quantize takes a classifier with one, the images.")
    opset = max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=0)
    if opset < LEAST_OPSET:
        raise UsageError(
            f"{path} has opset {opset}; steps by channel need {LEAST_OPSET} or newer. Export it again with a newer one."
        )
    if any(node.op_type == "BatchNormalization" for node in model.graph.node):
        model = _folded(model)
    layers = quantizable(model.graph)
    if not layers:
        raise UsageError(f"{path} has no convolution or matrix product with constant weights: there is nothing to do.")
    missing = next((name for name in exclude if name not in layers), None)
    if missing is not None:
        some = ", ".join(readable(name, 60) for name in layers[:SHOWN])
        raise UsageError(
            f"{path} has no layer {readable(missing, 60)!r} to exclude. Its layers are {some}"
            f"{' and others' if len(layers) > SHOWN else ''}; resnetx inspect --layers shows all."
        )
    return onnx.shape_inference.infer_shapes(model)


def _folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """As ONNX Runtime's own preparation folds it; what it adds to the metadata is left out."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, silenced("root"):
        quant_pre_process(model, f"{folder}/folded.onnx", skip_symbolic_shape=True)
        folded = onnx.load(f"{folder}/folded.onnx")
    del folded.metadata_props[:]
    folded.metadata_props.extend(model.metadata_props)
    return uniquely_named(folded)
