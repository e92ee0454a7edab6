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
    if not x.numel():
        return x
    wide = x.to(torch.float64)
    magnitude = wide.abs()
    rounded = _significand_rounded(wide, form.significand_bits)
    # Below the smallest normal number all places are the last one of that.
    tiny = (magnitude < 2.0**form.min_exponent).logical_and_(wide)
    if tiny.any():
        last_place = 2.0 ** (form.min_exponent - form.significand_bits + 1)
        rounded = torch.where(tiny, (wide / last_place).round_() * last_place, rounded)
    if not float(magnitude.max()) <= form.largest:  # NaN too
        rounded = _beyond_the_range(torch.where(wide.isfinite(), rounded, wide), form, saturate)
    return rounded.to(x.dtype)


def _beyond_the_range(rounded: Tensor, form: FloatFormat, saturate: bool) -> Tensor:
    if form.not_a_number == 0:
        rounded = rounded.nan_to_num(0.0, posinf=form.largest, neginf=-form.largest)
    if saturate:
        return rounded.clamp(-form.largest, form.largest)
    return torch.where(rounded.abs() > form.largest, rounded.sign() * form.overflow, rounded)


def _significand_rounded(wide: Tensor, bits: int) -> Tensor:
    """To so many bits, ties to even: in the bits of float64, where a carry moves on into the exponent by itself."""
    dropped = 53 - bits
    whole = wide.view(torch.int64)
    odd = whole.bitwise_right_shift(dropped).bitwise_and_(1)
    return odd.add_(whole).add_((1 << (dropped - 1)) - 1).bitwise_and_(-(1 << dropped)).view(torch.float64)
