"""Compares the outputs of a runner with a reference, for verify, export and bench."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from resnetx.base.precisions import EPSILON
from resnetx.base.text import readable
from resnetx.errors import UsageError
from resnetx.graph.card import ModelCard
from resnetx.graph.layers import expose, softmax_input
from resnetx.model.preprocessing import output_names
from resnetx.runtime.runner import Feeds as NamedArrays
from resnetx.runtime.runner import Runner
from resnetx.verification.checks import run_batches, verify_classifier, verify_module
from resnetx.verification.parity import Check, Parity, Tolerance
from resnetx.verification.reference_outputs import Feeds
from resnetx.verification.references import Truth

# How far two runs of the same input may differ, of the largest number: at least so much, or so many roundings.
SAME_RUN, SAME_RUN_ROUNDINGS = 1e-3, 8
Run = Callable[[NamedArrays], dict[str, np.ndarray]]
# Opens another graph of the same model with the same options.
Reopen = Callable[[bytes | Path], Runner]
# The logits of a classifier with another output, for each batch.
HiddenLogits = Callable[[Feeds], list[np.ndarray]]


def judge(
    runner: Runner,
    truth: Truth,
    card: ModelCard | None,
    *,
    precision: str,
    hidden_logits: HiddenLogits | None = None,
    tolerance: Tolerance | None = None,
    run: Run | None = None,
) -> tuple[Parity, bool, list[np.ndarray]]:
    """Check every batch, and repeat one after the last; also return whether its bits were equal.

    The third are the logits of each batch or, of another network, its first output. `run` replaces `runner.run`.
    Outputs for inputs of other sizes are rows of their own.
    """
    run = run or runner.run
    runs = run_batches(runner, truth.feeds, run)
    repeated = len(truth.feeds) // 2
    again = run_batches(runner, [truth.feeds[repeated]], run)
    outputs = tuple(output.name for output in runner.outputs)
    if truth.outputs == ("logits",) and card is not None and card.config is not None:
        if set(output_names(card.output)) != set(outputs):
            wrong = f"the card says {card.output}, but the outputs of the file are {', '.join(outputs)}"
            check = Check(output=card.output, batch=len(truth.feeds[0][0]), passed=False, reason=readable(wrong))
            return Parity(precision=precision, checks=(check,)), True, []
        if card.output == "logits":
            logits = [each[outputs[0]] for each in runs]
        else:
            logits = hidden_logits(truth.feeds) if hidden_logits else [np.empty(0) for _ in runs]
        checks = verify_classifier(
            truth.references, runs, logits, output=card.output, precision=precision, tolerance=tolerance
        )
    elif set(truth.outputs) != set(outputs):
        raise UsageError(f"The reference has the outputs {truth.outputs}, but the model has {outputs}.")
    else:
        logits = [each[truth.outputs[0]] for each in runs]
        checks = verify_module(truth.references, runs, names=truth.outputs, precision=precision, tolerance=tolerance)
    same = all(np.array_equal(runs[repeated][name], again[0][name], equal_nan=True) for name in again[0])
    checks = (*checks, *_repeated(runs[repeated], again[0], precision))
    for size, other in truth.other_sizes:
        found, *_ = judge(runner, other, card, precision=precision, tolerance=tolerance, run=run)
        checks += tuple(replace(check, output=f"{check.output}, {size}") for check in found.checks)
    return Parity(precision=precision, checks=checks), same, logits


def file_logits(model: onnx.ModelProto, reopen: Reopen) -> HiddenLogits:
    """The input of a file's last Softmax; empty arrays, which fail, if it has none."""

    def logits(feeds: Feeds) -> list[np.ndarray]:
        name = softmax_input(model)
        if name is None:
            return [np.empty(0) for _ in feeds]
        inner = reopen(expose(model, name).SerializeToString())
        return [run[name] for run in run_batches(inner, feeds)]

    return logits


def _repeated(first: dict[str, np.ndarray], second: dict[str, np.ndarray], precision: str) -> list[Check]:
    """Compare two runs of the same input: rounding may differ slightly, a stale or uninitialized buffer more.

    A GPU may add in another order in each run, so that two runs in fp16 differ by more than one rounding.
    """
    checks = []
    share = max(SAME_RUN, SAME_RUN_ROUNDINGS * EPSILON[precision])
    for name, before in first.items():
        scale = float(np.abs(before[np.isfinite(before)]).max(initial=0.0)) or 1.0
        same = before.shape == second[name].shape and np.allclose(
            second[name], before, rtol=0, atol=share * scale, equal_nan=True
        )
        if not same:
            reason = "two runs of the same input gave different outputs"
            checks.append(Check(output=name, batch=len(before) if before.ndim else 1, passed=False, reason=reason))
    return checks
