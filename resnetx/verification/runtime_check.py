"""Does the runtime compute the file? Its outputs and inner tensors, compared with the same graph in float64."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
import onnx

from resnetx.base.precisions import EPSILON
from resnetx.errors import ResnetxError
from resnetx.graph.layers import LayerNode, expose, layer_nodes
from resnetx.runtime.file_precision import stored_precision
from resnetx.runtime.runner import Runner
from resnetx.verification.checks import run_batches, verify_module
from resnetx.verification.exact_graph import ExactGraph
from resnetx.verification.golden import Golden
from resnetx.verification.judge import Reopen
from resnetx.verification.layers import (
    Counterpart,
    Expected,
    LayerParity,
    compare_file,
    compare_runtime,
    expected,
)
from resnetx.verification.moved_biases import with_moved_biases
from resnetx.verification.parity import Parity
from resnetx.verification.reference_outputs import Feeds, Outputs, References, first_feeds, first_samples
from resnetx.verification.sketch import Sketch, sketch

if TYPE_CHECKING:
    from resnetx.verification.evaluation.evaluator import Arithmetic, Steps

# The inner tensors that are compared in one run of a graph have so many elements together.
MOST_ELEMENTS = 80_000_000
# In INT8 a runtime may be off as if all biases were off by half a unit. Honest ones were at most twice as far, so
# that of the multiples that are allowed elsewhere half is enough.
PART_OF_MOVED = 0.5


class GraphAnswers:
    """A graph in float64 on a few samples, and with the roundings of a precision; computed once for all providers."""

    def __init__(self, graph: ExactGraph, probe: list[np.ndarray], *, fixed: bool) -> None:
        self.model = graph.model
        self.stored = stored_precision(graph.model.graph)
        self._graph = graph
        self.feeds, self.exact, self.tensors = self._few(probe, fixed=fixed)
        self._noisy: dict[str, tuple[Outputs, dict[str, Expected]]] = {}

    def _few(self, probe: list[np.ndarray], *, fixed: bool) -> tuple[Feeds, Outputs, dict[str, Sketch]]:
        """The first samples of a probe: from the run of all, if they are independent of each other."""
        few = None if fixed else first_feeds(probe)
        trace = self._graph.run(probe)
        if few is not None:
            trace = first_samples(trace, of=len(probe[0])) or self._graph.run(few)
        outputs, tensors = trace
        return [few or probe], outputs, {each.name: each.sketch for each in tensors}

    def expected(self, precision: str) -> tuple[Outputs, dict[str, Expected]]:
        """The outputs with the arithmetic of a runtime that computes in `precision`, and what tensors should be."""
        if precision not in self._noisy:
            steps, arithmetic = self._arithmetic(precision)
            outputs, tensors = self._noisy_run(self._graph, steps, arithmetic)
            if precision == "int8":
                moved, reactions = self._noisy_run(ExactGraph(with_moved_biases(self.model)), "kept", "float64")
                outputs = [_further(*each) for each in zip(self.exact, outputs, moved, strict=True)]
                tensors = {name: _noisier(each, reactions[name]) for name, each in tensors.items()}
            self._noisy[precision] = outputs, tensors
        return self._noisy[precision]

    def _noisy_run(
        self, graph: ExactGraph, steps: "Steps", arithmetic: "Arithmetic"
    ) -> tuple[Outputs, dict[str, Expected]]:
        outputs, found = graph.run(self.feeds[0], steps=steps, arithmetic=arithmetic)
        noisy = {each.name: each.sketch for each in found}
        return outputs, {name: expected(own, noisy[name]) for name, own in self.tensors.items() if name in noisy}

    def _arithmetic(self, precision: str) -> tuple["Steps", "Arithmetic"]:
        if precision in ("bf16", "tf32") or (precision == "fp16" and self.stored != "fp16"):
            return "kept", cast("Arithmetic", precision)
        return "declared", "float32"

    @property
    def names(self) -> tuple[str, ...]:
        return self._graph.outputs


def _further(exact: np.ndarray, rounded: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """What is further from the exact numbers: the rounded ones, or a part of the way to the moved ones."""
    if exact.dtype.kind != "f":
        return rounded
    part = exact + PART_OF_MOVED * (moved.astype(np.float64) - exact)
    with np.errstate(invalid="ignore"):
        further: np.ndarray = np.where(np.abs(part - exact) > np.abs(rounded - exact), part, rounded)
    return further


def _noisier(rounded: Expected, moved: Expected) -> Expected:
    return replace(rounded, noise=np.maximum(rounded.noise, PART_OF_MOVED * moved.noise))


def compare_with_graph(
    runner: Runner, answers: GraphAnswers, *, precision: str, reopen: Reopen, originals: Mapping[str, str | None]
) -> tuple[Parity, tuple[LayerParity, ...]]:
    """Compare a runner's outputs, and the inner tensors that `reopen` shows, with the graph's own."""
    outputs, tensors = answers.expected(precision)
    references = References(truth=[answers.exact], noisy={"fp32": [outputs]})
    checks = verify_module(references, run_batches(runner, answers.feeds), names=answers.names, precision="fp32")
    return Parity(precision=precision, checks=checks), compare_inner(
        answers.model, tensors, answers.feeds, precision=precision, reopen=reopen, originals=originals
    )


def compare_inner(
    model: onnx.ModelProto,
    wanted: Mapping[str, Expected],
    feeds: Feeds,
    *,
    precision: str,
    reopen: Reopen,
    originals: Mapping[str, str | None],
) -> tuple[LayerParity, ...]:
    """Compare the inner tensors of which it is known what they should be."""
    nodes = [node for node in layer_nodes(model) if node.tensor in wanted]
    actual = _inner(model, nodes, wanted, feeds, reopen)
    return compare_runtime(nodes, actual, wanted, originals=originals, precision=precision)


def compare_with_bundle(
    model: onnx.ModelProto,
    bundle: Golden,
    *,
    outputs_agree: bool,
    precision: str,
    reopen: Reopen,
    originals: Mapping[str, str | None],
) -> tuple[tuple[LayerParity, ...], dict[str, str], str | None]:
    """Compare a runtime's inner tensors with those of a golden bundle.

    The bundle was made with a file whose nodes may have been fused or renamed since; the second says which are not
    comparable, and why. The third is why none is.
    """
    known = bundle.layers
    if known is None:
        why = "the golden bundle is of version 1: it contains neither layers nor weights, which were not compared"
        return (), {}, why
    if precision == "int8":
        return (), {}, "a golden bundle knows the layers before quantization only; they were not compared"
    nodes = layer_nodes(model)
    try:
        actual = _inner(model, nodes, known.tensors, [known.feeds], reopen)
    except ResnetxError:  # a tensor of a type that no runner returns
        nodes = tuple(node for node in nodes if node.tensor in known.tensors)
        actual = _inner(model, nodes, known.tensors, [known.feeds], reopen)
    rows, left_out = compare_file(
        model,
        nodes,
        actual,
        [Counterpart(name=name, op="", expected=each) for name, each in known.tensors.items()],
        outputs_agree=outputs_agree,
        originals=originals,
        floor=EPSILON.get(precision, EPSILON["fp32"]),
        loose=True,
    )
    return rows, left_out, None


def _inner(
    model: onnx.ModelProto, nodes: Sequence[LayerNode], wanted: Mapping[str, Expected], feeds: Feeds, reopen: Reopen
) -> dict[str, Sketch]:
    """The inner floating tensors of a runtime, by name."""
    actual: dict[str, Sketch] = {}
    for group in _groups(nodes, wanted):
        tensors = [node.tensor for node in group]
        actual |= _sketches(reopen(expose(model, *tensors).SerializeToString()), tensors, feeds)
    return actual


def _sketches(inner: Runner, tensors: Sequence[str], feeds: Feeds) -> dict[str, Sketch]:
    run = run_batches(inner, feeds)[0]
    inner.close()
    return {name: sketch(run[name]) for name in tensors if run[name].dtype.kind == "f" and run[name].size}


def _groups(nodes: Sequence[LayerNode], wanted: Mapping[str, Expected]) -> Iterator[list[LayerNode]]:
    """Nodes whose tensors fit in memory together; a tensor of unknown size is taken to be as large as the largest."""
    group: list[LayerNode] = []
    elements = 0
    sizes = {name: math.prod(each.exact.shape) for name, each in wanted.items()}
    largest = max(sizes.values(), default=0)
    for node in nodes:
        size = sizes.get(node.tensor, largest)
        if group and elements + size > MOST_ELEMENTS:
            yield group
            group, elements = [], 0
        group.append(node)
        elements += size
    if group:
        yield group
