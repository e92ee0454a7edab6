"""Adds samples that reach the channels of a network which no other sample reaches."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from resnetx.verification.coverage import cover, measure_coverage
from resnetx.verification.coverage_result import Coverage
from resnetx.verification.feeds import LARGEST_HALF
from resnetx.verification.pytorch_reference import Network, run_references
from resnetx.verification.reference_outputs import Outputs
from resnetx.verification.references import Truth

ByBatch = Callable[[int], Outputs]
# Forward passes of one sample. Where weights and graph are proved, no input needs to reach them.
BUDGET = 48


def with_reach(truth: Truth, network: Network, *, precision: str, proved: bool) -> tuple[Truth, Coverage]:
    """Measure what the samples reach and, unless the file is proved to be the network, add samples for the rest."""
    pool = [np.concatenate(arrays) for arrays in zip(*truth.probes, strict=True)]
    if proved or precision == "int8":
        return truth, measure_coverage(network.module, pool, wrapper=network.wrapper)
    limit = LARGEST_HALF if precision == "fp16" else 1e30
    arrays, coverage = cover(network.module, pool, budget=BUDGET, limit=limit, wrapper=network.wrapper)
    if not coverage.added:
        return truth, coverage
    size = len(truth.probes[0][0]) if truth.fixed else coverage.added
    rows = [-coverage.added + place % coverage.added for place in range(size)]
    added = [array[rows] for array in arrays]
    precisions = [name for name in truth.samples.outputs.noisy if name in ("fp32", "fp16", "bf16")]
    new = run_references(network, [added], precisions=precisions)
    old, number = truth.samples, len(truth.samples.groups)
    outputs = replace(
        old.outputs,
        truth=[*old.outputs.truth, *new.truth],
        noisy={name: [*runs, *new.noisy[name]] for name, runs in old.outputs.noisy.items() if name in new.noisy},
        perturbed=_joined(old.outputs.perturbed, new.perturbed, number),
        sway=_joined(old.outputs.sway, new.sway, number),
    )
    batch = (number, tuple(range(size)))
    samples = replace(old, groups=[*old.groups, added], outputs=outputs, arrangement=(*old.arrangement, batch))
    return replace(truth, samples=samples, probes=[*truth.probes, added]), coverage


def _joined(old: ByBatch | None, new: ByBatch | None, count: int) -> ByBatch | None:
    """What `old` computes for the first `count` batches and `new` for those that follow."""
    if old is None or new is None:
        return None
    return lambda index: old(index) if index < count else new(index - count)
