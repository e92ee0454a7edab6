"""Sums over the layers of a profile, and what a reader of its figures should know."""

from collections.abc import Iterator
from dataclasses import dataclass

from resnetx.benchmark.profiling.layer import peak_gflops
from resnetx.benchmark.profiling.result import Profile


@dataclass(frozen=True, kw_only=True)
class Total:
    """The layers of one operator, kernel and precision."""

    operator: str
    kernel: str
    precision: str
    layers: int
    time_ms: float
    share: float


def totals_of(profile: Profile) -> tuple[Total, ...]:
    """The layers by operator, kernel and precision, the longest first."""
    kinds: dict[tuple[str, str, str], list[float]] = {}
    for layer in profile.layers:
        kinds.setdefault((layer.operator, layer.kernel, layer.precision), []).append(layer.time_ms)
    totals = [
        Total(
            operator=operator,
            kernel=kernel,
            precision=precision,
            layers=len(times),
            time_ms=sum(times),
            share=sum(times) / profile.run_ms,
        )
        for (operator, kernel, precision), times in kinds.items()
    ]
    return tuple(sorted(totals, key=lambda total: -total.time_ms))


def notes_of(profile: Profile) -> Iterator[str]:
    """What a reader of the figures should know."""
    yield from profile.notes
    if profile.limits_problem:
        yield f"The machine's limits were not measured: {profile.limits_problem}"
    figures = profile.figures
    for bound, words in (
        ("memory", "the memory's bandwidth; what they read was still in a cache, or the measured peak was disturbed"),
        ("compute", "the measured peak of their precision, which was disturbed"),
    ):
        count = sum(each.faster_than_limit and each.bound == bound for each in figures)
        if count:
            yield f"{count} of {len(figures)} layers were faster than {words}: their share of it is not given."
    hidden = sum(each.layer.macs is None for each in figures)
    if hidden:
        yield f"The multiply-accumulates of {hidden} layer{'s' if hidden > 1 else ''} are unknown."


def known_peaks(profile: Profile) -> list[tuple[str, float]]:
    """The measured peaks of the precisions that its layers compute in."""
    found = dict.fromkeys(layer.precision for layer in profile.layers if layer.macs)
    return [(name, peak) for name in found if (peak := peak_gflops(profile.limits, name))]
