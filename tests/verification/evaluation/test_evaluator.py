"""The evaluator itself: what it watches, frees, follows, rounds and refuses."""

import gc
import weakref
from collections.abc import Sequence

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from resnetx.verification.evaluation import limits
from resnetx.verification.evaluation.evaluator import Evaluator, UnsupportedGraph
from resnetx.verification.evaluation.rounding import BFLOAT16, FLOAT16, TENSOR_FLOAT32, round_to
from tests.support.onnx_models import small_classifier
from tests.verification.evaluation.one_node import answers, floats, node_model, runtime_answers

FLOAT = TensorProto.FLOAT


def graph_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, tuple[int, Sequence[int | str]]],
    outputs: Sequence[str],
    weights: dict[str, np.ndarray] | None = None,
    **rest: object,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10, **rest)


def test_every_node_is_watched_when_it_is_computed() -> None:
    model = onnx.load_model_from_string(small_classifier())
    seen: dict[str, torch.Tensor] = {}
    x = floats((2, 3, 16, 16))
    result = Evaluator(model).run({"x": x}, lambda name, tensor: seen.update({name: tensor.clone()}))
    assert list(seen) == ["c1", "r1", "c2", "p", "f", "y"]
    assert torch.equal(seen["r1"], seen["c1"].clamp(min=0)) and bool((seen["c1"] < 0).any())
    np.testing.assert_array_equal(seen["y"].numpy(), result["y"])
    assert result["y"].dtype == np.float64
    assert Evaluator(model, arithmetic="float32").run({"x": x})["y"].dtype == np.float32


def test_tensors_are_freed_after_their_last_use() -> None:
    nodes = [helper.make_node("Exp", [f"t{index}"], [f"t{index + 1}"]) for index in range(6)]
    nodes.append(helper.make_node("Add", ["t6", "t1"], ["y"]))
    alive: list[weakref.ref[torch.Tensor]] = []
    most = 0

    def watch(name: str, tensor: torch.Tensor) -> None:
        nonlocal most
        alive.append(weakref.ref(tensor))
        gc.collect()
        most = max(most, sum(each() is not None for each in alive))

    Evaluator(graph_of(nodes, {"t0": (FLOAT, [4])}, ["y"])).run({"t0": floats((4,)) - 9}, watch)
    assert most == 3  # t1, which is read at the end, and two neighbours


def test_nodes_in_any_order() -> None:
    nodes = [helper.make_node("Neg", ["a"], ["y"]), helper.make_node("Exp", ["x"], ["a"])]
    result = Evaluator(graph_of(nodes, {"x": (FLOAT, [2])}, ["y"])).run({"x": np.zeros(2, np.float32)})
    assert result["y"].tolist() == [-1, -1]


def branches() -> onnx.ModelProto:
    """y = x + w if the sum of x is positive, else a chain that reads x from outside."""
    taken = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["then"])], "then", [], [onnx.ValueInfoProto(name="then")]
    )
    other = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["n"]), helper.make_node("Mul", ["n", "n"], ["else"])],
        "else",
        [],
        [onnx.ValueInfoProto(name="else")],
    )
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["c"]),
        helper.make_node("If", ["c"], ["y"], then_branch=taken, else_branch=other),
    ]
    weights = {"w": np.ones(3, np.float32), "zero": np.array(0, np.float32)}
    return graph_of(nodes, {"x": (FLOAT, [3])}, ["y"], weights)


def test_branches_read_from_outside() -> None:
    evaluator = Evaluator(branches())
    for x in ([1.0, 2.0, 3.0], [-1.0, -2.0, 0.5]):
        feeds = {"x": np.array(x, np.float32)}
        np.testing.assert_allclose(evaluator.run(feeds)["y"], runtime_answers(branches(), feeds)[0])


