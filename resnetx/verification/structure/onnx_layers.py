"""The layers of ONNX: convolutions, products, normalizations, activations and arithmetic."""

import math
from functools import partial

import numpy as np

from resnetx.verification.structure.builder import Operand, Unknown
from resnetx.verification.structure.folding import reshaped, scaled, transposed
from resnetx.verification.structure.graph import FOREIGN
from resnetx.verification.structure.onnx_constants import is_float
from resnetx.verification.structure.onnx_node import FLOATS, Node, Translation
from resnetx.verification.structure.parameters import Parameter, constant


def _conv(node: Node, *, transpose: bool = False) -> str:
    weight, bias = node.constant(1), node.optional(2)
    kernel = weight.shape[2:]
    window = node.window(kernel)
    if transpose and ("output_shape" in node.attributes or node.attributes.get("auto_pad", "NOTSET") != "NOTSET"):
        raise Unknown
    parameters = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return node.builder.emit(
        "conv",
        [node.floats()],
        node.shape,
        parameters=dict(parameters),
        **window,
        groups=node.attributes.get("group", 1),
        transposed=transpose,
        output_padding=(node.integers("output_padding") or (0,) * len(kernel)) if transpose else (),
    )


def _activated(node: Node, value: str) -> str:
    """The activation that ONNX Runtime has fused into a layer."""
    kind, numbers = node.attributes.get("activation", ""), tuple(node.attributes.get("activation_params", ()))
    build = node.builder
    if not kind:
        return value
    if kind == "Relu":
        return build.clip(value)
    if kind == "Clip" and len(numbers) == 2:
        return build.clip(value, *numbers)
    if kind == "LeakyRelu":
        alpha = numbers[0] if numbers else node.attributes.get("activation_alpha", 0.01)
        return build.unary("leaky_relu", value, alpha=alpha)
    if kind == "HardSigmoid" and len(numbers) == 2:
        return build.hard_sigmoid(value, *numbers)
    if kind in ("Sigmoid", "Tanh"):
        return build.unary(kind.lower(), value)
    raise Unknown


def _fused_conv(node: Node) -> str:
    """A convolution, the other summand, and an activation."""
    value = _conv(node)
    if node.operand(3) is not None:
        value = node.builder.binary("add", value, node.value(3), node.shape)
    return _activated(node, value)


def _gemm(node: Node) -> str:
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    if node.attributes.get("transA", 0):
        raise Unknown
    weight = node.constant(1)
    weight = weight if node.attributes.get("transB", 0) else transposed(weight, (1, 0))
    weight = weight if alpha == 1.0 else scaled(weight, np.asarray(alpha))
    bias = node.optional(2)
    bias = bias if bias is None or beta == 1.0 else scaled(bias, np.asarray(beta))
    if bias is not None and math.prod(bias.shape) == 1 and weight.shape[0] > 1:
        array = np.broadcast_to(bias.value().reshape(-1), weight.shape[:1])
        bias = constant(bias.name, array, storage=bias.storage)
    return _activated(node, node.builder.linear(node.floats(), weight, bias, node.shape))


def _matmul(node: Node) -> str:
    alpha = node.attributes.get("alpha", 1.0)
    if any(node.attributes.get(name, 0) for name in ("transA", "transBatchA", "transBatchB")):
        raise Unknown
    turned = bool(node.attributes.get("transB", 0))
    second = node.operand(1)
    if isinstance(second, Parameter):
        if len(second.shape) != 2:
            raise Unknown
        weight = second if turned else transposed(second, (1, 0))
        weight = weight if alpha == 1.0 else scaled(weight, np.asarray(alpha))
        return node.builder.linear(node.floats(), weight, None, node.shape)
    if turned:
        raise Unknown
    product = node.builder.emit("matmul", [node.floats(), node.floats(1)], node.shape)
    return product if alpha == 1.0 else node.builder.times(product, alpha)


def _batch_norm(node: Node) -> str:
    if node.attributes.get("training_mode", 0):
        raise Unknown
    gamma, beta, mean, variance = (node.constant(place) for place in range(1, 5))
    eps = float(np.float32(node.attributes.get("epsilon", 1e-5)))
    return node.builder.batch_norm(node.floats(), gamma, beta, mean, variance, eps)


def _layer_norm(node: Node) -> str:
    rank = len(node.known_shape())
    first = node.attributes.get("axis", -1) % rank
    axes = tuple(range(first, rank))
    return node.builder.normalize(
        node.floats(), axes, node.attributes.get("epsilon", 1e-5), node.constant(1), node.optional(2)
    )


def _group_norm(node: Node) -> str:
    scale, shift, groups = node.constant(1), node.constant(2), node.attributes["num_groups"]
    channels = node.known_shape()[1]
    if scale.shape != (channels,):
        raise Unknown
    return node.builder.group_norm(node.floats(), groups, node.attributes.get("epsilon", 1e-5), scale, shift)


def _instance_norm(node: Node) -> str:
    channels = node.known_shape()[1]
    eps = node.attributes.get("epsilon", 1e-5)
    return node.builder.group_norm(node.floats(), channels, eps, node.constant(1), node.constant(2))


def _binary(node: Node, kind: str) -> str:
    first, second = node.operand(0), node.operand(1)
    if first is None or second is None or node.types[0] not in FLOATS:
        raise Unknown
    return node.builder.binary(kind, first, second, node.shape)


def _several(node: Node, kind: str) -> str:
    """Sum, Max and Min of two activations."""
    if len(node.operands) != 2:
        raise Unknown
    return node.builder.emit(kind, [node.floats(0), node.floats(1)], node.shape)


