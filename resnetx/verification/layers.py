"""Finds the first wrong layer: compares inner tensors in network order, as sketches."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx

from resnetx.base.precisions import EPSILON
from resnetx.graph.layers import LayerNode
from resnetx.verification.parity import MAX_MULTIPLE
from resnetx.verification.sketch import Sketch, squares

# A sketch knows a channel's error with few degrees of freedom, and a tensor has thousands of channels.
CHANNEL_SPREAD = 2.0
# Honest runtimes' inner tensors were at up to 20 times the noise of one float32 evaluation (ONNX Runtime, MaxViT's
# Erf); their outputs stay below 3.
LOOSE_SPREAD = 4.0
# Operators with weights, one filter for each channel.
LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul", "FusedConv", "FusedGemm", "FusedMatMul", "QLinearConv")
# At most this share of a linear layer's channels differ if single filters are wrong; the others agree to rounding.
FEW_CHANNELS = 0.1
# Tensors nearer than this, relative to their size, are the same thing with an error.
ALIKE = 0.9


@dataclass(frozen=True, kw_only=True)
class LayerParity:
    """A layer's worst sample or channel, as a relative error and in multiples of the expected noise.

    `moves`: its tensor differs between samples; a constant says little of what made it.
    """

    name: str
    op: str
    original: str | None
    shape: tuple[int, ...]
    error: float
    noise: float
    multiple: float
    passed: bool
    moves: bool = True


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a tensor should be: exactly, and the noise of each channel relative to the tensor's size, (C,)."""

    exact: Sketch
    noise: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Counterpart:
    """A tensor of the network, by the module or call that computes it, and the operator's name."""

    name: str
    op: str
    expected: Expected


@dataclass(frozen=True)
class Deviation:
    """`error` and `noise` relative to the tensor's size; `channels` is the share of channels that are off."""

    error: float
    noise: float
    multiple: float
    channels: float

    @property
    def small(self) -> bool:
        return self.multiple <= MAX_MULTIPLE


def expected(exact: Sketch, noisy: Sketch) -> Expected:
    """The noise is the difference between a tensor and the same one with roundings.

    A channel that the roundings make infinite or NaN is not known: a runtime may do the same, or may not.
    """
    overflows = ~np.isfinite(_relative(noisy, exact))
    known = Sketch(shape=exact.shape, values=np.where(overflows[:, :, None], np.nan, exact.values))
    return Expected(exact=known, noise=np.sqrt(np.mean(_relative(noisy, known) ** 2, axis=0)))


def deviation(actual: Sketch, wanted: Expected, *, floor: float, loose: bool = False) -> Deviation:
    """Compare a tensor by sample and by channel; `floor` is the least noise, relative to the tensor's size.

    The noise is one example of what roundings do. Where nothing else can differ, the comparison is `loose`: single
    channels and layers may have several times as much.
    """
    if actual.form != wanted.exact.form:
        return Deviation(float("inf"), floor, float("inf"), 1.0)
    error = _relative(actual, wanted.exact)
    level = max(float(np.sqrt(np.mean(wanted.noise**2))), floor)
    spread = LOOSE_SPREAD if loose else 1.0
    usual = np.maximum(wanted.noise, level if loose else max(float(np.median(wanted.noise)), floor))
    sample = float(np.sqrt(np.mean(np.minimum(error, 1e100) ** 2, axis=1)).max(initial=0.0))
    channels = error / (usual * CHANNEL_SPREAD * spread)
    return Deviation(
        error=sample,
        noise=level,
        multiple=max(sample / (level * spread), float(channels.max(initial=0.0))),
        channels=float((channels > MAX_MULTIPLE).any(axis=0).mean()),
    )


def _relative(side: Sketch, exact: Sketch) -> np.ndarray:
    """The error of each sample's channels, relative to the RMS of the sample's channels: (N, C)."""
    known = np.isfinite(exact.values).all(axis=2)
    size = np.sqrt(np.where(known, exact.energy, 0.0).mean(axis=1, keepdims=True))
    size = np.where(size > 0, size, float(size.max(initial=0.0)) or 1.0)
    with np.errstate(invalid="ignore"):
        error = np.sqrt(squares(side.values - exact.values)) / size
    return np.where(known, np.nan_to_num(error, nan=np.inf, posinf=np.inf), 0.0)


def compare_runtime(
    nodes: Sequence[LayerNode],
    actual: Mapping[str, Sketch],
    wanted: Mapping[str, Expected],
    *,
    originals: Mapping[str, str | None],
    precision: str,
) -> tuple[LayerParity, ...]:
    """Compare a runtime's inner tensors with those of the same graph in float64. All are by the tensors' names."""
    floor = EPSILON.get(precision, EPSILON["fp32"])
    return tuple(
        _row(
            node,
            deviation(actual[node.tensor], wanted[node.tensor], floor=floor, loose=True),
            actual[node.tensor],
            originals,
        )
        for node in nodes
        if node.tensor in actual and node.tensor in wanted
    )


