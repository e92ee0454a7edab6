"""What a search found, in words and rows that the terminal and the page share."""

from dataclasses import dataclass

from resnetx.benchmark.result import BenchCase
from resnetx.report.profile_words import number
from resnetx.tuning.result import Finalist, Tuning
from resnetx.tuning.search import Trial


@dataclass(frozen=True, kw_only=True)
class FinalistRow:
    """`mark` is `*` for the winner, and `=` for those that are as fast within their intervals."""

    place: int
    finalist: Finalist
    case: BenchCase
    mark: str
    optimal: bool


def finalist_rows(result: Tuning) -> list[FinalistRow]:
    """In the order of the objective, the best first."""
    optimal = set(result.pareto)
    rows = [
        FinalistRow(
            place=place,
            finalist=finalist,
            case=case,
            mark="*" if place == result.winner else "=" if place in result.equals else "",
            optimal=place in optimal,
        )
        for place, (finalist, case) in enumerate(zip(result.finalists, result.benchmark.cases, strict=True))
    ]
    return sorted(rows, key=lambda row: _order(row, result.objective))


def _order(row: FinalistRow, objective: str) -> tuple[bool, float]:
    summary = row.case.summary
    value = summary.median_ms if objective == "latency" else -(summary.images_per_s or 0.0)
    return row.mark != "*", float("inf") if value is None else value


def trial_rows(result: Tuning) -> list[tuple[Trial, str]]:
    """The fastest first, each with what became of it."""
    final = {finalist.candidate for finalist in result.finalists}
    best = max((trial.speed or 0.0 for trial in result.trials), default=0.0)
    ranked = sorted(result.trials, key=lambda trial: -(trial.speed or 0.0))
    return [(trial, _outcome(trial, trial.candidate in final, best, result.bound_ms)) for trial in ranked]


def _outcome(trial: Trial, final: bool, best: float, bound_ms: float | None) -> str:
    if trial.speed is None:
        return trial.problem or "it failed"
    if final:
        return "finalist"
    if bound_ms is not None and trial.median_ms is not None and trial.median_ms > bound_ms:
        return "above the latency bound"
    return (
        f"{best / trial.speed:.2f} times slower than the best" if best > 1.005 * trial.speed else "as fast as the best"
    )


def winner_in_words(result: Tuning) -> str:
    if result.best is None:
        reasons = {finalist.unfit for finalist in result.finalists if finalist.unfit}
        why = f": {'; '.join(sorted(reasons))}" if reasons else ", because none ran within the bound"
        return f"No candidate is right and holds what was asked for{why}."
    finalist, case = result.best
    speed = base_speed(result)
    times = "" if speed is None else f", {speed:.2f} times the file as it is on cpu"
    rate = number(case.summary.images_per_s or 0.0)
    figures = f"median {case.summary.median_ms:.4g} ms, {rate} images/s at the median"
    return f"Best for {result.objective}: {finalist.candidate.title}: {figures}{times}."


def base_speed(result: Tuning) -> float | None:
    """Images per second of the winner over those of the baseline; None if it is the baseline."""
    if result.winner is None or result.baseline in (None, result.winner):
        return None
    won, base = (result.benchmark.cases[place].summary.images_per_s for place in (result.winner, result.baseline))
    return won / base if won and base else None
