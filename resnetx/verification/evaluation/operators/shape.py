"""Operators that make, reshape, join and cut tensors without computing with their numbers."""

import math

import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor
from torch.nn import functional

from resnetx.verification.evaluation.call import Call, Result, Table, integers_in, normal_axis
from resnetx.verification.evaluation.limits import broadcast_shape, refuse_large
from resnetx.verification.evaluation.tensors import STORAGE, from_array, from_proto


def shape(call: Call, x: Tensor) -> Tensor:
    end = call.integer("end", x.dim())
    return torch.tensor(list(x.shape)[slice(call.integer("start", 0), end)], dtype=torch.int64)


def reshape(call: Call, x: Tensor, sizes: Tensor) -> Tensor:
    wanted = integers_in(sizes)
    if not call.integer("allowzero", 0):
        wanted = [x.shape[dim] if size == 0 else size for dim, size in enumerate(wanted)]
    if -1 in wanted and x.numel() == 0:
        wanted[wanted.index(-1)] = 0
    return x.reshape(wanted)


def flatten(call: Call, x: Tensor) -> Tensor:
    axis = call.integer("axis", 1)
    axis += x.dim() if axis < 0 else 0
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def squeeze(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
    given = integers_in(axes) if axes is not None else call.integers("axes")
    dims = {normal_axis(axis, x.dim()) for axis in given} if given is not None else set(range(x.dim()))
    if given is not None and any(x.shape[dim] != 1 for dim in dims):
        raise ValueError(f"axes {sorted(dims)} of {list(x.shape)} are not all 1")
    return x.reshape([size for dim, size in enumerate(x.shape) if dim not in dims or (given is None and size != 1)])


def unsqueeze(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
    given = integers_in(axes) if axes is not None else call.integers("axes") or []
    rank = x.dim() + len(given)
    for dim in sorted(normal_axis(axis, rank) for axis in given):
        x = x.unsqueeze(dim)
    return x


def transpose(call: Call, x: Tensor) -> Tensor:
    return x.permute(call.integers("perm") or list(reversed(range(x.dim()))))


def concat(call: Call, *inputs: Tensor) -> Tensor:
    axis = normal_axis(call.integer("axis", 0), inputs[0].dim())
    joined = list(inputs[0].shape)
    joined[axis] = sum(each.shape[axis] for each in inputs)
    refuse_large(joined)
    return torch.cat(inputs, axis)


def split(call: Call, x: Tensor, sizes: Tensor | None = None) -> Result:
    axis = normal_axis(call.integer("axis", 0), x.dim())
    given = integers_in(sizes) if sizes is not None else call.integers("split")
    if given is None:
        count = call.integer("num_outputs", call.output_count)
        each = -(-x.shape[axis] // count)
        given = [max(min(each, x.shape[axis] - each * index), 0) for index in range(count)]
    return tuple(torch.split(x, given, axis))


def expand(call: Call, x: Tensor, sizes: Tensor) -> Tensor:
    wanted = broadcast_shape(x.shape, integers_in(sizes))
    refuse_large(wanted)
    return x.expand(wanted)


def tile(call: Call, x: Tensor, repeats: Tensor) -> Tensor:
    times = integers_in(repeats)
    refuse_large([size * each for size, each in zip(x.shape, times, strict=True)])
    return x.repeat(times) if times else x


def slice_(call: Call, x: Tensor, *inputs: Tensor | None) -> Tensor:
    starts, ends, axes, steps = _slice_arguments(call, x, inputs)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        dim = normal_axis(axis, x.dim())
        if step == 0:
            raise ValueError("a step of 0")
        size = x.shape[dim]
        # Unlike in Python, a backwards slice that starts before the first element starts at it.
        lowest, highest = (0, size) if step > 0 else (-1, size - 1)
        start = min(max(start + size if start < 0 else start, 0), highest)
        end = min(max(end + size if end < 0 else end, lowest), highest)
        if step > 0:
            x = x[(slice(None),) * dim + (slice(start, max(start, end), step),)]
        else:
            x = x.index_select(dim, torch.arange(start, min(start, end), step))
    return x


def _slice_arguments(
    call: Call, x: Tensor, inputs: tuple[Tensor | None, ...]
) -> tuple[list[int], list[int], list[int], list[int]]:
    if call.opset < 10:
        starts, ends, axes = (call.integers(name) for name in ("starts", "ends", "axes"))
        steps = None
    else:
        filled = [None if each is None else integers_in(each) for each in (*inputs, None, None)]
        starts, ends, axes, steps = filled[:4]
    if starts is None or ends is None:
        raise ValueError("neither starts nor ends")
    return starts, ends, axes or list(range(len(starts))), steps or [1] * len(starts)


def pad(call: Call, x: Tensor, *inputs: Tensor | None) -> Tensor:
    pads_input, value, axes = (*inputs, None, None, None)[:3]
    pads = call.integers("pads") if pads_input is None else integers_in(pads_input)
    constant = call.number("value", 0.0) if value is None else value.item()
    dims = [normal_axis(axis, x.dim()) for axis in (range(x.dim()) if axes is None else integers_in(axes))]
    if pads is None or len(pads) != 2 * len(dims):
        raise ValueError(f"the pads {pads} for {len(dims)} dimensions")
    sizes = list(x.shape)
    for place, dim in enumerate(dims):
        sizes[dim] = max(sizes[dim] + pads[place] + pads[place + len(dims)], 0)
    refuse_large(sizes)
    mode = call.text("mode", "constant")
    if mode == "constant":
        pairs = [0] * (2 * x.dim())
        for place, dim in enumerate(dims):
            pairs[2 * (x.dim() - 1 - dim)], pairs[2 * (x.dim() - 1 - dim) + 1] = pads[place], pads[place + len(dims)]
        return functional.pad(x, pairs, value=constant)
    for place, dim in enumerate(dims):
        x = x.index_select(dim, _outside(mode, x.shape[dim], pads[place], pads[place + len(dims)]))
    return x


def _outside(mode: str, size: int, begin: int, end: int) -> Tensor:
    """Which places along an axis a padding mode repeats."""
    at = torch.arange(-begin, size + end)
    if mode == "edge":
        return at.clamp(0, size - 1)
    if mode == "wrap":
        return at.remainder(size)
    if mode == "reflect":
        period = max(2 * (size - 1), 1)
        at = at.remainder(period)
        return torch.where(at < size, at, period - at)
    raise NotImplementedError(f"the mode {mode!r}")


def depth_to_space(call: Call, x: Tensor) -> Tensor:
    block = call.integer("blocksize", 1)
    batch, channels, height, width = x.shape
    rest = channels // block**2
    if call.text("mode", "DCR") == "DCR":
        apart = x.reshape(batch, block, block, rest, height, width).permute(0, 3, 4, 1, 5, 2)
    else:
        apart = x.reshape(batch, rest, block, block, height, width).permute(0, 1, 4, 2, 5, 3)
    return apart.reshape(batch, rest, height * block, width * block)


def space_to_depth(call: Call, x: Tensor) -> Tensor:
    block = call.integer("blocksize", 1)
    batch, channels, height, width = x.shape
    apart = x.reshape(batch, channels, height // block, block, width // block, block)
    order = (0, 3, 5, 1, 2, 4) if call.text("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    return apart.permute(order).reshape(batch, channels * block**2, height // block, width // block)


def constant(call: Call) -> Tensor:
    dtype = call.settings.dtype
    if call.has("value"):
        return from_proto(call.attribute("value").t, dtype)
    if call.has("value_float"):
        return torch.tensor(call.number("value_float", 0.0), dtype=dtype)
    if call.has("value_floats"):
        return torch.tensor(call.numbers("value_floats"), dtype=dtype)
    if call.has("value_int"):
        return torch.tensor(call.integer("value_int", 0), dtype=torch.int64)
    if call.has("value_ints"):
        return torch.tensor(call.integers("value_ints"), dtype=torch.int64)
    raise NotImplementedError("a constant that is sparse or text")


def constant_of_shape(call: Call, sizes: Tensor) -> Tensor:
    wanted = integers_in(sizes)
    refuse_large(wanted)
    if not call.has("value"):
        return torch.zeros(wanted, dtype=call.settings.dtype)
    value = call.attribute("value").t
    filled = from_array(numpy_helper.to_array(value), value.data_type, call.settings.dtype)
    return filled.reshape(()).expand(wanted)


def range_(call: Call, start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    first, last, step = start.item(), limit.item(), delta.item()
    if step == 0:
        raise ValueError("a step of 0")
    count = max(math.ceil((last - first) / step), 0)
    refuse_large([count])
    return (torch.arange(count, dtype=start.dtype) * step + first).to(start.dtype)


def eye_like(call: Call, x: Tensor) -> Tensor:
    dtype = STORAGE.get(call.integer("dtype", call.type_of(0) or TensorProto.FLOAT), call.settings.dtype)
    rows, columns = x.shape
    k = call.integer("k", 0)
    return (torch.arange(columns) - torch.arange(rows)[:, None] == k).to(dtype)


def trilu(call: Call, x: Tensor, k: Tensor | None = None) -> Tensor:
    diagonal = 0 if k is None else int(k)
    return torch.triu(x, diagonal) if call.integer("upper", 1) else torch.tril(x, diagonal)


TABLE: Table = {
    "Shape": shape,
    "Size": lambda call, x: torch.tensor(x.numel(), dtype=torch.int64),
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Concat": concat,
    "Split": split,
    "Expand": expand,
    "Tile": tile,
    "Slice": slice_,
    "Pad": pad,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "Range": range_,
    "EyeLike": eye_like,
    "Trilu": trilu,
}
