"""Evaluates a graph: what does this file compute, exactly, or with the noise of a given precision?"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from onnx import GraphProto, ModelProto, NodeProto, TensorProto
from torch import Tensor

from resnetx.verification.evaluation.call import Arithmetic, Call, Settings, Steps
from resnetx.verification.evaluation.control_flow import CONTROL, Iterations
from resnetx.verification.evaluation.declared_types import declared_types
from resnetx.verification.evaluation.fallback import REFERENCE, evaluate_by_reference
from resnetx.verification.evaluation.limits import refuse_large
from resnetx.verification.evaluation.operators.convolution import MATRIX_OPERATORS
from resnetx.verification.evaluation.operators.table import OPERATORS
from resnetx.verification.evaluation.plan import GraphPlan, without_functions
from resnetx.verification.evaluation.rounding import BFLOAT16, FLOAT16, FORMATS, TENSOR_FLOAT32, round_to
from resnetx.verification.evaluation.scope import Scope, Value
from resnetx.verification.evaluation.tensors import FLOATS, from_array, settle, to_array
from resnetx.verification.evaluation.unsupported import UnsupportedGraph

__all__ = ["Arithmetic", "Evaluator", "Steps", "UnsupportedGraph", "Watch"]

Watch = Callable[[str, Tensor], None]
OLDEST_OPSET = 7
_SHAPES_ONLY = frozenset(("Shape", "Size"))
_HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


class Evaluator:
    """A model ready to be evaluated, any number of times.

    `steps` says what becomes of the roundings that the file itself asks for. "kept": casts to narrower floats and
    quantization round as specified, everything between is exact. "ignored": they are left out, and the network
    remains that the file holds (stored weights keep their stored values). "declared": like kept, and every tensor that
    is declared float16 or bfloat16 is rounded to that, as by a runtime that computes in the file's own types. "fitted":
    like kept, but steps of tensors to integers are the smallest that cut off nothing of what passes through them.

    `arithmetic` says how numbers are held. "float64"; "float32", with long sums added one by one; "bf16", "fp16" and
    "tf32" are float64 with the roundings of an accelerator: of the operands of matrix products and convolutions, and
    for the first two of every operator's output.

    Raises UnsupportedGraph, here or in `run`, naming the first operator that can't be evaluated.
    """

    def __init__(self, model: ModelProto, *, steps: Steps = "kept", arithmetic: Arithmetic = "float64") -> None:
        model = without_functions(model)
        self._settings = _settings(steps, arithmetic)
        self._opsets = {_domain(each.domain): each.version for each in model.opset_import}
        if self._opsets.get("", OLDEST_OPSET) < OLDEST_OPSET:
            raise UnsupportedGraph(f"opset {self._opsets['']} is older than {OLDEST_OPSET}")
        self._graph = GraphPlan(model.graph)
        self._subgraphs: dict[int, GraphPlan] = {}
        for step in self._graph.steps:
            _function(step.node)

    @torch.no_grad()
    def run(self, feeds: Mapping[str, np.ndarray], watch: Watch | None = None) -> dict[str, np.ndarray]:
        """The graph's outputs; floats are in the type of the computation.

        `watch` gets the first output of every node as soon as it is computed; it must copy what it keeps.
        """
        scope = Scope(self._graph)
        for value in self._graph.inputs:
            if value.name in feeds:
                scope.values[value.name] = self._fed(feeds[value.name], value.type.tensor_type.elem_type)
            elif value.name not in self._graph.weights:
                raise ValueError(f"The input {value.name!r} is not fed.")
        results = self._evaluate(scope, watch, Iterations())
        return {
            name: to_array(each.tensor, each.element_type)
            for name, each in zip(self._graph.outputs, results, strict=True)
        }

    def _fed(self, array: np.ndarray, element_type: int) -> Value:
        tensor = from_array(array, element_type, self._settings.dtype)
        if self._settings.steps == "declared" and element_type in _HALVES:
            tensor = round_to(tensor, FORMATS[element_type])
        return Value(tensor, element_type, from_data=True)

    def _evaluate(self, scope: Scope, watch: Watch | None, iterations: Iterations) -> list[Value]:
        for step in scope.plan.steps:
            node = step.node
            try:
                outputs = self._node(node, scope, watch, iterations)
            except UnsupportedGraph as error:
                if error.operator:
                    raise
                raise UnsupportedGraph(error.reason, operator=_described(node)) from error
            except Exception as error:  # torch and the reference raise many types, on shapes that do not fit
                cause = next(iter(str(error).strip().splitlines()), type(error).__name__)
                raise UnsupportedGraph(cause[:300], operator=_described(node)) from error
            for name, value in zip(node.output, outputs, strict=False):
                if name:
                    scope.values[name] = value
            if watch is not None and outputs and node.output[0]:
                watch(node.output[0], outputs[0].tensor)
            for name in step.frees:
                scope.values.pop(name, None)
        return [scope.find(name, self._settings.dtype) for name in scope.plan.outputs]

    def _node(self, node: NodeProto, scope: Scope, watch: Watch | None, iterations: Iterations) -> Sequence[Value]:
        settings = self._settings
        inputs = [scope.find(name, settings.dtype) if name else None for name in node.input]
        domain = _domain(node.domain)
        call = Call(
            node=node,
            opset=self._opsets.get(domain, 1),
            settings=settings,
            types=tuple(each.element_type if each else 0 for each in inputs),
        )
        if domain == "" and node.op_type in CONTROL:

            def evaluate(graph: GraphProto, values: Sequence[Value]) -> list[Value]:
                inner = Scope(self._subgraph(graph), scope)
                names = [value.name for value in inner.plan.inputs]
                inner.values.update(zip(names, values, strict=True))
                return self._evaluate(inner, watch, iterations)

            return CONTROL[node.op_type](call, inputs, evaluate, iterations)
        tensors = [each.tensor if each else None for each in inputs]
        if settings.operands is not None and node.op_type in MATRIX_OPERATORS:
            tensors[:2] = [_narrowed(each, settings) for each in tensors[:2]]
        results = _function(node)(call, *tensors)
        from_data = node.op_type not in _SHAPES_ONLY and any(each.from_data for each in inputs if each)
        found = (results,) if isinstance(results, Tensor) else results
        return [
            self._settled(tensor, element_type, from_data)
            for tensor, element_type in zip(found, declared_types(call), strict=False)
        ]

    def _settled(self, tensor: Tensor, element_type: int, from_data: bool) -> Value:
        settings = self._settings
        refuse_large(tensor.shape, tensor.element_size())
        if not (tensor.is_floating_point() and element_type not in FLOATS and settings.steps_in_floats):
            tensor = settle(tensor, element_type, settings.dtype)
        if tensor.is_floating_point():
            if settings.steps == "declared" and element_type in _HALVES:
                tensor = round_to(tensor, FORMATS[element_type])
            if settings.outputs is not None and from_data:
                tensor = round_to(tensor, settings.outputs)
        return Value(tensor, element_type, from_data)

    def _subgraph(self, graph: GraphProto) -> GraphPlan:
        # A node's subgraph is one object for as long as the model is held, which the plan's nodes do.
        if id(graph) not in self._subgraphs:
            self._subgraphs[id(graph)] = GraphPlan(graph)
        return self._subgraphs[id(graph)]


def _settings(steps: Steps, arithmetic: Arithmetic) -> Settings:
    if arithmetic == "float32":
        return Settings(dtype=torch.float32, steps=steps, one_by_one=True)
    halves = {"bf16": BFLOAT16, "fp16": FLOAT16}
    operands = TENSOR_FLOAT32 if arithmetic == "tf32" else halves.get(arithmetic)
    return Settings(steps=steps, operands=operands, outputs=halves.get(arithmetic))


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _function(node: NodeProto) -> Callable[..., Tensor | tuple[Tensor, ...]]:
    domain = _domain(node.domain)
    found = OPERATORS.get((domain, node.op_type))
    if found is not None:
        return found
    if domain == "" and node.op_type in REFERENCE:
        return evaluate_by_reference
    if domain == "" and node.op_type in CONTROL:
        return lambda *_: ()
    raise UnsupportedGraph("it is not supported", operator=_described(node))


def _described(node: NodeProto) -> str:
    name = f"{node.domain}:{node.op_type}" if _domain(node.domain) else node.op_type
    return f"{name[:80]} {node.name[:80]!r}" if node.name else name[:80]


def _narrowed(tensor: Tensor | None, settings: Settings) -> Tensor | None:
    if tensor is None or settings.operands is None or not tensor.is_floating_point():
        return tensor
    return round_to(tensor, settings.operands)
