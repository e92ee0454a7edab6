"""Normalizations by statistics that are stored or computed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from resnetx.verification.evaluation.call import Call, Result, Table, normal_axis
from resnetx.verification.evaluation.limits import must_fit
from resnetx.verification.evaluation.sums import average, total


def _per_channel(x: Tensor, values: Tensor) -> Tensor:
    if values.dim() != 1 or len(values) not in (1, x.shape[min(1, x.dim() - 1)]):
        raise ValueError(f"parameters of shape {list(values.shape)} for an input of shape {list(x.shape)}")
    return values.reshape(-1, *[1] * (x.dim() - 2)) if x.dim() > 1 else values


def batch_norm(
    call: Call, x: Tensor, scale: Tensor, bias: Tensor, running_mean: Tensor, running_variance: Tensor
) -> Result:
    epsilon = call.number("epsilon", 1e-5)
    if call.integer("spatial", 1) == 0:
        raise NotImplementedError("statistics for each place (spatial=0)")
    training = bool(call.integer("training_mode", 0)) or (call.opset < 14 and call.output_count > 1)
    mean, variance = running_mean, running_variance
    if training:
        others = [dim for dim in range(x.dim()) if dim != 1]
        mean, variance = _statistics(call, x, others)
        mean, variance = mean.flatten(), variance.flatten()
    factor = _per_channel(x, scale) / torch.sqrt(_per_channel(x, variance) + epsilon)
    result = (x - _per_channel(x, mean)) * factor + _per_channel(x, bias)
    if not training:
        return result
    momentum = call.number("momentum", 0.9)
    return (
        result,
        running_mean * momentum + mean * (1 - momentum),
        running_variance * momentum + variance * (1 - momentum),
    )


def _statistics(call: Call, x: Tensor, dims: Sequence[int], *, by_squares: bool = False) -> tuple[Tensor, Tensor]:
    """Mean and variance over `dims`, which stay; `by_squares` as the mean square less the square of the mean."""
    mean = average(x, dims, call.settings, keepdim=True)
    if by_squares:
        return mean, average(x.square(), dims, call.settings, keepdim=True) - mean.square()
    return mean, average((x - mean).square(), dims, call.settings, keepdim=True)


def instance_norm(call: Call, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    mean, variance = _statistics(call, x, range(2, x.dim()))
    normal = (x - mean) / torch.sqrt(variance + call.number("epsilon", 1e-5))
    return normal * _per_channel(x, scale) + _per_channel(x, bias)


def _last_dims(call: Call, x: Tensor, *parameters: Tensor | None) -> range:
    """Those from the axis on, over which the parameters have to spread."""
    must_fit(x, *parameters)
    return range(normal_axis(call.integer("axis", -1), x.dim()), x.dim())


def layer_norm(call: Call, x: Tensor, scale: Tensor | None, bias: Tensor | None = None) -> Result:
    dims = _last_dims(call, x, scale, bias)
    mean, variance = _statistics(call, x, dims)
    inverse = 1 / torch.sqrt(variance + call.number("epsilon", 1e-5))
    result = (x - mean) * inverse
    result = result if scale is None else result * scale
    result = result if bias is None else result + bias
    return (result, mean, inverse) if call.output_count > 1 else result


def group_norm(call: Call, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    groups = call.integer("num_groups", 1)
    grouped = x.reshape(x.shape[0], groups, -1)
    # ONNX defines it by the mean square, and runtimes compute it so; in float64 both are the same.
    mean, variance = _statistics(call, grouped, [2], by_squares=call.settings.one_by_one)
    normal = (grouped - mean) / torch.sqrt(variance + call.number("epsilon", 1e-5))
    if call.opset < 21:  # one scale for each group
        return (normal * scale.reshape(-1, 1) + bias.reshape(-1, 1)).reshape(x.shape)
    return normal.reshape(x.shape) * _per_channel(x, scale) + _per_channel(x, bias)


def rms_norm(call: Call, x: Tensor, scale: Tensor) -> Result:
    dims = _last_dims(call, x, scale)
    mean_square = average(x.square(), dims, call.settings, keepdim=True)
    inverse = 1 / torch.sqrt(mean_square + call.number("epsilon", 1e-5))
    result = x * inverse * scale
    return (result, inverse) if call.output_count > 1 else result


def local_response(call: Call, x: Tensor) -> Tensor:
    """The squares of `size` neighbouring channels are summed."""
    size = call.integer("size", 1)
    alpha, beta, bias = call.number("alpha", 1e-4), call.number("beta", 0.75), call.number("bias", 1.0)
    before = (size - 1) // 2
    squares = torch.zeros_like(x)
    channels = x.shape[1]
    for offset in range(max(-before, 1 - channels), min(size - before, channels)):
        low, high = max(0, -offset), min(channels, channels - offset)
        squares[:, low:high] += x[:, low + offset : high + offset].square()
    return x / (bias + alpha / size * squares) ** beta


def lp_norm(call: Call, x: Tensor) -> Tensor:
    axis, p = call.integer("axis", -1), call.integer("p", 2)
    if p not in (1, 2):
        raise NotImplementedError(f"p = {p}")
    if p == 1:
        norm = total(x.abs(), [axis], call.settings, keepdim=True)
    else:
        norm = torch.sqrt(total(x.square(), [axis], call.settings, keepdim=True))
    return torch.where(norm == 0, torch.zeros_like(x), x / norm)


def mean_variance_norm(call: Call, x: Tensor) -> Tensor:
    mean, variance = _statistics(call, x, call.integers("axes") or [0, 2, 3])
    return (x - mean) / (torch.sqrt(variance) + 1e-9)


def skip_layer_norm(
    call: Call,
    x: Tensor,
    skip: Tensor,
    gamma: Tensor,
    beta: Tensor | None = None,
    bias: Tensor | None = None,
) -> Result:
    """com.microsoft's sum and normalization in one; its fourth output is the sum."""
    must_fit(x, skip, gamma, bias)
    summed = x + skip
    summed = summed if bias is None else summed + bias
    mean, variance = _statistics(call, summed, [summed.dim() - 1])
    inverse = 1 / torch.sqrt(variance + call.number("epsilon", 1e-12))
    result = (summed - mean) * inverse * gamma
    return (result if beta is None else result + beta), mean, inverse, summed


