"""Simplify a graph and check that it computes the same numbers: onnxsim rewrites it, ONNX Runtime runs both."""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from onnx import ModelProto

from resnetx.base.isolation import PYTHON, Limits, run_isolated
from resnetx.base.progress import ignore
from resnetx.errors import GraphError, ResnetxError
from resnetx.graph.card import embed_card, read_card
from resnetx.graph.counts import count_graph, required_inputs
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.graph.simplification.simplify import Simplification, simplify_model
from resnetx.inputs.random_feeds import FREE_SIZE, has_free_sizes, random_feeds
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.file_precision import stored_precision
from resnetx.runtime.runner import Runner
from resnetx.verification.same_outputs import outputs_agree
from resnetx.verification.structure.reference_file import compare_with_file

CHILD: tuple[str, ...] = (*PYTHON, "resnetx.conversion.checked_simplify")
# A batch of one does not reveal a batch that was fixed; three is unlikely to be in a graph by chance.
BATCHES = (1, 3)
# Two, to see whether the outputs depend on the inputs.
SEEDS = (1, 2)
FREE_SIZES = (FREE_SIZE, 64, 1)
MEMORY_BASE_MB = 4096
MEMORY_TIMES_SIZE = 8
VERDICT = "verdict.json"


@dataclass(frozen=True, kw_only=True)
class Case:
    """Inputs, and the outputs of the original graph."""

    batch: int
    feeds: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


def simplify_checked(
    model: ModelProto, *, timeout_s: float = 120, step: Callable[[str], None] = ignore
) -> Simplification:
    """Simplify, and compare the numbers of both graphs on ONNX Runtime; `timeout_s` is for each of the two steps.

    `step` is called with the second one, which there is only if onnxsim did its work.
    """

    def check(before: Path, after: Path) -> str | None:
        step("comparing the numbers before and after")
        return _compare_apart(before, after, timeout_s=timeout_s)

    result = simplify_model(model, timeout_s=timeout_s, check=check)
    return _noted_in_card(result) if result.applied else result


def _compare_apart(before: Path, after: Path, *, timeout_s: float) -> str | None:
    """Compare in a child process: an untrusted graph can crash the runtime, or allocate any amount of memory."""
    memory_mb = MEMORY_BASE_MB + MEMORY_TIMES_SIZE * before.stat().st_size // 2**20
    limits = Limits(seconds=timeout_s, memory_mb=memory_mb)
    problem = run_isolated((*CHILD, str(before), str(after)), folder=before.parent, limits=limits)
    if problem:
        return f"comparing the numbers before and after {problem}"
    try:
        reason = json.loads((before.parent / VERDICT).read_text())["reason"]
    except (OSError, ValueError, KeyError, TypeError):
        return "comparing the numbers before and after gave no result"
    return None if reason is None else str(reason)


def compare_files(before: Path, after: Path) -> str | None:
    """Run both files on the same inputs; return what is wrong with the second, or None."""
    original = open_runner(before)
    cases = _cases(original)
    if isinstance(cases, str):
        return f"the numbers could not be compared, because the original graph does not run: {cases}"
    original.close()  # one graph at a time in memory
    try:
        problem = _compare(open_runner(after), cases)
    except ResnetxError as error:
        return f"the simplified graph does not run: {error}"
    if problem:
        again = open_runner(before)  # seeded again, so that only its second run can differ
        if _compare(again, cases) or _compare(again, cases):
            return "the graph gives different numbers in every run, so a simplified one cannot be compared with it"
        return f"onnxsim changed the numbers: {problem}"
    if _moves(cases) or _same_graph(before, after, cases[0]):
        return None
    return (
        "nothing could be proven: every output is the same for different inputs, so any graph with these constants "
        "would agree"
    )


def _moves(cases: Sequence[Case]) -> bool:
    """Whether an output tells inputs apart; where there is no input, there is nothing to tell."""
    first, *others = (case.outputs for case in cases)
    return not cases[0].feeds or any(
        first[name].shape == other[name].shape and outputs_agree({name: first[name]}, {name: other[name]})
        for other in others
        for name in first
    )


def _same_graph(before: Path, after: Path, case: Case) -> bool:
    """Whether both have the same weights and operations."""
    original = read_onnx(before)
    if stored_precision(original.graph) != "fp32":
        return False
    feeds = [case.feeds[value.name] for value in required_inputs(original)]
    return compare_with_file(read_onnx(after), original, feeds).complete


def _cases(original: Runner) -> list[Case] | str:
    """Inputs and outputs of the original, one case per batch size; or why it does not run."""
    free = has_free_sizes(original.inputs)
    problem = ""
    for free_size in FREE_SIZES if free else FREE_SIZES[:1]:
        cases = []
        for batch, seed in product(BATCHES if free else BATCHES[:1], SEEDS):
            try:
                feeds = random_feeds(original.inputs, batch=batch, seed=seed, free_size=free_size)
                cases.append(Case(batch=batch, feeds=feeds, outputs=original.run(feeds)))
            except ResnetxError as error:
                problem = problem or str(error)
        if cases:
            return cases
    return problem


def _compare(runner: Runner, cases: Sequence[Case]) -> str | None:
    for case in cases:
        problem = outputs_agree(case.outputs, runner.run(case.feeds))
        if problem:
            return f"{problem} (batch {case.batch})"
    return None


def _noted_in_card(result: Simplification) -> Simplification:
    """Set `simplified` in the card of the simplified graph."""
    with suppress(GraphError):  # an unreadable card is not changed
        card = read_card(result.model)
        if card is not None and not card.simplified:
            embed_card(result.model, replace(card, simplified=True))
            return replace(result, after=count_graph(result.model))
    return result


def main(before: Path, after: Path) -> None:
    try:
        reason = compare_files(before, after)
    except ResnetxError as error:
        reason = f"the numbers could not be compared: {error}"
    (before.parent / VERDICT).write_text(json.dumps({"reason": reason}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