def looping(times: int | None) -> onnx.ModelProto:
    """Doubles x as often as told, and collects what it was."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["v", "v"], ["v2"]),
            helper.make_node("Identity", ["go"], ["go2"]),
            helper.make_node("Mul", ["v", "outside"], ["kept"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, [2]),
        ],
        [helper.make_tensor_value_info("go2", TensorProto.BOOL, []), *map(_float_pair, ("v2", "kept"))],
    )
    node = helper.make_node("Loop", ["m" if times is not None else "", "yes", "x"], ["last", "all"], body=body)
    weights = {"m": np.array(times or 0), "yes": np.array(True), "outside": np.array(3, np.float32)}
    return graph_of([node], {"x": (FLOAT, [2])}, ["last", "all"], weights)


def _float_pair(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, FLOAT, [2])


def test_loops() -> None:
    feeds = {"x": np.array([1, -2], np.float32)}
    found = Evaluator(looping(5)).run(feeds)
    last, collected = runtime_answers(looping(5), feeds)
    np.testing.assert_array_equal(found["last"], last)
    np.testing.assert_array_equal(found["all"], collected)


def test_an_endless_loop_ends() -> None:
    with pytest.raises(UnsupportedGraph, match="Loop: more than 10,000 iterations"):
        Evaluator(looping(None)).run({"x": np.array([1, -2], np.float32)})


def test_functions_of_the_file_are_evaluated() -> None:
    function = helper.make_function(
        "mine", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 20)]
    )
    nodes = [
        helper.make_node("Twice", ["x"], ["t"], domain="mine"),
        helper.make_node("Twice", ["t"], ["y"], domain="mine"),
    ]
    model = graph_of(nodes, {"x": (FLOAT, [2])}, ["y"], functions=[function])
    model.opset_import.append(helper.make_opsetid("mine", 1))
    assert Evaluator(model).run({"x": np.array([1, 3], np.float32)})["y"].tolist() == [4, 12]


def nested_functions(depth: int, calls: int) -> onnx.ModelProto:
    """Each function calls the one below it several times."""
    functions = [
        helper.make_function(
            "mine",
            f"F{level}",
            ["a"],
            ["b"],
            [
                helper.make_node(
                    f"F{level - 1}" if level else "Neg",
                    ["a" if call == 0 else f"t{call}"],
                    ["b" if call == calls - 1 else f"t{call + 1}"],
                    domain="mine" if level else "",
                )
                for call in range(calls)
            ],
            [helper.make_opsetid("", 20), helper.make_opsetid("mine", 1)],
        )
        for level in range(depth)
    ]
    node = helper.make_node(f"F{depth - 1}", ["x"], ["y"], domain="mine")
    model = graph_of([node], {"x": (FLOAT, [2])}, ["y"], functions=functions)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    return model


@pytest.mark.parametrize(("depth", "calls", "message"), [(3000, 1, "32 deep"), (30, 4, "nodes"), (25, 10, "nodes")])
def test_functions_that_explode_are_refused(depth: int, calls: int, message: str) -> None:
    with pytest.raises(UnsupportedGraph, match=message):
        Evaluator(nested_functions(depth, calls))


def test_a_function_that_calls_itself_is_refused() -> None:
    model = nested_functions(1, 1)
    model.functions[0].node[0].CopyFrom(helper.make_node("F0", ["a"], ["b"], domain="mine"))
    with pytest.raises(UnsupportedGraph, match="32 deep"):
        Evaluator(model)


HUGE = 2**40
GROWING = [
    ("Expand", [np.ones(1, np.float32), np.array([HUGE])], {}),
    ("Tile", [np.ones(1, np.float32), np.array([HUGE])], {}),
    ("ConstantOfShape", [np.array([HUGE])], {}),
    ("Range", [np.array(0), np.array(HUGE), np.array(1)], {}),
    ("Pad", [np.ones((2, 2), np.float32), np.array([0, 0, HUGE, 0])], {}),
    ("Pad", [np.ones((2, 2), np.float32), np.array([0, 0, HUGE, 0])], {"mode": "edge"}),
    ("Resize", [np.ones((1, 1, 2, 2), np.float32), None, None, np.array([1, 1, 2**20, 2**20])], {"mode": "linear"}),
    ("Resize", [np.ones((1, 1, 2, 2), np.float32), None, np.array([1, 1, 1e6, 1e6], np.float32)], {}),
    ("OneHot", [np.array([1]), np.array(HUGE), np.array([0.0, 1.0], np.float32)], {}),
    ("Conv", [np.ones((1, 1, 2, 2), np.float32), np.ones((1, 1, 1, 1), np.float32)], {"pads": [0, 0, 2**20, 2**20]}),
    (
        "ConvTranspose",
        [np.ones((1, 1, 9, 9), np.float32), np.ones((1, 1, 2, 2), np.float32)],
        {"strides": [2**20, 2**20]},
    ),
    ("MaxPool", [np.ones((1, 1, 9, 9), np.float32)], {"kernel_shape": [2**20] * 2, "pads": [2**20] * 4}),
    ("AveragePool", [np.ones((1, 1, 9, 9), np.float32)], {"kernel_shape": [2**20] * 2, "pads": [2**20] * 4}),
    ("MatMul", [np.ones((2**17, 1), np.float32), np.ones((1, 2**17), np.float32)], {}),
    ("Gemm", [np.ones((2**17, 1), np.float32), np.ones((1, 2**17), np.float32)], {}),
    ("Einsum", [np.ones(2**17, np.float32), np.ones(2**17, np.float32)], {"equation": "a,b->ab"}),
    ("Add", [np.ones((2**17, 1), np.float32), np.ones((1, 2**17), np.float32)], {}),
    ("Where", [np.ones((2**17, 1), bool), np.ones((1, 2**17), np.float32), np.ones(1, np.float32)], {}),
    ("Gather", [np.ones((1, 2**15), np.float32), np.zeros(2**15, np.int64)], {}),
    ("GatherND", [np.ones((1, 2**15), np.float32), np.zeros((2**15, 1), np.int64)], {}),
    ("CenterCropPad", [np.ones((2, 2), np.float32), np.array([2**20, 2**20])], {}),
    ("PRelu", [np.ones((2**17, 1), np.float32), np.ones((1, 2**17), np.float32)], {}),
]


@pytest.mark.parametrize(("operator", "inputs", "attributes"), GROWING, ids=[each[0] for each in GROWING])
def test_what_would_be_too_large_is_refused_before_it_is_made(
    operator: str, inputs: list[np.ndarray | None], attributes: dict[str, object]
) -> None:
    model, feeds = node_model(operator, inputs, opset=19, **attributes)
    with pytest.raises(UnsupportedGraph, match=rf"{operator} 'only': .*more than 2,147,483,648 bytes"):
        answers(model, feeds)


def test_a_chain_of_concatenations_is_refused() -> None:
    nodes = [helper.make_node("Concat", [f"t{i}", f"t{i}"], [f"t{i + 1}"], axis=0) for i in range(40)]
    model = graph_of(nodes, {"t0": (FLOAT, [1])}, ["t40"])
    with pytest.MonkeyPatch.context() as patch, pytest.raises(UnsupportedGraph, match="Concat: a tensor of shape"):
        patch.setattr(limits, "MAX_BYTES", 2**20)
        Evaluator(model).run({"t0": np.ones(1, np.float32)})


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [helper.make_node("Bernoulli", ["x"], ["y"], name="noise")],
            "Bernoulli 'noise': it draws random numbers",
        ),
        ([helper.make_node("Conv", ["x", "x"], ["y"], domain="strange")], "strange:Conv: it is not supported"),
        ([helper.make_node("MatMul", ["x", "x"], ["y"])], "MatMul: "),
        ([helper.make_node("Neg", ["nothing"], ["y"])], "Neg: nothing gives the tensor 'nothing'"),
        ([helper.make_node("Neg", ["y"], ["y"])], "Neg: it reads its own output"),
        ([helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Exp", ["x"], ["y"])], "Exp: two nodes write 'y'"),
        ([helper.make_node("Gather", ["x", "nine"], ["y"])], "Gather: an index outside of 3 elements"),
    ],
)
def test_what_cannot_be_evaluated_is_named(nodes: list[onnx.NodeProto], message: str) -> None:
    model = graph_of(nodes, {"x": (FLOAT, [3, 2])}, ["y"], {"nine": np.array([9])})
    with pytest.raises(UnsupportedGraph) as caught:
        Evaluator(model).run({"x": floats((3, 2))})
    assert str(caught.value).startswith(message)


def test_data_in_other_files_is_not_read() -> None:
    model = graph_of([helper.make_node("Add", ["x", "w"], ["y"])], {"x": (FLOAT, [2])}, ["y"], {"w": floats((2,))})
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "/etc/passwd")
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    with pytest.raises(UnsupportedGraph, match="lies in another file"):
        Evaluator(model).run({"x": floats((2,))})


@pytest.mark.parametrize(
    ("form", "dtype"), [(FLOAT16, torch.float16), (BFLOAT16, torch.bfloat16)], ids=["float16", "bfloat16"]
)
def test_rounding_is_that_of_the_format(form: object, dtype: torch.dtype) -> None:
    """Every number of float32 that torch, which rounds once from there, is asked for."""
    numbers = torch.from_numpy(np.random.default_rng(0).integers(0, 2**32, 200_000, np.uint32).view(np.float32))
    rounded = round_to(numbers.double(), form)  # type: ignore[arg-type]
    wanted = numbers.to(dtype).double()
    assert torch.equal(torch.nan_to_num(rounded, 7.0), torch.nan_to_num(wanted, 7.0))


def test_tensor_float32_has_ten_bits_and_the_range_of_float32() -> None:
    numbers = torch.tensor([1 + 2.0**-11, 1 + 3 * 2.0**-11, 2.0**120, 2.0**-120], dtype=torch.float64)
    assert round_to(numbers, TENSOR_FLOAT32).tolist() == [1, 1 + 2.0**-9, 2.0**120, 2.0**-120]


def test_declared_types_are_followed_through_the_graph() -> None:
    """A cast to float16, then operators that ONNX declares float16, an integer detour, and back."""
    half = TensorProto.FLOAT16
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=half),
        helper.make_node("Mul", ["h", "third"], ["m"]),
        helper.make_node("Relu", ["m"], ["r"]),
        helper.make_node("Cast", ["r"], ["y"], to=FLOAT),
    ]
    model = graph_of(nodes, {"x": (FLOAT, [5])}, ["y"], {"third": np.array(1 / 3, np.float16)})
    x = np.linspace(0.1, 1, 5).astype(np.float32)
    exact = x.astype(np.float16).astype(np.float64) * np.float64(np.float16(1 / 3))
    run = {steps: Evaluator(model, steps=steps).run({"x": x})["y"] for steps in ("kept", "declared", "ignored")}  # type: ignore[arg-type]
    np.testing.assert_array_equal(run["kept"], exact)
    np.testing.assert_array_equal(run["declared"], exact.astype(np.float16))
    np.testing.assert_array_equal(run["ignored"], x.astype(np.float64) * np.float64(np.float16(1 / 3)))


def test_shapes_are_not_rounded_with_the_data() -> None:
    """257 is no bfloat16 number; computed with as a size, it stays."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Cast", ["s"], ["f"], to=FLOAT),
        helper.make_node("Mul", ["f", "one"], ["g"]),
        helper.make_node("Cast", ["g"], ["n"], to=TensorProto.INT64),
        helper.make_node("Expand", ["x", "n"], ["e"]),
        helper.make_node("ReduceSum", ["e"], ["y"], keepdims=0),
    ]
    model = graph_of(nodes, {"x": (FLOAT, [257])}, ["y", "n"], {"one": np.array(1, np.float32)})
    found = Evaluator(model, arithmetic="bf16").run({"x": np.full(257, 1 + 2.0**-10, np.float32)})
    assert found["n"].tolist() == [257]
    assert found["y"] == 256  # data is rounded: 257 ties to the even neighbour