def compare_file(
    model: onnx.ModelProto,
    nodes: Sequence[LayerNode],
    found: Mapping[str, Sketch],
    network: Sequence[Counterpart],
    *,
    outputs_agree: bool,
    originals: Mapping[str, str | None],
    floor: float,
    loose: bool,
) -> tuple[tuple[LayerParity, ...], dict[str, str]]:
    """Compare a file's inner tensors with the network's; also return which are not comparable, and why.

    A tensor's counterpart is the network's tensor that is nearest to it in value, whatever their names. What has none
    is a step that the network does not have; if what follows is right again, it is not wrong. If the outputs are wrong,
    a tensor must be that of the module which the node is named after, unless another node computes that one.
    """
    measure = partial(deviation, floor=floor, loose=loose)
    by_form: dict[tuple[int, int, int], list[int]] = {}
    named: dict[str, list[int]] = {}
    for number, each in enumerate(network):
        by_form.setdefault(each.expected.exact.form, []).append(number)
        named.setdefault(each.name, []).append(number)
    nodes = [node for node in nodes if node.tensor in found]
    alike = {node.name: by_form.get(found[node.tensor].form, []) for node in nodes}
    nearest = {node.name: _nearest(found[node.tensor], network, alike[node.name]) for node in nodes}
    deviations = {
        name: measure(found[node.tensor], network[best].expected)
        for node in nodes
        if (best := nearest[name := node.name]) is not None
    }
    good = {node.tensor for node in nodes if node.name in deviations and deviations[node.name].small}
    computed = [(node.name, nearest[node.name]) for node in nodes if node.tensor in good]
    followed = _followed_by(model, good)
    rows: list[LayerParity] = []
    anonymous: list[LayerParity] = []
    left_out: dict[str, str] = {}
    for node in nodes:
        own, measured = found[node.tensor], deviations.get(node.name)
        namesakes = named.get(node.name) or named.get(node.tensor) or named.get(_base(node.name), [])
        if measured is not None and measured.small:
            best = nearest[node.name]
            assert best is not None
            elsewhere = {number for name, number in computed if name != node.name}
            renamed = elsewhere.issuperset(namesakes)
            if not outputs_agree and namesakes and not renamed and not _plausible(node, best, namesakes, network):
                other = _nearest(own, network, [number for number in namesakes if number != best] or namesakes)
                assert other is not None
                measured = measure(own, network[_normalized(other, network)].expected)
        elif node.tensor in followed and nearest[node.name] in {number for _, number in computed}:
            left_out[node.name] = "it is a step of a tensor that follows, and that is right"
            continue
        elif measured is None or measured.channels > max(FEW_CHANNELS, 1 / own.form[1]) or node.op not in LINEAR:
            if outputs_agree or node.tensor in followed:
                left_out[node.name] = "the network computes no such tensor by itself, and what follows is right"
                continue
            folded = [_normalized(number, network) for number in namesakes]
            namesake = _nearest(own, network, [*namesakes, *folded])
            if namesake is not None:
                measured = measure(own, network[namesake].expected)
            else:
                left_out[node.name] = "the network computes no such tensor by that name"
                if measured is not None and measured.error < ALIKE:
                    anonymous.append(_row(node, measured, own, originals))
                continue
        rows.append(_row(node, measured, own, originals))
    if all(row.passed for row in rows):
        # The names say nothing: what resembles a tensor of the network is that tensor with an error.
        left_out = {name: why for name, why in left_out.items() if name not in {row.name for row in anonymous}}
        order = {node.name: number for number, node in enumerate(nodes)}
        rows = sorted([*rows, *anonymous], key=lambda row: order[row.name])
    return tuple(rows), left_out


def _plausible(node: LayerNode, best: int, namesakes: Sequence[int], network: Sequence[Counterpart]) -> bool:
    """Whether a node computes its module, the module with its BatchNorm, or these with an activation."""
    if best in namesakes:
        # A convolution whose BatchNorm is not in the file at all.
        return node.normalized or _normalized(best, network) == best
    return any(best - number in (1, 2) for number in namesakes) and node.op in LINEAR


def _normalized(number: int, network: Sequence[Counterpart]) -> int:
    """The BatchNorm that follows a tensor of the network, or the tensor itself."""
    following = number + 1
    return following if following < len(network) and "batch_norm" in network[following].op else number


def first_fault(layers: Sequence[LayerParity]) -> LayerParity | None:
    """The first layer above the noise floor: later ones inherit its error."""
    return next((layer for layer in layers if not layer.passed), None)


def _nearest(own: Sketch, network: Sequence[Counterpart], numbers: Sequence[int]) -> int | None:
    """By the first samples: tensors that agree there are compared in full."""

    def distance(number: int) -> float:
        if own.form != network[number].expected.exact.form:
            return float("inf")
        with np.errstate(invalid="ignore", over="ignore"):
            value = float(np.square(own.values[:2] - network[number].expected.exact.values[:2]).sum())
        return value if np.isfinite(value) else float("inf")

    return min(numbers, key=distance, default=None)


def _followed_by(model: onnx.ModelProto, good: set[str]) -> set[str]:
    """The tensors from which a good one is computed."""
    followed: set[str] = set()
    for node in reversed(model.graph.node):
        if any(name in good or name in followed for name in node.output):
            followed.update(filter(None, node.input))
    return followed


def _base(name: str) -> str:
    """`layer1.0.relu_2` is the third call of `layer1.0.relu`."""
    return re.sub(r"_\d+$", "", name)


def _row(node: LayerNode, measured: Deviation, own: Sketch, originals: Mapping[str, str | None]) -> LayerParity:
    return LayerParity(
        name=node.name,
        op=node.op,
        original=originals.get(node.name),
        shape=own.shape,
        error=measured.error,
        noise=measured.noise,
        multiple=measured.multiple,
        passed=measured.small,
        moves=own.moves,
    )
