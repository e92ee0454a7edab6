"""One case of a benchmark while it runs: its process, what it said so far, and how it ended."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resnetx.base.worker_process import Child, ChildError
from resnetx.benchmark.loadgen.result import LoadResult
from resnetx.benchmark.plan import BenchOptions, PlannedCase
from resnetx.benchmark.result import BenchCase, ColdStart, Status
from resnetx.machine.cpu_contention import Disturbance, total
from resnetx.machine.energy import total_energy
from resnetx.machine.gpus import runs_on_gpu


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
    gpu_memory_mb: float | None = None
    energies: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    parity: dict[str, Any] | None = None
    status: Status = "ok"
    error: str | None = None
    deliberate: bool = False
    load: LoadResult | None = None
    loaded: bool = False
    # What the model is called where that is not its path.
    name: str | None = None

    @property
    def alive(self) -> bool:
        return self.status == "ok" and self.child is not None

    @property
    def on_gpu(self) -> bool:
        facts = self.facts
        return bool(facts) and not facts.get("fallback") and runs_on_gpu(facts["provider"], facts["options"])

    @property
    def finished(self) -> bool:
        verified = self.parity is not None or not self.options.verify
        return verified and (self.loaded or len(self.rounds) == self.options.rounds)

    @property
    def title(self) -> str:
        return f"{self.name or self.plan.model.path.name} on {self.plan.provider}, batch {self.plan.batch}"

    def ask(self, request: Mapping[str, Any], *, more_s: float = 0.0) -> dict[str, Any] | None:
        """The answer, or None: then the case has failed, and its process is gone."""
        assert self.child is not None
        try:
            return self.child.ask(request, timeout_s=self.options.timeout_s + more_s)
        except ChildError as error:
            self.fail(str(error), "timed out" if error.timed_out else "failed", deliberate=error.deliberate)
            self.child.close()
            return None

    def took(self, answer: Mapping[str, Any]) -> None:
        """What a round took besides time, as the worker's meters tell it."""
        self.peak_memory_mb = answer["peak_memory_mb"]
        self.gpu_memory_mb = answer.get("gpu_memory_mb")
        self.energies.append(answer.get("energy_j", {}))
        self.notes = answer.get("notes", [])
        self.disturbances.append(Disturbance(**answer.get("disturbance", {})))

    def fail(self, reason: str, status: Status, *, deliberate: bool = False) -> None:
        self.status, self.error, self.deliberate = status, reason, deliberate

    def result(self) -> BenchCase:
        cold = None
        if self.facts:
            cold = ColdStart(
                session_s=self.facts["session_s"],
                first_run_ms=self.facts["first_run_ms"],
                engine=self.facts.get("engine"),
            )
        energy_j, energy_of = total_energy(self.energies)
        return BenchCase(
            model=self.name or str(self.plan.model.path),
            provider=self.facts.get("provider", self.plan.provider),
            batch=self.plan.batch,
            threads=self.options.threads_in_force(),
            effective_precision=self.facts.get("effective_precision", "fp32"),
            boundary=self.options.boundary,
            concurrency=self.options.concurrency,
            options=dict(self.facts.get("options", self.plan.options)),
            provider_options=dict(self.plan.options),
            model_sha256=self.plan.model.sha256,
            fallback=self.facts.get("fallback"),
            placement=[(str(name), int(count)) for name, count in self.facts.get("placement", [])],
            parity=self.parity,
            cold=cold,
            macs=self.plan.model.macs,
            samples_ms=[list(samples) for samples in self.rounds],
            load=self.load,
            peak_memory_mb=self.peak_memory_mb,
            gpu_memory_mb=self.gpu_memory_mb,
            energy_j=energy_j,
            energy_of=energy_of,
            status=self.status,
            error=self.error,
            warnings=[*self._fallback_warning(), *total(self.disturbances).warnings(), *self.notes],
        )

    def _fallback_warning(self) -> list[str]:
        reason = self.facts.get("fallback")
        if reason is None:
            return []
        provider, places = self.facts["provider"], [name for name, _ in self.facts["placement"]]
        others = " and ".join(name for name in places if name != provider) or "another provider"
        return [f"It ran on {others} {'as well as' if provider in places else 'instead of'} {provider}: {reason}."]


def case_order(case: RunningCase) -> dict[str, Any]:
    model, options = case.plan.model, case.options
    return {
        "model": str(model.path.absolute()),
        "provider": case.plan.provider,
        "batch": case.plan.batch,
        "threads": options.threads_in_force(),
        "options": dict(case.plan.options),
        "allow_fallback": options.allow_fallback,
        "boundary": options.boundary,
        "concurrency": options.concurrency,
        "scenario": None if options.load is None else options.load.scenario,
        "warmup": options.warmup,
        "card": None if model.card is None else model.card.to_json(),
        "inputs": [[value.name, value.type, [dim or "" for dim in value.shape or ()]] for value in model.inputs],
        "outputs": [[value.name, value.type, [dim or "" for dim in value.shape or ()]] for value in model.outputs],
    }


def case_environment(folder: Path, threads: int) -> dict[str, str]:
    """The user's, with a folder for temporary files of its own: what torch.compile builds is built for this run."""
    own = {name: str(folder) for name in ("TMPDIR", "TEMP", "TMP", "TORCHINDUCTOR_CACHE_DIR")}
    return {**os.environ, **own, "OMP_NUM_THREADS": str(threads)}
