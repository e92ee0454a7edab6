"""Multiply-accumulates, compared with counting them one by one."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import NodeProto, helper

from resnetx.graph.inspection.macs import CONTRIB, Shape, multiply_accumulates, rule_of


def counted(op: str, inputs: Sequence[Shape | None], output: Shape | None, *, domain: str = "", **attributes: object):
    names = [f"i{index}" for index in range(len(inputs))]
    return multiply_accumulates(helper.make_node(op, names, ["y"], domain=domain, **attributes), inputs, output)


def convolved(image: np.ndarray, filters: np.ndarray, *, stride: int, groups: int) -> tuple[np.ndarray, int]:
    """A convolution as its definition has it, and the products that it took."""
    batch, channels, height, width = image.shape
    outputs, slice_channels, rows, columns = filters.shape
    shape = (batch, outputs, (height - rows) // stride + 1, (width - columns) // stride + 1)
    result, products = np.zeros(shape), 0
    for n, o, y, x in itertools.product(*map(range, shape)):
        first = o // (outputs // groups) * (channels // groups)
        for c, r, q in itertools.product(range(slice_channels), range(rows), range(columns)):
            result[n, o, y, x] += image[n, first + c, y * stride + r, x * stride + q] * filters[o, c, r, q]
            products += 1
    return result, products


@given(
    batch=st.integers(1, 2),
    groups=st.integers(1, 3),
    per_group=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    extra=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    stride=st.integers(1, 2),
)
def test_a_convolution_counts_every_product(
    batch: int,
    groups: int,
    per_group: tuple[int, int],
    kernel: tuple[int, int],
    extra: tuple[int, int],
    stride: int,
) -> None:
    image = np.ones((batch, groups * per_group[0], kernel[0] + extra[0], kernel[1] + extra[1]))
    filters = np.ones((groups * per_group[1], per_group[0], *kernel))
    result, products = convolved(image, filters, stride=stride, groups=groups)
    assert counted("Conv", [image.shape, filters.shape], result.shape, group=groups) == products
    # The gradient of a convolution is the transposed one, and takes the same products the other way round.
    assert counted("ConvTranspose", [result.shape, filters.shape], image.shape, group=groups) == products


@given(lead=st.lists(st.integers(1, 3), max_size=2), m=st.integers(1, 4), k=st.integers(1, 4), n=st.integers(1, 4))
def test_a_matrix_product_counts_every_product(lead: list[int], m: int, k: int, n: int) -> None:
    products = len(list(itertools.product(*map(range, lead), range(m), range(k), range(n))))
    first, second, result = (*lead, m, k), (*lead, k, n), (*lead, m, n)
    assert counted("MatMul", [first, second], result) == products
    assert counted("MatMul", [first, (k, n)], result) == products
    assert counted("MatMulInteger", [first, second], result) == products
    assert counted("QLinearMatMul", [first, (), (), second, (), (), (), ()], result) == products
    assert counted("FusedMatMul", [(*lead, k, m), second], result, domain=CONTRIB, transA=1) == products
    assert counted("FusedMatMul", [first, (*lead, n, k)], result, domain=CONTRIB, transB=1) == products
    assert counted("MatMulNBits", [first, (n, 1, 16)], result, domain=CONTRIB, K=k, N=n) == products


@pytest.mark.parametrize("transpose_a", [0, 1])
@pytest.mark.parametrize("transpose_b", [0, 1])
def test_gemm_counts_its_transposed_forms(transpose_a: int, transpose_b: int) -> None:
    first, second = (5, 7)[:: -1 if transpose_a else 1], (7, 11)[:: -1 if transpose_b else 1]
    attributes = {"transA": transpose_a, "transB": transpose_b}
    assert counted("Gemm", [first, second], (5, 11), **attributes) == 5 * 7 * 11
    assert counted("FusedGemm", [first, second], (5, 11), domain=CONTRIB, **attributes) == 5 * 7 * 11
    inputs = [first, (), (), second, (), ()]
    assert counted("QGemm", inputs, (5, 11), domain=CONTRIB, **attributes) == 5 * 7 * 11


def test_vectors_and_einsum() -> None:
    assert counted("MatMul", [(6,), (6,)], ()) == 6
    assert counted("MatMul", [(2, 6), (6,)], (2,)) == 12
    assert counted("Einsum", [(2, 3, 4), (2, 4, 5)], (2, 3, 5), equation="bij, bjk -> bik") == 2 * 3 * 4 * 5
    assert counted("Einsum", [(3, 3)], (3,), equation="ii->i") == 0
    assert counted("Einsum", [(3, 3), (3, 3)], (3, 3), equation="...ij,...jk->...ik") is None
    assert counted("Einsum", [(3, 3), (3, 3)], (3, 3), equation="ijk,kl->il") is None


def test_quantized_convolutions_take_their_weight_from_its_place() -> None:
    quantized = [(1, 3, 8, 8), (), (), (4, 3, 3, 3), (4,), (4,), (), (), (4,)]
    assert counted("QLinearConv", quantized, (1, 4, 6, 6)) == 4 * 6 * 6 * 27
    assert counted("QLinearConv", quantized, (1, 6, 6, 4), domain=CONTRIB, channels_last=1) == 4 * 6 * 6 * 27
    assert counted("ConvInteger", [(1, 3, 8, 8), (4, 3, 3, 3)], (1, 4, 6, 6)) == 4 * 6 * 6 * 27


def test_what_the_shapes_do_not_say_is_unknown_and_never_zero() -> None:
    weight = (4, 3, 3, 3)
    assert counted("Conv", [None, weight], None) is None
    assert counted("Conv", [(1, 3, None, 8), weight], (1, 4, None, 6)) is None
    assert counted("Conv", [(1, 3, 8, 8)], (1, 4, 6, 6)) is None
    assert counted("Conv", [(1, 3, 8, 8), (4, -3, 3, 3)], (1, 4, 6, 6)) is None
    assert counted("Conv", [(3,), (3,)], (1,)) is None
    assert counted("Conv", [(1, 3, 8, 8), weight], (2**40, 2**40, 2**40, 2**40)) is None
    assert counted("MatMul", [(), ()], ()) is None
    assert counted("Gemm", [(2, 3, 4), (4, 5)], None) is None
    assert counted("LSTM", [(4, 1, 8), (1, 32, 8), (1, 32, 8)], None) is None
    assert counted("Attention", [(1, 4, 8)], (1, 4, 8), domain=CONTRIB) is None
    # The convolution's output is what its count follows; where the image is unknown, that is enough.
    assert counted("Conv", [None, weight], (1, 4, 6, 6)) == 4 * 6 * 6 * 27
    assert counted("ConvTranspose", [(1, 4, 6, 6), weight], None) == 4 * 6 * 6 * 27


def test_other_nodes_make_none() -> None:
    assert counted("Relu", [(1, 4)], (1, 4)) == 0
    assert counted("Conv", [(1, 3, 8, 8), (4, 3, 3, 3)], (1, 4, 6, 6), domain="ai.onnx.ml") == 0
    assert rule_of(NodeProto(op_type="Conv", domain="ai.onnx")) is rule_of(NodeProto(op_type="Conv"))