@pytest.mark.parametrize(
    "operator", ["GlobalAveragePool", "ReduceMean", "ReduceL2", "AveragePool", "InstanceNormalization"]
)
def test_long_sums_are_added_one_by_one_in_float32(operator: str) -> None:
    """The order whose error grows with the count: what honest runtimes may show."""
    x = np.random.default_rng(0).uniform(0.5, 1.5, (1, 2, 192, 192)).astype(np.float32)
    attributes: dict[str, object] = {"axes": [2, 3]} if operator.startswith("Reduce") else {}
    if operator == "AveragePool":
        attributes = {"kernel_shape": [192, 192]}
    inputs = [x, np.ones(2, np.float32), np.zeros(2, np.float32)] if operator.startswith("Inst") else [x]
    model, feeds = node_model(operator, inputs, opset=13, **attributes)
    (exact,), (noisy,) = answers(model, feeds), answers(model, feeds, arithmetic="float32")
    error = np.abs(noisy - exact).max() / np.abs(exact).max()
    # A tree or blocks would be off by about 1e-7.
    assert 3e-7 < error < 1e-3
    (runtime,) = runtime_answers(model, feeds)
    assert np.abs(runtime - exact).max() / np.abs(exact).max() <= 4 * error


def test_a_sum_is_the_sequential_one() -> None:
    x = floats((2, 300))
    (found,) = answers(*node_model("ReduceSum", [x, np.array([1])], opset=13, keepdims=0), arithmetic="float32")
    wanted = np.zeros(2, np.float32)
    for column in x.T:
        wanted += column
    np.testing.assert_array_equal(found, wanted)


def test_inputs_that_have_defaults_need_not_be_fed() -> None:
    model = graph_of([helper.make_node("Add", ["x", "w"], ["y"])], {"x": (FLOAT, [2]), "w": (FLOAT, [2])}, ["y"])
    with pytest.raises(ValueError, match="'w' is not fed"):
        Evaluator(model).run({"x": np.ones(2, np.float32)})
    model.graph.initializer.append(numpy_helper.from_array(np.full(2, 5, np.float32), "w"))
    assert Evaluator(model).run({"x": np.ones(2, np.float32)})["y"].tolist() == [6, 6]
