"""Which nodes of a graph the layers of an engine compute, where the engine does not name all of them."""

import numpy as np
from onnx import GraphProto, TensorProto, helper, numpy_helper

from resnetx.benchmark.profiling.attribution import nodes_of_layers
from resnetx.runtime.runner import LayerTimes

FLOAT = TensorProto.FLOAT


def block() -> GraphProto:
    """A residual block: 0 Conv, 1 Relu, 2 Conv, 3 Conv of the shortcut, 4 Add, 5 Relu, 6 Identity of a constant."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c1"]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w"], ["c2"]),
        helper.make_node("Conv", ["x", "w"], ["c3"]),
        helper.make_node("Add", ["c2", "c3"], ["a"]),
        helper.make_node("Relu", ["a"], ["y"]),
        helper.make_node("Identity", ["w"], ["unused"]),
    ]
    values = [helper.make_tensor_value_info(name, FLOAT, [1, 3, 8, 8]) for name in "xy"]
    weight = numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "w")
    return helper.make_graph(nodes, "block", values[:1], values[1:], [weight])


def layer(operator: str, *nodes: int) -> LayerTimes:
    return LayerTimes(name="", operator=operator, kernel=operator, precision="fp32", times_ms=(1.0,), nodes=nodes)


def test_a_kernel_that_names_all_its_nodes_computes_these() -> None:
    layers = [layer("Convolution", 0, 1), layer("Convolution", 3), layer("Convolution", 2, 4, 5)]
    assert nodes_of_layers(layers, block()) == [(0, 1), (3,), (2, 4, 5)]


def test_a_convolution_that_is_named_after_its_activation_is_found() -> None:
    """The sum is computed by the last convolution, because only then are both of its inputs there."""
    layers = [layer("Conv", 1), layer("Conv", 3), layer("Conv", 2)]
    assert nodes_of_layers(layers, block()) == [(0, 1), (3,), (2, 4, 5)]
    layers = [layer("Conv", 1), layer("Conv", 2), layer("Conv", 3)]
    assert nodes_of_layers(layers, block()) == [(0, 1), (2,), (3, 4, 5)]


def test_an_activation_that_runs_by_itself_does_not_compute_the_convolution_above() -> None:
    layers = [layer("Relu", 1), layer("Conv", 3), layer("Conv", 2), layer("Add", 4), layer("Relu", 5)]
    assert nodes_of_layers(layers, block()) == [(1,), (3,), (2,), (4,), (5,)]


def test_what_has_no_name_or_a_number_that_does_not_exist_is_in_no_layer() -> None:
    layers = [layer("ReorderInput"), layer("Conv", 99)]
    assert nodes_of_layers(layers, block()) == [(), ()]
    assert nodes_of_layers([], block()) == []


def test_a_node_that_two_kernels_name_is_in_the_one_that_multiplies() -> None:
    layers = [layer("Reorder", 0), layer("Convolution", 0, 1)]
    assert nodes_of_layers(layers, block())[:2] == [(), (0, 1)]