def skip_rms_norm(call: Call, x: Tensor, skip: Tensor, gamma: Tensor, bias: Tensor | None = None) -> Result:
    must_fit(x, skip, gamma, bias)
    summed = x + skip
    summed = summed if bias is None else summed + bias
    mean_square = average(summed.square(), [summed.dim() - 1], call.settings, keepdim=True)
    inverse = 1 / torch.sqrt(mean_square + call.number("epsilon", 1e-12))
    return summed * inverse * gamma, torch.zeros_like(inverse), inverse, summed


def channels_last_group_norm(call: Call, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """com.microsoft's GroupNorm, with an activation of its own."""
    last = bool(call.integer("channels_last", 1))
    planar = x.movedim(-1, 1) if last else x
    groups = call.integer("groups", 32)
    grouped = planar.reshape(planar.shape[0], groups, -1)
    mean, variance = _statistics(call, grouped, [2])
    normal = ((grouped - mean) / torch.sqrt(variance + call.number("epsilon", 1e-5))).reshape(planar.shape)
    result = normal * _per_channel(planar, gamma) + _per_channel(planar, beta)
    result = result * torch.sigmoid(result) if call.integer("activation", 0) == 1 else result
    return result.movedim(1, -1) if last else result


TABLE: Table = {
    "BatchNormalization": batch_norm,
    "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm,
    "GroupNormalization": group_norm,
    "RMSNormalization": rms_norm,
    # ONNX Runtime's optimizer writes this one, in the standard domain.
    "SimplifiedLayerNormalization": rms_norm,
    "LRN": local_response,
    "LpNormalization": lp_norm,
    "MeanVarianceNormalization": mean_variance_norm,
}
MICROSOFT_TABLE: Table = {
    "SkipLayerNormalization": skip_layer_norm,
    "SkipSimplifiedLayerNormalization": skip_rms_norm,
    "GroupNorm": channels_last_group_norm,
}
