"""How each runtime wants an INT8 file, which differs: the wrong kind runs in float, or on slow kernels."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The recipe for one target.

    `signed`: activations are signed and symmetric, else unsigned and asymmetric; weights are always signed, symmetric
    and by channel. `joins` are the operators between layers that are quantized too. With `open_outputs`, what a layer
    writes is quantized only where another layer reads it, so that the runtime fuses an addition that follows. `shifts`:
    the runtime has other kernels for weights whose zero point is not 0. `moves_transposes`: it moves a transposition of
    pixels behind their normalization.
    """

    target: str
    signed: bool
    joins: tuple[str, ...]
    open_outputs: bool = False
    shifts: bool = False
    moves_transposes: bool = False


# ONNX Runtime has another kernel for these instructions, that it takes only if the weights' zero point is not 0.
SHIFTED_FOR = "amx_int8"
LAYERS = ("Conv", "Gemm", "MatMul")
JOINS = ("Relu", "Clip", "Add", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Reshape", "Flatten")
PRESETS = {
    preset.target: preset
    for preset in (
        # x86 multiplies unsigned by signed bytes; with signed activations ONNX Runtime leaves layers in float.
        Preset(target="cpu", signed=False, joins=JOINS, shifts=True, moves_transposes=True),
        Preset(target="openvino", signed=False, joins=JOINS),
        # TensorRT takes zero points of 0 only, and fuses a convolution with an addition if nothing stands between.
        Preset(target="tensorrt", signed=True, joins=("MaxPool",), open_outputs=True),
    )
}
