"""One case of a benchmark while it runs: its process, what it said so far, and how it ended."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resnetx.bench.plan import BenchOptions, PlannedCase
from resnetx.measure.benched import BenchCase, ColdStart, Status
from resnetx.measure.child import Child, ChildError
from resnetx.measure.disturbance import Disturbance, total


@dataclass
class RunningCase:
    """A case while it runs. Once it failed, it is asked for nothing more, and keeps what it has."""

    plan: PlannedCase
    options: BenchOptions
    child: Child | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    rounds: list[list[float]] = field(default_factory=list)
    disturbances: list[Disturbance] = field(default_factory=list)
    peak_memory_mb: float | None = None
    parity: dict[str, Any] | None = None
    status: Status = "ok"
    error: str | None = None
    deliberate: bool = False

    @property
    def alive(self) -> bool:
        return self.status == "ok" and self.child is not None

    @property
    def finished(self) -> bool:
        verified = self.parity is not None or not self.options.verify
        return verified and len(self.rounds) == self.options.rounds

    @property
    def title(self) -> str:
        return f"{self.plan.model.path.name} on {self.plan.provider}, batch {self.plan.batch}"

    def ask(self, request: Mapping[str, Any], *, more_s: float = 0.0) -> dict[str, Any] | None:
        """The answer, or None: then the case has failed, and its process is gone."""
        assert self.child is not None
        try:
            return self.child.ask(request, timeout_s=self.options.timeout_s + more_s)
        except ChildError as error:
            self.fail(str(error), "timed out" if error.timed_out else "failed", deliberate=error.deliberate)
            self.child.close()
            return None

    def fail(self, reason: str, status: Status, *, deliberate: bool = False) -> None:
        self.status, self.error, self.deliberate = status, reason, deliberate

    def result(self) -> BenchCase:
        cold = None
        if self.facts:
            cold = ColdStart(session_s=self.facts["session_s"], first_run_ms=self.facts["first_run_ms"])
        return BenchCase(
            model=str(self.plan.model.path),
            provider=self.facts.get("provider", self.plan.provider),
            batch=self.plan.batch,
            threads=self.options.threads_in_force(),
            effective_precision=self.facts.get("effective_precision", "fp32"),
            boundary=self.options.boundary,
            concurrency=self.options.concurrency,
            options=dict(self.facts.get("options", self.plan.options)),
            placement=[(str(name), int(count)) for name, count in self.facts.get("placement", [])],
            parity=self.parity,
            cold=cold,
            macs=self.plan.model.macs,
            samples_ms=[list(samples) for samples in self.rounds],
            peak_memory_mb=self.peak_memory_mb,
            status=self.status,
            error=self.error,
            warnings=total(self.disturbances).warnings(),
        )


def case_order(case: RunningCase) -> dict[str, Any]:
    model, options = case.plan.model, case.options
    return {
        "model": str(model.path.absolute()),
        "provider": case.plan.provider,
        "batch": case.plan.batch,
        "threads": options.threads_in_force(),
        "options": dict(case.plan.options),
        "boundary": options.boundary,
        "concurrency": options.concurrency,
        "warmup": options.warmup,
        "card": None if model.card is None else model.card.to_json(),
        "inputs": [[value.name, value.type, [dim or "" for dim in value.shape or ()]] for value in model.inputs],
        "outputs": [[value.name, value.type, [dim or "" for dim in value.shape or ()]] for value in model.outputs],
    }


def case_environment(folder: Path, threads: int) -> dict[str, str]:
    """The user's, with a folder for temporary files of its own: what torch.compile builds is built for this run."""
    own = {name: str(folder) for name in ("TMPDIR", "TEMP", "TMP", "TORCHINDUCTOR_CACHE_DIR")}
    return {**os.environ, **own, "OMP_NUM_THREADS": str(threads)}
