"""The result of a search: every trial, the finalists beside each other, and the winner."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from resnetx.base.text import readable
from resnetx.base.validation import Name, Number
from resnetx.benchmark.result import BenchCase, Benchmark
from resnetx.benchmark.samples import valid_rounds
from resnetx.conversion.quantization.agreement import Agreement
from resnetx.tuning.candidates import Candidate
from resnetx.tuning.search import Trial

SCHEMA = "resnetx.tuning/1"


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A candidate that was measured at length. `unfit` is why it can't win; `agreement` is None where unknown."""

    candidate: Candidate
    agreement: Agreement | None = None
    unfit: str | None = None


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """`benchmark` has a case for each of the `finalists`, in their order. `files` says what became of each file.

    `winner` and `baseline` are places among them, and `equals` those whose speed is not significantly different from
    that of the fastest.
    """

    source: Name
    folder: Name
    objective: Name
    bound_ms: Number | None
    trials: tuple[Trial, ...]
    finalists: tuple[Finalist, ...]
    benchmark: Benchmark
    winner: int | None = None
    baseline: int | None = None
    equals: tuple[int, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def best(self) -> tuple[Finalist, BenchCase] | None:
        return None if self.winner is None else (self.finalists[self.winner], self.benchmark.cases[self.winner])

    def __repr__(self) -> str:
        if self.best is None:
            return f"<Tuning of {readable(self.source, 60)}: nothing correct was faster>"
        finalist, case = self.best
        return f"<Tuning of {readable(self.source, 60)}: {finalist.candidate.title}, {case.summary.median_ms:.3g} ms>"

    @property
    def pareto(self) -> tuple[int, ...]:
        """The fit finalists that no other one beats in latency, throughput and agreement."""
        fit = [place for place, each in enumerate(self.finalists) if each.unfit is None]
        return tuple(place for place in fit if not any(self._beats(other, place) for other in fit))

    def _beats(self, one: int, other: int) -> bool:
        ours, theirs = self._figures(one), self._figures(other)
        return ours != theirs and all(a >= b for a, b in zip(ours, theirs, strict=True))

    def _figures(self, place: int) -> tuple[float, float, float]:
        """Each the higher the better."""
        summary, agreement = self.benchmark.cases[place].summary, self.finalists[place].agreement
        return -(summary.median_ms or 0.0), summary.images_per_s or 0.0, 0.0 if agreement is None else agreement.top1

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"schema": SCHEMA, **asdict(self), "pareto": self.pareto}
        return data | {"benchmark": self.benchmark.to_json()}


def p95_ms(case: BenchCase) -> float | None:
    """The 95th percentile of all samples, also where they are few."""
    samples = [sample for samples in valid_rounds(case) for sample in samples]
    return float(np.percentile(samples, 95)) if samples else None
