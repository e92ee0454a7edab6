"""Convolutions and pooling against ONNX Runtime: shapes, strides, dilations, pads, groups, `ceil_mode`."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.verification.evaluation.one_node import assert_same, floats

MODES = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


@st.composite
def windows(draw: st.DrawFn, *, dilated: bool = True) -> dict[str, Any]:
    rank = draw(st.integers(1, 3))
    several = lambda low, high: draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank))  # noqa: E731
    found: dict[str, Any] = {
        "sizes": several(4, 9 if rank < 3 else 6),
        "kernel": several(1, 4),
        "strides": several(1, 3),
        "dilations": several(1, 2) if dilated else [1] * rank,
        "auto_pad": draw(st.sampled_from(MODES)),
    }
    spans = [(kernel - 1) * dilation + 1 for kernel, dilation in zip(found["kernel"], found["dilations"], strict=True)]
    assume(all(span <= size for span, size in zip(spans, found["sizes"], strict=True)))
    if found["auto_pad"] in MODES[1:3]:  # ONNX Runtime refuses gaps between windows with these
        assume(all(kernel >= stride for kernel, stride in zip(found["kernel"], found["strides"], strict=True)))
    # Runtimes refuse pads as large as the kernel.
    found["pads"] = [
        min(pad, kernel - 1) for pad, kernel in zip(several(0, 2) + several(0, 2), found["kernel"] * 2, strict=True)
    ]
    return found


def attributes(window: dict[str, Any]) -> dict[str, Any]:
    named = {name: window[name] for name in ("strides", "dilations")}
    if window["auto_pad"] == "NOTSET":
        return {**named, "pads": window["pads"]}
    return {**named, "auto_pad": window["auto_pad"]}


@settings(max_examples=60, deadline=None)
@given(
    windows(),
    st.sampled_from([(1, 3, 4), (2, 4, 6), (4, 4, 4), (3, 3, 6)]),
    st.booleans(),
    st.sampled_from([7, 11, 22]),
)
def test_conv(window: dict[str, Any], channels: tuple[int, int, int], bias: bool, opset: int) -> None:
    group, incoming, outgoing = channels
    if window["auto_pad"] in MODES[1:3]:
        window["dilations"] = [1] * len(window["kernel"])  # ONNX Runtime refuses both together
    x = floats([2, incoming, *window["sizes"]])
    weight = floats([outgoing, incoming // group, *window["kernel"]], 1)
    inputs = [x, weight, floats([outgoing], 2)] if bias else [x, weight]
    assert_same("Conv", inputs, opset=opset, group=group, **attributes(window))


@settings(max_examples=60, deadline=None)
@given(
    windows(),
    st.sampled_from([(1, 3, 4), (2, 4, 3)]),
    st.booleans(),
    st.lists(st.integers(0, 1), min_size=3, max_size=3),
)
def test_conv_transpose(window: dict[str, Any], channels: tuple[int, int, int], bias: bool, extra: list[int]) -> None:
    group, incoming, outgoing = channels
    rank = len(window["kernel"])
    named = attributes(window)
    named["output_padding"] = [
        min(each, stride - 1) for each, stride in zip(extra[:rank], window["strides"], strict=True)
    ]
    x = floats([2, incoming, *window["sizes"]])
    weight = floats([incoming, outgoing, *window["kernel"]], 1)
    inputs = [x, weight, floats([outgoing * group], 2)] if bias else [x, weight]
    assert_same("ConvTranspose", inputs, opset=11, group=group, **named)


@pytest.mark.parametrize("sizes", [(10, 9), (9, 10), (11, 11)])
def test_conv_transpose_to_a_given_size(sizes: tuple[int, int]) -> None:
    inputs = [floats([1, 2, 5, 5]), floats([2, 3, 3, 3], 1), floats([3], 2)]
    for rest in ({}, {"auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER"}):
        assert_same("ConvTranspose", inputs, strides=[2, 2], output_shape=sizes, **rest)


@settings(max_examples=80, deadline=None)
@given(windows(), st.booleans(), st.booleans(), st.booleans(), st.sampled_from(["float32", "int8", "uint8"]))
def test_max_pool(window: dict[str, Any], ceil: bool, indices: bool, columns: bool, dtype: str) -> None:
    if window["auto_pad"] in MODES[1:3]:
        window["dilations"] = [1] * len(window["kernel"])
    x = (floats([2, 3, *window["sizes"]]) * (40 if dtype != "float32" else 1)).astype(dtype)
    rest: dict[str, Any] = {"storage_order": 1} if indices and columns else {}
    assume(dtype == "float32" or not indices)  # equal numbers may be told apart by either index
    assert_same(
        "MaxPool",
        [x],
        outputs=2 if indices else 1,
        opset=12,
        kernel_shape=window["kernel"],
        ceil_mode=int(ceil),
        **rest,
        **attributes(window),
    )


@settings(max_examples=80, deadline=None)
@given(windows(), st.booleans(), st.booleans(), st.sampled_from([7, 11, 19]))
def test_average_pool(window: dict[str, Any], ceil: bool, include: bool, opset: int) -> None:
    named = attributes(window)
    if opset < 19:
        named.pop("dilations")
    elif window["auto_pad"] in MODES[1:3]:
        named["dilations"] = [1] * len(window["kernel"])
    if opset >= 10:
        named["ceil_mode"] = int(ceil)
    x = floats([2, 3, *window["sizes"]])
    assert_same("AveragePool", [x], opset=opset, kernel_shape=window["kernel"], count_include_pad=int(include), **named)


@settings(max_examples=30, deadline=None)
@given(windows(dilated=False), st.integers(1, 3))
def test_lp_pool(window: dict[str, Any], p: int) -> None:
    named = attributes(window)
    named.pop("dilations")
    assert_same("LpPool", [floats([2, 3, *window["sizes"]])], opset=11, kernel_shape=window["kernel"], p=p, **named)


@pytest.mark.parametrize("operator", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
@pytest.mark.parametrize("sizes", [(5,), (4, 6), (3, 4, 5)])
def test_global_pool(operator: str, sizes: tuple[int, ...]) -> None:
    assert_same(operator, [floats([2, 3, *sizes])])


@settings(max_examples=40, deadline=None)
@given(
    st.booleans(),
    st.booleans(),
    st.sampled_from([1.0, 0.5, -2.0]),
    st.sampled_from([1.0, 0.25]),
    st.sampled_from([None, (), (1,), (5,), (1, 5), (3, 1), (3, 5)]),
    st.sampled_from([7, 9, 11, 13]),
)
def test_gemm(left: bool, right: bool, alpha: float, beta: float, shape: tuple[int, ...] | None, opset: int) -> None:
    inputs = [floats((4, 3) if left else (3, 4)), floats((5, 4) if right else (4, 5), 1)]
    if shape is None and opset < 11:
        shape = (5,)
    if shape is not None:
        inputs.append(floats(shape, 2))
    assert_same("Gemm", inputs, opset=opset, transA=int(left), transB=int(right), alpha=alpha, beta=beta)


@pytest.mark.parametrize(
    ("left", "right"),
    [((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (6, 4, 5)), ((4,), (2, 4, 5))],
)
def test_matmul(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    assert_same("MatMul", [floats(left), floats(right, 1)])


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(3, 4), (4, 5)]),
        ("...ij,...jk->...ik", [(2, 3, 4), (2, 4, 5)]),
        ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
        ("ii->i", [(4, 4)]),
        ("ij->", [(3, 4)]),
        ("bij, bjk", [(2, 3, 4), (2, 4, 5)]),
        ("ab,bc,cd->ad", [(2, 3), (3, 4), (4, 5)]),
    ],
)
def test_einsum(equation: str, shapes: list[tuple[int, ...]]) -> None:
    assert_same("Einsum", [floats(shape, index) for index, shape in enumerate(shapes)], equation=equation)


def test_a_depthwise_convolution_over_many_channels() -> None:
    inputs = [floats([2, 96, 14, 13]), floats([96, 1, 3, 5], 1), floats([96], 2)]
    assert_same("Conv", inputs, group=96, pads=[1, 2, 1, 2], strides=[2, 1])
