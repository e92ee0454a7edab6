"""One case of a benchmark while it runs: its process, its results so far, and its status."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from resnetx.base.worker_process import Child, ChildError
from resnetx.benchmark.loadgen.result import LoadResult
from resnetx.benchmark.messages import CaseOrder, Opened, Tensor, Usage
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.plan import PlannedCase
from resnetx.benchmark.result import BenchCase, ColdStart, Status, Verdict
from resnetx.graph.inspection.inspect import ValueInfo
from resnetx.machine.cpu_contention import total
from resnetx.machine.energy import total_energy
from resnetx.machine.threads import default_threads
from resnetx.runtime.catalog import runs_on_gpu

T = TypeVar("T")


@dataclass
class RunningCase:
    """A case while it runs. After a failure it gets no more requests, and keeps its results so far."""

    plan: PlannedCase
    options: BenchOptions
    child: Child | None = None
    opened: Opened | None = None
    rounds: list[list[float]] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)
    # Of the rounds that count: a rate search makes many runs, but energy is reported for one of them only.
    energies: list[Mapping[str, float]] = field(default_factory=list)
    parity: Verdict | None = None
    status: Status = "ok"
    error: str | None = None
    deliberate: bool = False
    load: LoadResult | None = None
    loaded: bool = False
    # The model's name, if it is not its path.
    name: str | None = None

    @property
    def alive(self) -> bool:
        return self.status == "ok" and self.child is not None

    @property
    def on_gpu(self) -> bool:
        opened = self.opened
        return opened is not None and not opened.fallback and runs_on_gpu(opened.provider, opened.options)

    @property
    def finished(self) -> bool:
        verified = self.parity is not None or not self.options.verify
        return verified and (self.loaded or len(self.rounds) == self.options.rounds)

    @property
    def title(self) -> str:
        return f"{self.name or self.plan.model.path.name} on {self.plan.provider}, batch {self.plan.batch}"

    def ask(self, request: Mapping[str, Any], kind: type[T], *, more_s: float = 0.0) -> T | None:
        """The answer, or None if the case failed; then its process has ended."""
        assert self.child is not None
        try:
            return self.child.ask(request, kind, timeout_s=self.options.timeout_s + more_s)
        except ChildError as error:
            self.fail(str(error), "timed out" if error.timed_out else "failed", deliberate=error.deliberate)
            self.child.close()
            return None

    def took(self, usage: Usage) -> None:
        """Record what the worker's meters measured during a round."""
        self.usages.append(usage)
        self.energies.append(usage.energy_j)

    def fail(self, reason: str, status: Status, *, deliberate: bool = False) -> None:
        self.status, self.error, self.deliberate = status, reason, deliberate

    def result(self) -> BenchCase:
        opened = self.opened
        cold = None
        if opened is not None:
            cold = ColdStart(session_s=opened.session_s, first_run_ms=opened.first_run_ms, engine=opened.engine)
        energy_j, energy_of = total_energy(self.energies)
        last = self.usages[-1] if self.usages else Usage()
        return BenchCase(
            model=self.name or str(self.plan.model.path),
            provider=opened.provider if opened else self.plan.provider,
            batch=self.plan.batch,
            threads=self.options.threads or default_threads(),
            effective_precision=opened.effective_precision if opened else "fp32",
            boundary=self.options.boundary,
            concurrency=self.options.concurrency,
            options=opened.options if opened else dict(self.plan.options),
            provider_options=dict(self.plan.options),
            model_sha256=self.plan.model.sha256,
            fallback=opened.fallback if opened else None,
            placement=opened.placement if opened else [],
            parity=self.parity,
            cold=cold,
            macs=self.plan.model.macs,
            samples_ms=[list(samples) for samples in self.rounds],
            load=self.load,
            peak_memory_mb=last.peak_memory_mb,
            gpu_memory_mb=last.gpu_memory_mb,
            energy_j=energy_j,
            energy_of=energy_of,
            status=self.status,
            error=self.error,
            warnings=[*self._fallback_warning(), *total([u.disturbance for u in self.usages]).warnings(), *last.notes],
        )

    def _fallback_warning(self) -> list[str]:
        opened = self.opened
        if opened is None or opened.fallback is None:
            return []
        provider, places = opened.provider, [name for name, _ in opened.placement]
        others = " and ".join(name for name in places if name != provider) or "another provider"
        return [
            f"It ran on {others} {'as well as' if provider in places else 'instead of'} {provider}: {opened.fallback}."
        ]


def case_order(case: RunningCase) -> CaseOrder:
    model = case.plan.model
    return CaseOrder(
        model=str(model.path.absolute()),
        provider=case.plan.provider,
        batch=case.plan.batch,
        options=dict(case.plan.options),
        settings=case.options,
        digest=model.digest,
        card=None if model.card is None else model.card.to_json(),
        inputs=_tensors(model.inputs),
        outputs=_tensors(model.outputs),
    )


def _tensors(values: Sequence[ValueInfo]) -> list[Tensor]:
    return [(value.name, value.type, ["" if dim is None else dim for dim in value.shape or ()]) for value in values]


def open_request(case: RunningCase) -> dict[str, Any]:
    return {"do": "open", "order": asdict(case_order(case))}


def case_environment(folder: Path, threads: int) -> dict[str, str]:
    """The user's environment with a separate temporary folder, so that torch.compile does not reuse older builds."""
    own = {name: str(folder) for name in ("TMPDIR", "TEMP", "TMP", "TORCHINDUCTOR_CACHE_DIR")}
    return {**os.environ, **own, "OMP_NUM_THREADS": str(threads)}
