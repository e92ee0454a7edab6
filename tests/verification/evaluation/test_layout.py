"""Operators that arrange, pick and resize, against ONNX Runtime."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.verification.evaluation.one_node import assert_same, floats


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes"),
    [
        ("Shape", [floats((2, 3, 4))], {}),
        ("Shape", [floats((2, 3, 4))], {"start": 1, "end": -1}),
        ("Size", [floats((2, 3, 4))], {}),
        ("Reshape", [floats((2, 3, 4)), integers(0, -1)], {}),
        ("Reshape", [floats((2, 3, 4)), integers(4, 0, 2)], {}),
        ("Reshape", [floats((0, 3)), integers(3, 0)], {"allowzero": 1}),
        ("Flatten", [floats((2, 3, 4))], {"axis": 2}),
        ("Flatten", [floats((2, 3, 4))], {"axis": 0}),
        ("Flatten", [floats((2, 3, 4))], {"axis": -1}),
        ("Squeeze", [floats((1, 3, 1))], {}),
        ("Squeeze", [floats((1, 3, 1)), integers(-1)], {}),
        ("Unsqueeze", [floats((3, 4)), integers(0, -1)], {}),
        ("Unsqueeze", [floats((3, 4)), integers(3, 1)], {}),
        ("Transpose", [floats((2, 3, 4))], {}),
        ("Transpose", [floats((2, 3, 4))], {"perm": [1, 2, 0]}),
        ("Concat", [floats((2, 3)), floats((2, 4), 1)], {"axis": -1}),
        ("Expand", [floats((3, 1)), integers(2, 1, 4)], {}),
        ("Tile", [floats((2, 3)), integers(2, 3)], {}),
        ("DepthToSpace", [floats((2, 12, 3, 4))], {"blocksize": 2}),
        ("DepthToSpace", [floats((2, 12, 3, 4))], {"blocksize": 2, "mode": "CRD"}),
        ("SpaceToDepth", [floats((2, 3, 4, 6))], {"blocksize": 2}),
        ("ConstantOfShape", [integers(2, 3)], {}),
        ("EyeLike", [floats((3, 4))], {"k": 1}),
        ("Range", [np.array(2), np.array(11), np.array(3)], {}),
        ("Range", [np.float32(1), np.float32(-2), np.float32(-0.5)], {}),
        ("Trilu", [floats((3, 4)), np.array(1)], {"upper": 0}),
        ("Trilu", [floats((2, 3, 4))], {}),
        ("Gather", [floats((3, 4, 5)), np.array([[0, -1], [2, 1]])], {"axis": 1}),
        ("Gather", [floats((3, 4)), np.array(-1)], {}),
        ("GatherElements", [floats((3, 4)), np.array([[0, -1], [2, 1]])], {"axis": 1}),
        ("GatherND", [floats((3, 4, 5)), np.array([[0, -1], [2, 1]])], {}),
        ("GatherND", [floats((2, 4, 5)), np.array([[1], [-1]])], {"batch_dims": 1}),
        ("ScatterElements", [floats((3, 4)), np.array([[0, 2, -1]]), floats((1, 3), 1)], {"axis": 1}),
        (
            "ScatterElements",
            [floats((3, 4)), np.array([[0, 2, 2]]), floats((1, 3), 1)],
            {"axis": 1, "reduction": "add"},
        ),
        (
            "ScatterElements",
            [floats((3, 4)), np.array([[0, 2, 2]]), floats((1, 3), 1)],
            {"axis": 1, "reduction": "max"},
        ),
        ("ScatterND", [floats((4, 3)), np.array([[1], [-1]]), floats((2, 3), 1)], {}),
        ("ScatterND", [floats((4, 3)), np.array([[1], [1]]), floats((2, 3), 1)], {"reduction": "mul"}),
        ("OneHot", [integers(1, -1, 3), np.array(4), np.array([2.0, 5.0], np.float32)], {}),
        ("OneHot", [integers(1, -1, 9), np.array(4), np.array([2.0, 5.0], np.float32)], {"axis": 0}),
        ("NonZero", [np.array([[1.0, 0.0], [0.0, 3.0]], np.float32)], {}),
        ("Compress", [floats((3, 4)), np.array([True, False, True])], {"axis": 0}),
        ("Compress", [floats((3, 4)), np.array([False, True, True])], {}),
        ("ReverseSequence", [floats((4, 3)), integers(1, 4, 2)], {}),
        ("Dropout", [floats((3, 4))], {}),
    ],
)
def test_arrangements(operator: str, inputs: list[np.ndarray], attributes: dict[str, Any]) -> None:
    assert_same(
        operator,
        [np.asarray(each) for each in inputs],
        opset=18,
        tolerance=0 if operator != "ScatterND" else 1e-6,
        **attributes,
    )


def test_axes_and_parts_as_attributes() -> None:
    x = floats((1, 3, 1, 6))
    assert_same("Squeeze", [x], opset=11, axes=[0, -2])
    assert_same("Unsqueeze", [x], opset=11, axes=[0, 3])
    assert_same("Slice", [x], opset=9, starts=[1, -4], ends=[9, -1], axes=[1, 3])
    assert_same("Pad", [x], opset=10, pads=[0, 1, 0, 2, 0, 0, 1, 1], value=0.5)
    assert_same("Split", [x], opset=11, outputs=2, axis=3, split=[2, 4])
    assert_same("Split", [x], opset=11, outputs=2, axis=3)
    assert_same("Split", [x, integers(1, 5)], opset=13, outputs=2, axis=3)
    assert_same("Split", [floats((1, 7))], opset=18, outputs=3, axis=-1, num_outputs=3)
    assert_same("TopK", [x], opset=9, outputs=2, axis=3, k=2)
    assert_same("Upsample", [x], opset=7, scales=[1.0, 1.0, 2.0, 3.0])
    assert_same("Upsample", [x, np.array([1, 1, 2, 2], np.float32)], opset=9, mode="linear")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(-9, 9), min_size=2, max_size=2),
    st.lists(st.integers(-9, 9), min_size=2, max_size=2),
    st.lists(st.sampled_from([-3, -2, -1, 1, 2, 3]), min_size=2, max_size=2),
)
def test_slices(starts: list[int], ends: list[int], steps: list[int]) -> None:
    x = floats((5, 3, 6))
    assert_same("Slice", [x, integers(*starts), integers(*ends), integers(0, -1), integers(*steps)], tolerance=0)


@pytest.mark.parametrize("step", [-1, 1])
def test_slices_to_the_ends_of_the_numbers(step: int) -> None:
    end = np.iinfo(np.int64).max if step > 0 else np.iinfo(np.int64).min
    assert_same("Slice", [floats((5, 4)), integers(-2), integers(end), integers(1), integers(step)])


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["constant", "edge", "reflect", "wrap"]),
    st.lists(st.integers(-1, 3), min_size=4, max_size=4),
    st.booleans(),
)
def test_pads(mode: str, pads: list[int], some_axes: bool) -> None:
    if mode != "constant":
        pads = [abs(pad) for pad in pads]  # what is cropped before it is repeated is defined nowhere
    value = np.array(0.75, np.float32) if mode == "constant" else None
    x = floats((2, 4, 5))
    inputs: list[np.ndarray | None] = [x, integers(*pads), value, integers(-1, 1)]
    if not some_axes:
        inputs = [x, integers(0, *pads[:2], 0, *pads[2:]), value]
    assert_same("Pad", inputs, opset=19, mode=mode)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 5), st.booleans(), st.sampled_from([0, 1, -1]))
def test_top_k(count: int, largest: bool, axis: int) -> None:
    x = np.round(floats((5, 6, 7)))
    assert_same("TopK", [x, integers(count)], outputs=2, axis=axis, largest=int(largest), opset=11)


COORDINATES = (
    "half_pixel",
    "pytorch_half_pixel",
    "asymmetric",
    "align_corners",
    "half_pixel_symmetric",
    "tf_half_pixel_for_nn",
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["nearest", "linear", "cubic"]),
    st.sampled_from(COORDINATES),
    st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
    st.tuples(st.integers(3, 9), st.integers(3, 9)),
    st.tuples(st.integers(1, 15), st.integers(1, 15)),
    st.booleans(),
    st.booleans(),
)
def test_resize_to_sizes(
    mode: str,
    coordinates: str,
    nearest: str,
    sizes: tuple[int, int],
    wanted: tuple[int, int],
    antialias: bool,
    exclude: bool,
) -> None:
    named: dict[str, Any] = {"coordinate_transformation_mode": coordinates, "mode": mode}
    assume(mode != "nearest" or coordinates != "tf_half_pixel_for_nn")
    if mode == "nearest":
        named["nearest_mode"] = nearest
        # In float32 a place between two elements falls to either side.
        assume(all(want % size == 0 for size, want in zip(sizes, wanted, strict=True)))
    elif antialias:
        assume(coordinates not in ("align_corners", "tf_half_pixel_for_nn"))
        named["antialias"] = 1
    if mode == "cubic":
        named |= {"cubic_coeff_a": -0.5, "exclude_outside": int(exclude)}
    inputs = [floats((2, 3, *sizes)), None, None, integers(2, 3, *wanted)]
    assert_same("Resize", inputs, opset=19, tolerance=1e-5, **named)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", [(1.0, 1.0, 2.0, 2.0), (1.0, 1.0, 0.5, 1.5), (1.0, 1.0, 1.3, 0.7)])
@pytest.mark.parametrize("opset", [10, 11, 13, 18])
def test_resize_by_scales(mode: str, scales: tuple[float, ...], opset: int) -> None:
    factors = np.array(scales, np.float32)
    inputs = [floats((2, 3, 6, 8)), factors] if opset == 10 else [floats((2, 3, 6, 8)), floats((0,)), factors]
    assert_same("Resize", inputs, opset=opset, mode=mode, tolerance=1e-5)


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_resize_some_axes_in_proportion(policy: str) -> None:
    inputs = [floats((1, 2, 6, 8)), None, None, integers(9, 10)]
    assert_same("Resize", inputs, opset=18, mode="linear", axes=[2, 3], keep_aspect_ratio_policy=policy, tolerance=1e-5)


def test_resize_of_a_region() -> None:
    region = np.array([0, 0, 0.1, 0.2, 1, 1, 0.8, 1.2], np.float32)
    inputs = [floats((1, 2, 6, 8)), region, None, integers(1, 2, 5, 7)]
    named = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 3.0, "mode": "linear"}
    assert_same("Resize", inputs, opset=13, tolerance=1e-5, **named)
