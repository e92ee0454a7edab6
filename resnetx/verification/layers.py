"""Finds the first wrong layer: compares the inner tensors of a file with the reference, in network order."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from resnetx.base.precisions import EPSILON
from resnetx.graph.layers import LayerNode
from resnetx.verification.metrics import rms
from resnetx.verification.parity import FLOOR_ROUNDINGS, MAX_MULTIPLE, relative_errors
from resnetx.verification.reference_outputs import LayerAnswers


@dataclass(frozen=True, kw_only=True)
class LayerParity:
    """A layer's worst sample, as a relative error and in multiples of PyTorch's own error at this layer."""

    name: str
    op: str
    original: str | None
    shape: tuple[int, ...]
    error: float
    noise: float
    multiple: float
    passed: bool


def compare_layers(
    nodes: Sequence[LayerNode],
    actual: Mapping[str, np.ndarray],
    reference: LayerAnswers,
    *,
    originals: Mapping[str, str | None],
    precision: str = "fp32",
) -> tuple[LayerParity, ...]:
    """Compare every node whose tensor both sides have. `actual` are the tensors by node name."""
    rows = []
    for node in nodes:
        if node.name not in actual or not np.issubdtype(actual[node.name].dtype, np.floating):
            continue
        folded = {} if node.normalized else reference.folded
        truth, noisy = (_find(node.name, side, folded) for side in (reference.truth, reference.noisy))
        if truth is None or noisy is None:
            continue
        rows.append(
            _judge(
                node.name,
                node.op,
                actual[node.name],
                truth,
                noisy,
                originals.get(node.name),
                precision if precision in EPSILON else "fp32",
            )
        )
    return tuple(rows)


def first_fault(layers: Sequence[LayerParity]) -> LayerParity | None:
    """The first layer above the noise floor: later ones inherit its error."""
    return next((layer for layer in layers if not layer.passed), None)


def _find(name: str, answers: Mapping[str, Sequence[np.ndarray]], folded: Mapping[str, str]) -> np.ndarray | None:
    """`layer1.0.relu_2` is the third call of `layer1.0.relu`, unless a module has that name."""
    if name in answers:
        return answers[folded.get(name, name)][0]
    match = re.fullmatch(r"(.+)_(\d+)", name)
    calls = answers.get(match.group(1), ()) if match else ()
    index = int(match.group(2)) if match else 0
    return calls[index] if index < len(calls) else None


def _judge(
    name: str,
    op: str,
    actual: np.ndarray,
    truth: np.ndarray,
    noisy: np.ndarray,
    original: str | None,
    precision: str,
) -> LayerParity:
    if actual.size == truth.size:
        # A pooled map is (N, C, 1, 1) on one side and may be (N, C) on the other.
        actual = actual.reshape(truth.shape)
    floor = FLOOR_ROUNDINGS * EPSILON[precision]
    noise = max(rms(relative_errors(noisy, truth)), floor)
    same = actual.shape == truth.shape and bool(np.isfinite(actual).all())
    error = float(relative_errors(actual, truth).max()) if same else float("inf")
    return LayerParity(
        name=name,
        op=op,
        original=original,
        shape=actual.shape,
        error=error,
        noise=noise,
        multiple=error / noise,
        passed=error <= MAX_MULTIPLE * noise,
    )
