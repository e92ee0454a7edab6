"""Quantization and dequantization, by tensor, axis or block, and casts between types."""

import torch
from onnx import TensorProto
from torch import Tensor

from resnetx.verification.evaluation.call import Call, Result, Table, normal_axis
from resnetx.verification.evaluation.limits import must_fit, refuse_large
from resnetx.verification.evaluation.rounding import FORMATS, SMALL_FLOATS, round_to
from resnetx.verification.evaluation.tensors import FLOATS, INTEGER_RANGES, STORAGE


def spread(parameter: Tensor, x: Tensor, axis: int, block: int = 0) -> Tensor:
    """A scale or zero point in a shape that broadcasts over `x`: of the tensor, of its channels, or of blocks."""
    if parameter.numel() == 1 and not block:
        return parameter.reshape(())
    axis = normal_axis(axis, x.dim())
    if not block and (parameter.dim() != 1 or len(parameter) != x.shape[axis]):
        raise ValueError(f"parameters of shape {list(parameter.shape)} for axis {axis} of {list(x.shape)}")
    if block:
        refuse_large([*parameter.shape, block])
        parameter = parameter.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
        must_fit(x, parameter)
        return parameter
    return parameter.reshape([-1 if dim == axis else 1 for dim in range(x.dim())])


def quantized(call: Call, x: Tensor, scale: Tensor, zero: Tensor | None, element_type: int, *, axis: int) -> Tensor:
    """`x` in the steps of `scale`, as numbers of `element_type`.

    Where steps are ignored nothing is rounded; what lies beyond a zero at an end of the range is cut off all the same,
    because a quantizer leaves out the Relu before such a step. Where they are fitted, the range is as wide as needed.
    """
    block = call.integer("block_size", 0)
    scale = spread(scale, x, axis, block)
    offset = torch.zeros((), dtype=x.dtype) if zero is None else spread(zero, x, axis, block).to(x.dtype)
    steps = x / scale
    if element_type in FORMATS:
        if not call.settings.rounds_steps:
            return steps
        return round_to(steps, FORMATS[element_type], saturate=bool(call.integer("saturate", 1)))
    low, high = INTEGER_RANGES[element_type]
    if not call.settings.steps_in_floats:
        return (torch.round(steps) + offset).clamp(low, high).to(STORAGE[element_type])
    cut = torch.where(offset == low, steps.clamp(min=0), steps)
    cut = torch.where(offset == high, cut.clamp(max=0), cut)
    if call.settings.rounds_steps:
        below, above = (offset - low).clamp(min=1), (high - offset).clamp(min=1)
        needed = torch.maximum((-cut / below).max(), (cut / above).max()) if scale.numel() == 1 else torch.ones(())
        cut = torch.round(cut / needed) * needed if needed > 0 else cut
    return cut + offset


def dequantized(call: Call, x: Tensor, scale: Tensor, zero: Tensor | None, *, axis: int) -> Tensor:
    block = call.integer("block_size", 0)
    steps = x.to(scale.dtype)
    if zero is not None:
        steps = steps - spread(zero, x, axis, block).to(scale.dtype)
    return steps * spread(scale, x, axis, block)


def quantized_type(call: Call) -> int:
    """What QuantizeLinear writes: the zero point's type, or the one that is named, or uint8."""
    return call.type_of(2) or call.integer("output_dtype", 0) or TensorProto.UINT8


def quantize(call: Call, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    values = x if x.is_floating_point() else x.to(call.settings.dtype)
    return quantized(call, values, scale, zero, quantized_type(call), axis=call.integer("axis", 1))


def dequantize(call: Call, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    return dequantized(call, x, scale, zero, axis=call.integer("axis", 1))


def dynamic_quantize(call: Call, x: Tensor) -> Result:
    """To uint8 by the tensor's own range, which always contains 0."""
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = (high - low) / 255
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero = torch.round((-low / scale).clamp(0, 255))
    if not call.settings.rounds_steps:
        return x / scale + zero, scale, zero
    return (torch.round(x / scale) + zero).clamp(0, 255).to(torch.uint8), scale, zero.to(torch.uint8)


def cast_to(call: Call, x: Tensor, element_type: int) -> Tensor:
    source = call.type_of(0)
    if element_type in FLOATS:
        if element_type not in FORMATS or not call.settings.rounds_steps:
            return x.to(call.settings.dtype)
        saturate = element_type in SMALL_FLOATS and bool(call.integer("saturate", 1))
        return round_to(x.to(call.settings.dtype), FORMATS[element_type], saturate=saturate)
    if element_type not in STORAGE:
        raise NotImplementedError(f"a cast to {TensorProto.DataType.Name(element_type)}")
    if x.is_floating_point() and source not in FLOATS:  # quantized, in steps that were not rounded
        return x
    if element_type == TensorProto.BOOL:
        return x != 0
    if x.is_floating_point():
        return torch.trunc(x).to(torch.int64).to(STORAGE[element_type])
    return x.to(STORAGE[element_type])


def cast(call: Call, x: Tensor) -> Tensor:
    return cast_to(call, x, call.integer("to", 0))


def cast_like(call: Call, x: Tensor, other: Tensor) -> Tensor:
    return cast_to(call, x, call.type_of(1))


TABLE: Table = {
    "QuantizeLinear": quantize,
    "DequantizeLinear": dequantize,
    "DynamicQuantizeLinear": dynamic_quantize,
    "Cast": cast,
    "CastLike": cast_like,
}
MICROSOFT_TABLE: Table = {"QuantizeLinear": quantize, "DequantizeLinear": dequantize}
