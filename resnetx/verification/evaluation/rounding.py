"""Rounds float64 and float32 tensors to narrower floating-point formats, once and to the nearest even."""

from dataclasses import dataclass

import torch
from onnx import TensorProto
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class FloatFormat:
    """A format by its significand, its smallest normal exponent and its largest number."""

    significand_bits: int
    """The implicit one included."""
    min_exponent: int
    """Of the smallest normal number, 2 to this power."""
    largest: float
    overflow: float = float("inf")
    """What stands for a number beyond the largest one where conversions do not saturate."""
    not_a_number: float = float("nan")
    """The format of four bits has none: it becomes 0."""


_BFLOAT16_LARGEST = (2 - 2.0**-7) * 2.0**127
FLOAT16 = FloatFormat(significand_bits=11, min_exponent=-14, largest=65504.0)
BFLOAT16 = FloatFormat(significand_bits=8, min_exponent=-126, largest=_BFLOAT16_LARGEST)
TENSOR_FLOAT32 = FloatFormat(significand_bits=11, min_exponent=-126, largest=(2 - 2.0**-10) * 2.0**127)
FORMATS: dict[int, FloatFormat] = {
    TensorProto.FLOAT16: FLOAT16,
    TensorProto.BFLOAT16: BFLOAT16,
    17: FloatFormat(significand_bits=4, min_exponent=-6, largest=448.0, overflow=float("nan")),
    18: FloatFormat(significand_bits=4, min_exponent=-7, largest=240.0, overflow=float("nan")),
    19: FloatFormat(significand_bits=3, min_exponent=-14, largest=57344.0),
    20: FloatFormat(significand_bits=3, min_exponent=-15, largest=57344.0, overflow=float("nan")),
    23: FloatFormat(significand_bits=2, min_exponent=0, largest=6.0, not_a_number=0.0),
}
# The eight-bit and four-bit formats: conversions to them saturate unless the node says otherwise.
SMALL_FLOATS = frozenset((17, 18, 19, 20, 23))


def round_to(x: Tensor, form: FloatFormat, *, saturate: bool = False) -> Tensor:
    """Each number as the nearest one of the format, in the type that `x` has.

    (torch converts float64 to float16 through float32, which rounds twice.)
    """
    wide = x.to(torch.float64)
    # Beyond every format's range the exponent no longer matters, and that of infinity is undefined.
    exponent = torch.frexp(wide).exponent.sub_(1).clamp_(form.min_exponent, 200)
    last_place = _power_of_two(exponent.sub_(form.significand_bits - 1))
    rounded = wide.div(last_place).round_().mul_(last_place)
    if form.not_a_number == 0:
        rounded.nan_to_num_(0.0, posinf=form.largest, neginf=-form.largest)
    if saturate:
        return rounded.clamp_(-form.largest, form.largest).to(x.dtype)
    beyond = rounded.abs() > form.largest
    if beyond.any():
        rounded = torch.where(beyond, torch.sign(rounded) * form.overflow, rounded)
    return rounded.to(x.dtype)


def _power_of_two(exponent: Tensor) -> Tensor:
    """Exactly, from the bits of a float64 number."""
    return exponent.to(torch.int64).add_(1023).bitwise_left_shift_(52).view(torch.float64)