def _limit(node: Node, *, low: bool) -> str:
    """Max(x, 0) is a ReLU."""
    operands = [node.operand(0), node.operand(1)]
    numbers = [each for each in operands if isinstance(each, Parameter) and not each.from_shape]
    values = [each for each in operands if isinstance(each, str)]
    if len(node.operands) == 2 and len(numbers) == 1 and math.prod(numbers[0].shape) == 1 and is_float(numbers[0]):
        bound = float(numbers[0].value().reshape(()))
        return node.builder.clip(values[0], *((bound, math.inf) if low else (-math.inf, bound)))
    return _several(node, "max" if low else "min")


def _clip(node: Node) -> str:
    low, high = node.attributes.get("min", -math.inf), node.attributes.get("max", math.inf)
    low, high = node.number(1, low), node.number(2, high)
    largest = float(np.finfo(np.float32).max)
    return node.builder.clip(
        node.floats(), -math.inf if low <= -largest else low, math.inf if high >= largest else high
    )


def _pow(node: Node) -> str:
    exponent, x = node.number(1, 1.0), node.floats()
    if exponent == 2.0:
        return node.builder.gated(x, x)
    return node.builder.unary("pow", x, exponent=exponent)


def _unary(node: Node, kind: str) -> str:
    return node.builder.unary(kind, node.floats())


def _with(node: Node, kind: str, name: str, default: float) -> str:
    return node.builder.unary(kind, node.floats(), **{name: node.attributes.get(name, default)})


def _elu(node: Node) -> str:
    return node.builder.unary("elu", node.floats(), alpha=node.attributes.get("alpha", 1.0), scale=1.0)


def _selu(node: Node) -> str:
    alpha, gamma = (
        node.attributes.get("alpha", 1.67326319217681884765625),
        node.attributes.get("gamma", 1.05070102214813232),
    )
    return node.builder.unary("elu", node.floats(), alpha=alpha, scale=gamma)


def _prelu(node: Node) -> str:
    slope, channels = node.constant(1), node.known_shape()[1]
    if math.prod(slope.shape) not in (1, channels):
        raise Unknown
    flat = reshaped(slope, (math.prod(slope.shape),))
    return node.builder.emit("prelu", [node.floats()], node.shape, parameters={"weight": flat})


def _softmax(node: Node, kind: str) -> str:
    axis = node.attributes.get("axis", -1) % len(node.known_shape())
    return node.builder.unary(kind, node.floats(), axis=axis)


def _hard_sigmoid(node: Node) -> str:
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    return node.builder.hard_sigmoid(node.floats(), alpha, beta)


def _hard_swish(node: Node) -> str:
    return node.builder.gated(node.floats(), node.builder.hard_sigmoid(node.floats()))


def _bias_gelu(node: Node) -> str:
    return node.builder.gelu(node.builder.affine(node.floats(), shift=node.constant(1)))


def _topk(node: Node) -> list[Operand]:
    count = node.integers("k", 1)
    shape = node.known_shape()
    if count is None:
        raise Unknown
    node.builder.emit(
        "topk",
        [node.floats()],
        node.shape,
        more_outputs=node.shapes[1:],
        k=count[0],
        axis=node.attributes.get("axis", -1) % len(shape),
        largest=bool(node.attributes.get("largest", 1)),
        sorted=bool(node.attributes.get("sorted", 1)),
    )
    return list(node.builder.ops[-1].outputs)


MICROSOFT = f"com.microsoft{FOREIGN}"
LAYERS: dict[str, Translation] = {
    "Conv": _conv,
    "ConvTranspose": partial(_conv, transpose=True),
    f"{MICROSOFT}FusedConv": _fused_conv,
    "Gemm": _gemm,
    f"{MICROSOFT}FusedGemm": _gemm,
    "MatMul": _matmul,
    f"{MICROSOFT}FusedMatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    **{name: partial(_binary, kind=name.lower()) for name in ("Add", "Sub", "Mul", "Div")},
    "Sum": partial(_several, kind="add"),
    "Max": partial(_limit, low=True),
    "Min": partial(_limit, low=False),
    "Neg": lambda node: node.builder.times(node.floats(), -1.0),
    "Relu": lambda node: node.builder.clip(node.floats()),
    "Clip": _clip,
    "Pow": _pow,
    **{
        name: partial(_unary, kind=name.lower())
        for name in ("Sigmoid", "Tanh", "Erf", "Exp", "Log", "Sqrt", "Reciprocal", "Softplus", "Softsign", "Abs")
    },
    "LeakyRelu": partial(_with, kind="leaky_relu", name="alpha", default=0.01),
    "Celu": partial(_with, kind="celu", name="alpha", default=1.0),
    "Elu": _elu,
    "Selu": _selu,
    "PRelu": _prelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Swish": lambda node: node.builder.silu(node.floats(), node.attributes.get("alpha", 1.0)),
    f"{MICROSOFT}QuickGelu": lambda node: node.builder.silu(node.floats(), node.attributes.get("alpha", 1.702)),
    "Gelu": lambda node: node.builder.gelu(node.floats(), node.attributes.get("approximate", "none")),
    f"{MICROSOFT}Gelu": lambda node: node.builder.gelu(node.floats()),
    f"{MICROSOFT}BiasGelu": _bias_gelu,
    "Mish": lambda node: node.builder.mish(node.floats()),
    "Softmax": partial(_softmax, kind="softmax"),
    "LogSoftmax": partial(_softmax, kind="log_softmax"),
    "TopK": _topk,
}
