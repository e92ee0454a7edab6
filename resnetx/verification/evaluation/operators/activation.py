"""Activation functions, the softmax family and the gated ones."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from resnetx.verification.evaluation.call import Call, Table
from resnetx.verification.evaluation.operators.elementwise import broadcast, unary

SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), also where exp(x) overflows."""
    return torch.logaddexp(x, torch.zeros((), dtype=x.dtype))


def leaky_relu(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x < 0, x * alpha, x)


def elu(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x > 0, x, alpha * torch.expm1(x))


def selu(call: Call, x: Tensor) -> Tensor:
    return call.number("gamma", SELU_GAMMA) * elu(x, call.number("alpha", SELU_ALPHA))


def celu(call: Call, x: Tensor) -> Tensor:
    alpha = call.number("alpha", 1.0)
    return x.clamp(min=0) + (alpha * torch.expm1(x / alpha)).clamp(max=0)


def prelu(call: Call, x: Tensor, slope: Tensor) -> Tensor:
    broadcast(x, slope)
    return torch.where(x < 0, x * slope, x)


def hard_sigmoid(x: Tensor, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    return (alpha * x + beta).clamp(0, 1)


def hard_swish(x: Tensor) -> Tensor:
    return x * hard_sigmoid(x, 1 / 6, 0.5)


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def gelu_by_tanh(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu_either(call: Call, x: Tensor) -> Tensor:
    return gelu_by_tanh(x) if call.text("approximate", "none") == "tanh" else gelu(x)


def swish(call: Call, x: Tensor) -> Tensor:
    return x * torch.sigmoid(call.number("alpha", 1.0) * x)


def shrink(call: Call, x: Tensor) -> Tensor:
    bias, bound = call.number("bias", 0.0), call.number("lambd", 0.5)
    return torch.where(x < -bound, x + bias, torch.where(x > bound, x - bias, torch.zeros_like(x)))


def along_axis(function: Callable[[Tensor, int], Tensor]) -> Callable[[Call, Tensor], Tensor]:
    """Before opset 13 the dimensions from the axis on were one."""

    def apply(call: Call, x: Tensor) -> Tensor:
        if call.opset >= 13:
            return function(x, call.integer("axis", -1))
        axis = call.integer("axis", 1)
        axis += x.dim() if axis < 0 else 0
        return function(x.reshape(math.prod(x.shape[:axis]), -1), 1).reshape(x.shape)

    return apply


def hardmax(x: Tensor, axis: int) -> Tensor:
    return torch.zeros_like(x).scatter_(axis, x.argmax(axis, keepdim=True), 1)


# What one node applies after another operation: FusedConv, FusedGemm and the recurrent ones.
ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "Relu": torch.relu,
    "Tanh": torch.tanh,
    "Sigmoid": torch.sigmoid,
    "LeakyRelu": leaky_relu,
    "Clip": torch.clamp,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish,
    "Elu": elu,
    "Softplus": softplus,
    "Softsign": lambda x: x / (1 + x.abs()),
    "ThresholdedRelu": lambda x, alpha=1.0: torch.where(x > alpha, x, torch.zeros_like(x)),
    "QuickGelu": lambda x, alpha=1.702: x * torch.sigmoid(alpha * x),
    "Gelu": gelu,
}

TABLE: Table = {
    "Relu": unary(torch.relu),
    "LeakyRelu": lambda call, x: leaky_relu(x, call.number("alpha", 0.01)),
    "PRelu": prelu,
    "Elu": lambda call, x: elu(x, call.number("alpha", 1.0)),
    "Selu": selu,
    "Celu": celu,
    "ThresholdedRelu": lambda call, x: torch.where(x > call.number("alpha", 1.0), x, torch.zeros_like(x)),
    "Sigmoid": unary(torch.sigmoid),
    "HardSigmoid": lambda call, x: hard_sigmoid(x, call.number("alpha", 0.2), call.number("beta", 0.5)),
    "HardSwish": unary(hard_swish),
    "Softplus": unary(softplus),
    "Softsign": unary(lambda x: x / (1 + x.abs())),
    "Mish": unary(lambda x: x * torch.tanh(softplus(x))),
    "Gelu": gelu_either,
    "Swish": swish,
    "Shrink": shrink,
    "Softmax": along_axis(torch.softmax),
    "LogSoftmax": along_axis(torch.log_softmax),
    "Hardmax": along_axis(hardmax),
}
