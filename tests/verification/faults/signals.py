"""Faults that only certain inputs show: textures, loud ones, faint ones, zeros."""

from typing import Any

import numpy as np

from tests.verification.faults.base import Fault, fault
from tests.verification.faults.graph_edits import Edit, after, ahead, weights

BEND = np.array([1.0, -2.0, 1.0])


def textured(size: float, *, filters: slice = slice(None), colours: slice = slice(None)) -> Edit:
    """Add what answers to a checkerboard and to no slope: the second difference in both directions."""

    def change(kernel: np.ndarray) -> np.ndarray:
        pattern = np.zeros(kernel.shape[2:], kernel.dtype)
        pattern[2:5, 2:5] = np.outer(BEND, BEND) * size
        kernel[filters, colours] += pattern
        return kernel

    return weights(change, "conv1")


def clipped(layer: str, **limits: float) -> Edit:
    names = ", ".join(name if name in limits else "" for name in ("low", "high")).rstrip(", ")
    body = f"y = Clip(x, {names})"
    return ahead(layer, body, **limits) if layer == "conv1" else after(layer, body, **limits)


def on_input(body: str, **constants: Any) -> Edit:
    return ahead("conv1", body, **constants)


TEXTURES: tuple[Fault, ...] = (
    fault("checkerboards leak into conv1", "conv1", textured(3e-6), needs="textures"),
    fault("checkerboards leak into conv1, a little less", "conv1", textured(1.5e-6), needs="textures"),
    fault(
        "checkerboards leak into half of conv1's filters",
        "conv1",
        textured(3e-6, filters=slice(0, 4)),
        needs="textures",
    ),
    fault("checkerboards in red leak into conv1", "conv1", textured(5e-6, colours=slice(0, 1)), needs="textures"),
    fault(
        "steps between pixels of more than 2.5 cut",
        "conv1",
        on_input(
            """
            right = Slice(x, one, end, axes)
            left = Slice(x, zero, minus_one, axes)
            step = Sub(right, left)
            cut = Clip(step, low, high)
            rest = Sub(step, cut)
            whole = Pad(rest, pads)
            y = Sub(x, whole)
            """,
            one=np.array([1]),
            end=np.array([2**31]),
            zero=np.array([0]),
            minus_one=np.array([-1]),
            axes=np.array([3]),
            low=-2.5,
            high=2.5,
            pads=np.array([0, 0, 0, 1, 0, 0, 0, 0]),
        ),
        needs="extreme images",
    ),
)
LOUD: tuple[Fault, ...] = (
    fault("clipped at 50 on the input", "conv1", clipped("conv1", high=50.0), needs="very large magnitudes"),
    fault(
        "clipped at 64 on both sides of the input",
        "conv1",
        clipped("conv1", low=-64.0, high=64.0),
        needs="very large magnitudes",
    ),
    fault("input below -2.5 lost", "conv1", clipped("conv1", low=-2.5), needs="large magnitudes"),
    fault("input below -40 lost", "conv1", clipped("conv1", low=-40.0), needs="very large magnitudes"),
    fault(
        "clipped at 200 in layer1.0.relu_2",
        "layer1.0.relu_2",
        clipped("layer1.0.relu_2", high=200.0),
        needs="very large magnitudes",
    ),
    fault(
        "clipped at 200 in layer2.0.relu_1",
        "layer2.0.relu_1",
        clipped("layer2.0.relu_1", high=200.0),
        needs="very large magnitudes",
    ),
    fault(
        "clipped at 200 in layer3.1.relu_2",
        "layer3.1.relu_2",
        clipped("layer3.1.relu_2", high=200.0),
        needs="very large magnitudes",
    ),
    fault(
        "clipped at 100 in layer3.0.relu",
        "layer3.0.relu",
        clipped("layer3.0.relu", high=100.0),
        needs="large magnitudes",
    ),
    fault(
        "clipped at 60 on both sides of the logits",
        "fc",
        clipped("fc", low=-60.0, high=60.0),
        needs="very large magnitudes",
    ),
    fault("logits above 40 lost", "fc", clipped("fc", high=40.0), needs="very large magnitudes"),
    fault(
        "input wrapped at 128, as signed bytes are",
        "conv1",
        on_input(
            "a = Abs(x) far = Greater(a, half) s = Sign(x) b = Mul(s, whole) c = Sub(x, b) y = Where(far, c, x)",
            half=128.0,
            whole=256.0,
        ),
        needs="very large magnitudes",
    ),
    fault(
        "loud images made softer",
        "conv1",
        on_input(
            "a = Abs(x) peak = ReduceMax(a, axes) loud = Greater(peak, edge) b = Mul(x, factor) y = Where(loud, b, x)",
            axes=np.array([1, 2, 3]),
            edge=50.0,
            factor=0.99,
        ),
        needs="very large magnitudes",
    ),
    fault(
        "far negative sums not cut off in layer2.0.relu",
        "layer2.0.relu",
        after("layer2.0.relu", "a = Sub(floor, x) b = Relu(a) c = Mul(b, share) y = Sub(x, c)", floor=-1.0, share=0.01),
        needs="structure",
    ),
)
FAINT: tuple[Fault, ...] = (
    fault(
        "input values below 1e-4 flushed",
        "conv1",
        on_input("a = Abs(x) kept = Greater(a, edge) m = Cast<to=1>(kept) y = Mul(x, m)", edge=1e-4),
        needs="faint images",
    ),
    fault(
        "input values below 1e-3 flushed",
        "conv1",
        on_input("a = Abs(x) kept = Greater(a, edge) m = Cast<to=1>(kept) y = Mul(x, m)", edge=1e-3),
        needs="faint images",
    ),
    fault(
        "input values below 1e-6 flushed",
        "conv1",
        on_input("a = Abs(x) kept = Greater(a, edge) m = Cast<to=1>(kept) y = Mul(x, m)", edge=1e-6),
        needs="structure",
    ),
    fault(
        "faint images amplified",
        "conv1",
        on_input(
            "a = Abs(x) peak = ReduceMax(a, axes) faint = Less(peak, edge) b = Mul(x, factor) y = Where(faint, b, x)",
            axes=np.array([1, 2, 3]),
            edge=0.1,
            factor=2.0,
        ),
        needs="faint images",
    ),
)
ZEROS: tuple[Fault, ...] = (
    fault(
        "0/0 for black floats: scaled by the peak and back",
        "conv1",
        on_input("a = Abs(x) peak = ReduceMax(a, axes) b = Div(x, peak) y = Mul(b, peak)", axes=np.array([1, 2, 3])),
        needs="zeros",
    ),
    fault(
        "0/0 for black floats: by the sum of squares and back",
        "conv1",
        on_input("a = ReduceSumSquare(x, axes) b = Div(a, a) y = Mul(b, x)", axes=np.array([1, 2, 3])),
        needs="zeros",
    ),
    fault(
        "infinity less infinity for black floats: by logarithms",
        "conv1",
        on_input(
            "a = Abs(x) peak = ReduceMax(a, axes) b = Log(peak) c = Sub(b, b) d = Exp(c) y = Mul(x, d)",
            axes=np.array([1, 2, 3]),
        ),
        needs="zeros",
    ),
    fault(
        "0/0 for one colour: by the contrast and back",
        "conv1",
        on_input(
            "top = ReduceMax(x, axes) low = ReduceMin(x, axes) d = Sub(top, low) e = Div(d, d) y = Mul(x, e)",
            axes=np.array([2, 3]),
        ),
        needs="extreme images",
    ),
    fault(
        "all zeros taken for no input: ones instead",
        "conv1",
        on_input(
            "a = Abs(x) peak = ReduceMax(a, axes) none = Equal(peak, zero) y = Where(none, one, x)",
            axes=np.array([1, 2, 3]),
            zero=0.0,
            one=1.0,
        ),
        needs="zeros",
    ),
)
SIGNALS = (*TEXTURES, *LOUD, *FAINT, *ZEROS)
