"""Convolutions and matrix products."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from resnetx.verification.evaluation.by_sample import by_sample
from resnetx.verification.evaluation.call import Call, Table
from resnetx.verification.evaluation.limits import broadcast_shape, refuse_large
from resnetx.verification.evaluation.operators.elementwise import broadcast

CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
TRANSPOSED = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}


def pad_ends(x: Tensor, begins: Sequence[int], ends: Sequence[int], value: float = 0.0) -> Tensor:
    """Pad (or, below 0, crop) the last dimensions, as many as there are begins."""
    sizes = [size + begin + end for size, begin, end in zip(x.shape[-len(begins) :], begins, ends, strict=True)]
    refuse_large([*x.shape[: x.dim() - len(begins)], *(max(size, 0) for size in sizes)], 8)
    pairs = [each for begin, end in zip(reversed(begins), reversed(ends), strict=True) for each in (begin, end)]
    return functional.pad(x, pairs, value=value) if any(pairs) else x


def window_pads(
    call: Call, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[list[int], list[int]]:
    """The pads at the begins and ends, given or from `auto_pad`."""
    mode = call.text("auto_pad", "NOTSET")
    if mode == "NOTSET":
        pads = call.integers("pads") or [0] * (2 * len(sizes))
        return pads[: len(sizes)], pads[len(sizes) :]
    if mode == "VALID":
        return [0] * len(sizes), [0] * len(sizes)
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"auto_pad {mode!r}")
    totals = [
        max((math.ceil(size / stride) - 1) * stride + (each - 1) * dilation + 1 - size, 0)
        for size, each, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True)
    ]
    lower = [whole // 2 if mode == "SAME_UPPER" else whole - whole // 2 for whole in totals]
    return lower, [whole - low for whole, low in zip(totals, lower, strict=True)]


def convolve(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None, pad_value: float = 0.0) -> Tensor:
    """As the node's attributes say; `weight` has the kernel's size."""
    rank = x.dim() - 2
    if rank not in CONVOLUTIONS:
        raise NotImplementedError(f"a convolution over {rank} dimensions")
    strides = call.integers("strides") or [1] * rank
    dilations = call.integers("dilations") or [1] * rank
    group = call.integer("group", 1)
    begins, ends = window_pads(call, x.shape[2:], weight.shape[2:], strides, dilations)
    padded = pad_ends(x, begins, ends, pad_value)
    spans = [(each - 1) * dilation + 1 for each, dilation in zip(weight.shape[2:], dilations, strict=True)]
    counts = [(size - span) // stride + 1 for size, span, stride in zip(padded.shape[2:], spans, strides, strict=True)]
    refuse_large([x.shape[0], weight.shape[0], *(max(count, 0) for count in counts)])
    if group == x.shape[1] == weight.shape[0] and weight.shape[1] == 1:
        return _depthwise(padded, weight, bias, strides, dilations, counts)
    return by_sample(CONVOLUTIONS[rank], padded, weight, bias, strides, 0, dilations, group)


def _depthwise(
    padded: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    strides: Sequence[int],
    dilations: Sequence[int],
    counts: Sequence[int],
) -> Tensor:
    """A sum over the kernel's places: torch's own float64 path takes one call for each channel."""
    rank = len(counts)
    result = torch.zeros([*padded.shape[:2], *counts], dtype=padded.dtype)
    if bias is not None:
        result += bias.reshape(-1, *[1] * rank)
    for place in torch.cartesian_prod(*(torch.arange(size) for size in weight.shape[2:])).reshape(-1, rank).tolist():
        slices = tuple(
            slice(at * dilation, at * dilation + (count - 1) * stride + 1, stride)
            for at, dilation, count, stride in zip(place, dilations, counts, strides, strict=True)
        )
        windows = padded[(slice(None), slice(None), *slices)]
        result.addcmul_(windows, weight[(slice(None), 0, *place)].reshape(-1, *[1] * rank))
    return result


def conv(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return convolve(call, x, weight, bias)


def conv_transpose(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    rank = x.dim() - 2
    if rank not in TRANSPOSED:
        raise NotImplementedError(f"a transposed convolution over {rank} dimensions")
    strides = call.integers("strides") or [1] * rank
    dilations = call.integers("dilations") or [1] * rank
    extra = call.integers("output_padding") or [0] * rank
    group = call.integer("group", 1)
    full = [
        (size - 1) * stride + (each - 1) * dilation + 1
        for size, each, stride, dilation in zip(x.shape[2:], weight.shape[2:], strides, dilations, strict=True)
    ]
    sizes, begins = _transposed_sizes(
        call, x.shape[2:], strides, [size + add for size, add in zip(full, extra, strict=True)]
    )
    refuse_large([x.shape[0], weight.shape[1] * group, *(max(*each) for each in zip(full, sizes, strict=True))])
    everything = TRANSPOSED[rank](x, weight, None, strides, 0, 0, group, dilations)
    ends = [size - whole + begin for size, whole, begin in zip(sizes, full, begins, strict=True)]
    result = pad_ends(everything, [-begin for begin in begins], ends)
    return result if bias is None else result + bias.reshape(-1, *[1] * rank)


def _transposed_sizes(
    call: Call, inputs: Sequence[int], strides: Sequence[int], full: Sequence[int]
) -> tuple[list[int], list[int]]:
    """The sizes of the output and how much of the full one is cut at each begin."""
    mode = call.text("auto_pad", "NOTSET")
    sizes = call.integers("output_shape")
    if sizes is not None:
        sizes = sizes[-len(inputs) :]
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        sizes = [size * stride for size, stride in zip(inputs, strides, strict=True)]
    if sizes is None:
        pads = (call.integers("pads") if mode == "NOTSET" else None) or [0] * (2 * len(inputs))
        begins, ends = pads[: len(inputs)], pads[len(inputs) :]
        return [size - begin - end for size, begin, end in zip(full, begins, ends, strict=True)], begins
    totals = [max(whole - size, 0) for whole, size in zip(full, sizes, strict=True)]
    return sizes, [cut // 2 if mode == "SAME_UPPER" else cut - cut // 2 for cut in totals]


def matmul(a: Tensor, b: Tensor) -> Tensor:
    rows, columns = a.shape[-2:-1], b.shape[-1:] if b.dim() > 1 else torch.Size()
    refuse_large([*broadcast_shape(a.shape[:-2], b.shape[:-2]), *rows, *columns])
    return torch.matmul(a, b)


def gemm(call: Call, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.transpose(0, 1) if call.integer("transA", 0) else a
    b = b.transpose(0, 1) if call.integer("transB", 0) else b
    product = matmul(a, b)
    alpha, beta = call.number("alpha", 1.0), call.number("beta", 1.0)
    product = product if alpha == 1 else _scaled(product, alpha)
    if c is None or beta == 0:
        return product
    broadcast(product, c)
    return product + (c if beta == 1 else _scaled(c, beta))


def _scaled(x: Tensor, factor: float) -> Tensor:
    return x * factor if x.is_floating_point() else (x * factor).to(x.dtype)


def einsum(call: Call, *inputs: Tensor) -> Tensor:
    equation = call.text("equation", "").replace(" ", "")
    terms = equation.partition("->")[0].split(",")
    if len(terms) != len(inputs):
        raise ValueError(f"the equation {equation!r} for {len(inputs)} inputs")
    sizes: dict[str, int] = {}
    for term, tensor in zip(terms, inputs, strict=True):
        named = term.replace(".", "")
        ahead = term.partition("...")[0] if "..." in term else term
        behind = term.partition("...")[2]
        shape = [*tensor.shape[: len(ahead)], *tensor.shape[tensor.dim() - len(behind) :]]
        sizes.update({letter: max(size, sizes.get(letter, 1)) for letter, size in zip(named, shape, strict=True)})
        if "..." in term:
            sizes["..."] = max(sizes.get("...", 1), math.prod(tensor.shape) // max(math.prod(shape), 1))
    # Also what is between: a pairwise product may hold every letter.
    refuse_large(list(sizes.values()) if len(inputs) > 2 else _einsum_output(equation, sizes))
    return torch.einsum(equation, *inputs)


def _einsum_output(equation: str, sizes: dict[str, int]) -> list[int]:
    if "->" not in equation:
        return list(sizes.values())
    output = equation.partition("->")[2]
    return [sizes.get(letter, 1) for letter in output.replace("...", "")] + [sizes.get("...", 1)]


TABLE: Table = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Gemm": gemm,
    "MatMul": lambda call, a, b: matmul(a, b),
    "Einsum": einsum,
}
# Those whose first two inputs an accelerator rounds before it multiplies.
MATRIX_OPERATORS = frozenset((*TABLE, "FusedConv", "FusedGemm", "FusedMatMul", "TransposeMatMul", "NhwcConv"))
