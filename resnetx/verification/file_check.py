"""Is the file the network? Its graph, weights and inner tensors in float64, compared with what it should be."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from resnetx.base.precisions import EPSILON
from resnetx.graph.card import ModelCard
from resnetx.graph.layers import layer_nodes, softmax_input
from resnetx.model.preprocessing import output_names, top_k
from resnetx.verification.checks import best_of, softmax, verify_classifier, verify_module
from resnetx.verification.evaluation.unsupported import UnsupportedGraph
from resnetx.verification.exact_graph import ExactGraph
from resnetx.verification.layers import Counterpart, compare_file, expected
from resnetx.verification.parity import Parity
from resnetx.verification.reference_outputs import Feeds, References, Trace
from resnetx.verification.references import Truth
from resnetx.verification.result import FileVerdict
from resnetx.verification.sketch import NamedSketch, joined, paired, sketch

if TYPE_CHECKING:
    from resnetx.verification.evaluation.evaluator import Steps

# The least error of an exact comparison: half a rounding of the file's weights.
FLOOR = 0.5


def compare_exactly(
    graph: ExactGraph,
    truth: Truth,
    card: ModelCard | None,
    compared: tuple[Feeds, Sequence[Trace]],
    *,
    precision: str,
    proved: bool,
    originals: Mapping[str, str | None],
) -> FileVerdict:
    """Evaluate the graph in float64, without the roundings of its half-precision and INT8 steps if they are expected.

    What remains are the roundings of its weights: the noise is how far the network moves if its own are rounded once
    more to `precision`. `compared` are inputs, and the network's traces for them. `proved`: weights and wiring are
    known to be those of the network; then a run in float32, which is quicker, is as good a measure.
    """
    steps: Steps = "kept" if precision == "fp32" else "ignored"
    original, model = truth.original, graph.model
    assert original is not None
    probes, exact = compared
    logits = None if card is None or card.output == "logits" else softmax_input(model)
    try:
        found = [graph.run(feeds, steps=steps) for feeds in probes]
    except UnsupportedGraph as error:
        return FileVerdict(notes=(f"the graph cannot be evaluated in float64: {error}",))
    quick = proved and precision == "fp32"
    moved = [original.rounded(feeds) if quick else original.perturbed(feeds, precision) for feeds in probes]
    if card is not None and card.output != "logits" and truth.outputs == ("logits",):
        exact, moved = (
            [(run[0], (*run[1], *_behind_logits(run[0][0], card.output))) for run in side] for side in (exact, moved)
        )
    references = References(truth=[run[0] for run in exact], noisy={"fp32": [run[0] for run in moved]})
    runs = [dict(zip(graph.outputs, outputs, strict=True)) for outputs, _ in found]
    known = card is not None and card.config is not None and set(output_names(card.output)) == set(graph.outputs)
    if truth.outputs == ("logits",) and card is not None and not known:
        return FileVerdict(notes=("the outputs are not those of the card, so nothing was compared with the network",))
    if truth.outputs == ("logits",) and card is not None:
        inner = (
            [run[graph.outputs[0]] for run in runs]
            if logits is None
            else [graph.value(logits, feeds) for feeds in probes]
        )
        checks = verify_classifier(
            references, runs, inner, output=card.output, precision="fp32", floor=_floor(precision)
        )
    else:
        checks = verify_module(references, runs, names=truth.outputs, precision="fp32", floor=_floor(precision))
    parity = Parity(precision="float64", checks=checks)
    tensors = {each.name: each.sketch for each in joined([run[1] for run in found])}
    layers, left_out = compare_file(
        model,
        layer_nodes(model),
        tensors,
        _counterparts([run[1] for run in exact], [run[1] for run in moved]),
        outputs_agree=parity.passed,
        originals=originals,
        floor=EPSILON.get(precision, EPSILON["fp32"]) / 2,
        loose=proved,
    )
    return FileVerdict(parity=parity, layers=layers, left_out=left_out)


def _behind_logits(logits: np.ndarray, output: str) -> tuple[NamedSketch, ...]:
    """The network is traced up to its logits; this is what its output form makes of them."""
    probabilities = softmax(logits)
    whole = NamedSketch(name="softmax", sketch=sketch(probabilities), op="softmax")
    k = top_k(output)
    return (whole, NamedSketch(name="topk", sketch=sketch(best_of(probabilities, k)), op="topk")) if k else (whole,)


def _floor(precision: str) -> float:
    return FLOOR * EPSILON.get(precision, EPSILON["fp32"]) / EPSILON["fp32"]


def _counterparts(exact: Sequence[Sequence[NamedSketch]], moved: Sequence[Sequence[NamedSketch]]) -> list[Counterpart]:
    return [
        Counterpart(name=a.name, op=a.op, expected=expected(a.sketch, b.sketch))
        for a, b in paired(joined(exact), joined(moved))
    ]
