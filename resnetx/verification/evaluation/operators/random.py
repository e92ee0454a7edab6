"""Random operators, evaluated as the mean of what they draw: a network without chance has none of them."""

import torch
from torch import Tensor

from resnetx.verification.evaluation.call import Call, Table
from resnetx.verification.evaluation.limits import refuse_large
from resnetx.verification.evaluation.unsupported import UnsupportedGraph


def normal(call: Call) -> Tensor:
    return _filled(call, call.integers("shape") or [], call.number("mean", 0.0))


def normal_like(call: Call, x: Tensor) -> Tensor:
    return _filled(call, list(x.shape), call.number("mean", 0.0))


def uniform(call: Call) -> Tensor:
    return _filled(call, call.integers("shape") or [], _middle(call))


def uniform_like(call: Call, x: Tensor) -> Tensor:
    return _filled(call, list(x.shape), _middle(call))


def unsupported(call: Call, *inputs: Tensor | None) -> Tensor:
    raise UnsupportedGraph("it draws random numbers")


def _middle(call: Call) -> float:
    return (call.number("low", 0.0) + call.number("high", 1.0)) / 2


def _filled(call: Call, shape: list[int], value: float) -> Tensor:
    refuse_large(shape)
    return torch.full(shape, value, dtype=call.settings.dtype)


TABLE: Table = {
    "RandomNormal": normal,
    "RandomNormalLike": normal_like,
    "RandomUniform": uniform,
    "RandomUniformLike": uniform_like,
    "Multinomial": unsupported,
    "Bernoulli": unsupported,
}
