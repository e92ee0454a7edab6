"""Which finalist wins: the fastest that is right; of those as fast, the one that agrees best with the float network."""

import math
from collections.abc import Sequence

from resnetx.benchmark.result import BenchCase
from resnetx.conversion.quantization.agreement import Agreement
from resnetx.tuning.candidates import Candidate, Space
from resnetx.tuning.options import TuneOptions
from resnetx.tuning.result import Finalist, p95_ms


def why_unfit(
    candidate: Candidate,
    case: BenchCase,
    agreement: Agreement | None,
    *,
    space: Space,
    options: TuneOptions,
) -> str | None:
    """Why a finalist can't win, or None."""
    if candidate.provider not in space.runs[candidate.file]:
        return "the baseline is not among the providers that were asked for"
    if case.status != "ok":
        return f"it {case.status}: {case.error}"
    if case.parity is None or not case.parity.passed:
        reason = case.parity.reason if case.parity else None
        if reason:
            return f"its outputs could not be verified: {reason}"
        failed = next((check for check in case.parity.checks if not check.passed), None) if case.parity else None
        return "its outputs are wrong" if failed is None else f"its outputs are wrong: {failed.output}: {failed.reason}"
    late = p95_ms(case)
    if options.latency_bound_ms is not None and (late is None or late > options.latency_bound_ms):
        return f"its p95 latency of {late or math.nan:.4g} ms is above {options.latency_bound_ms:g} ms"
    return _why_different(candidate, agreement, options)


def _why_different(candidate: Candidate, agreement: Agreement | None, options: TuneOptions) -> str | None:
    if options.max_drop is None or (options.evaluate is not None and candidate.file.startswith("int8")):
        return None  # the accuracy on labelled images was held when the file was made
    if agreement is None:
        return "its agreement with the float network is unknown"
    drop = 1 - agreement.top1
    return f"the best class changes on {drop:.2%} of the samples" if drop > options.max_drop else None


def choose(finalists: Sequence[Finalist], cases: Sequence[BenchCase], objective: str) -> tuple[int | None, list[int]]:
    """The place of the winner, and the places of all that are as fast as the fastest, within their intervals."""
    fit = [place for place, each in enumerate(finalists) if each.unfit is None and _interval(cases[place], objective)]
    if not fit:
        return None, []
    fastest = min(fit, key=lambda place: _cost(cases[place], objective))
    limit = (_interval(cases[fastest], objective) or (0.0, math.inf))[1]
    equals = [place for place in fit if (_interval(cases[place], objective) or (math.inf, 0.0))[0] <= limit]
    return min(equals, key=lambda place: _rank(finalists[place], _cost(cases[place], objective))), equals


def _rank(finalist: Finalist, cost: float) -> tuple[float, float, float]:
    """The lower the better; no error at all is the best signal to error."""
    agreement = finalist.agreement
    if agreement is None:
        return 1.0, 0.0, cost
    return 1 - agreement.top1, -(math.inf if agreement.sqnr_db is None else round(agreement.sqnr_db / 10)), cost


def _cost(case: BenchCase, objective: str) -> float:
    """Milliseconds for each run, or for each image."""
    images = 1 if objective == "latency" else case.batch * case.concurrency
    return (case.summary.median_ms or math.inf) / images


def _interval(case: BenchCase, objective: str) -> tuple[float, float] | None:
    found = case.summary.ci95_ms
    if found is None or case.summary.median_ms is None:
        return None
    scale = _cost(case, objective) / case.summary.median_ms
    return found[0] * scale, found[1] * scale
