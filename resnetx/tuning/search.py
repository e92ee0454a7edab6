"""The search: each engine as it is, then the best with other threads, or with other streams and batch sizes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from resnetx.base.validation import Number
from resnetx.tuning.candidates import Candidate, Space

# What is slower by more than this at first is not tried with other settings, and not measured further: threads,
# streams and batch sizes have brought less in all measurements.
CLEARLY_SLOWER = 1.5
# Trials are short: the best one may be among those that are so much slower.
NEARLY_AS_FAST = 1.15
# Trials of a machine that is not quiet exceed a bound now and then.
NEARLY_IN_BOUND = 1.1
# A larger batch that brings less does not lead to a still larger one.
WORTH_MORE = 1.02
MOST_PARENTS, MOST_FINALISTS, MOST_OF_AN_ENGINE = 4, 5, 2


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A short measurement: images per second relative to the baseline in the same seconds, and the median latency.

    Without a speed, `problem` says why. `precision` is the one that was in effect.
    """

    candidate: Candidate
    speed: Number | None = None
    median_ms: Number | None = None
    precision: str | None = None
    problem: str | None = None


# It may end a measurement early that is clearly slower than this speed.
Measure = Callable[[Candidate, float], Trial]


def search(space: Space, measure: Measure) -> list[Trial]:
    """Every trial, in order. The same results lead to the same search, so that an interrupted one can be repeated."""
    found: dict[Candidate, Trial] = {}

    def tried(candidate: Candidate) -> Trial:
        if candidate not in found:
            found[candidate] = measure(candidate, fastest(space, found.values()))
        return found[candidate]

    for candidate in space.engines():
        tried(candidate)
    parents = _parents(space, found.values())
    if space.objective == "latency":
        for parent in parents:
            for candidate in space.with_threads(parent):
                tried(candidate)
    else:
        for parent in parents:
            for streams in space.streams(parent):
                _climb(space, replace(parent, streams=streams), tried)
    return list(found.values())


def finalists(space: Space, trials: Iterable[Trial]) -> list[Candidate]:
    """The fastest trials, the fastest of each precision, because the fastest of all may be wrong, and the baseline."""
    ranked = sorted(_usable(space, trials), key=lambda trial: -(trial.speed or 0.0))
    if not ranked:
        return []
    near = [trial for trial in ranked if _speed(trial) * NEARLY_AS_FAST >= _speed(ranked[0])]
    chosen: list[Candidate] = []
    for trial in near:
        same = sum(other.engine == trial.candidate.engine for other in chosen)
        if len(chosen) < MOST_FINALISTS and same < MOST_OF_AN_ENGINE:
            chosen.append(trial.candidate)
    return list(dict.fromkeys((*chosen, *_best_of_each(ranked), space.baseline)))


def fastest(space: Space, trials: Iterable[Trial]) -> float:
    return max((_speed(trial) for trial in _usable(space, trials)), default=0.0)


def in_bound(space: Space, trial: Trial) -> bool:
    return space.bound_ms is None or trial.median_ms is None or trial.median_ms <= NEARLY_IN_BOUND * space.bound_ms


def _climb(space: Space, start: Candidate, tried: Callable[[Candidate], Trial]) -> None:
    """Larger and larger batches, as long as they bring something."""
    before = 0.0
    for batch in space.batches:
        trial = tried(replace(start, batch=batch))
        if trial.speed is None or not in_bound(space, trial) or trial.speed < WORTH_MORE * before:
            return
        before = trial.speed


def _parents(space: Space, trials: Iterable[Trial]) -> Sequence[Candidate]:
    known = sorted((trial for trial in trials if trial.speed is not None), key=lambda trial: -_speed(trial))
    kept = [trial for trial in known if _speed(trial) * CLEARLY_SLOWER >= _speed(known[0])]
    return list(dict.fromkeys((*(trial.candidate for trial in kept[:MOST_PARENTS]), *_best_of_each(known))))


def _best_of_each(ranked: Sequence[Trial]) -> Iterable[Candidate]:
    """The fastest of each precision, because the fastest of all may turn out to be wrong."""
    return {trial.precision: trial.candidate for trial in reversed(ranked)}.values()


def _usable(space: Space, trials: Iterable[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.speed is not None and in_bound(space, trial)]


def _speed(trial: Trial) -> float:
    return trial.speed or 0.0
