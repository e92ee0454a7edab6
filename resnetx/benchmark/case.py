"""One case of a benchmark while it runs: its current process, its results so far, and its status."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from resnetx.base.isolation import OUT_OF_MEMORY
from resnetx.base.progress import OnProgress, ignore
from resnetx.base.worker_process import Child, ChildError
from resnetx.benchmark.loadgen.result import LoadResult
from resnetx.benchmark.memory import case_memory_mb
from resnetx.benchmark.messages import CaseOrder, Opened, RoundDone, Tensor, Usage
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.plan import PlannedCase
from resnetx.benchmark.result import BenchCase, ColdStart, Status, Verdict
from resnetx.graph.inspection.inspect import ValueInfo
from resnetx.machine.cpu_contention import total
from resnetx.machine.energy import total_energy
from resnetx.machine.threads import default_threads
from resnetx.runtime.catalog import BY_NAME, pinned_environment, runs_on_gpu

T = TypeVar("T")
# A process that starts from a cache takes a small part of the time that compiling took.
FROM_CACHE = 0.5


@dataclass
class RunningCase:
    """A case while it runs. After a failure it gets no more requests, and keeps its results so far.

    `process` is the number of the current process, from 1. `opened` is what the first one reported, `now` what the
    current one did.
    """

    plan: PlannedCase
    options: BenchOptions
    worker: Sequence[str] = ()
    folder: Path = Path()
    child: Child | None = None
    process: int = 0
    opened: Opened | None = None
    now: Opened | None = None
    starts: list[ColdStart] = field(default_factory=list)
    rounds: list[list[float]] = field(default_factory=list)
    round_processes: list[int] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)
    # Of the rounds that count: a rate search makes many runs, but energy is reported for one of them only.
    energies: list[Mapping[str, float]] = field(default_factory=list)
    parity: Verdict | None = None
    verified_answers: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
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

    @property
    def restarts(self) -> bool:
        """Whether it gets a new process in each wave: not if that would build an engine for minutes each time."""
        opened = self.opened
        row = None if opened is None else BY_NAME.get(opened.provider)
        return row is None or not row.builds_for_minutes or (opened is not None and opened.engine is not None)

    @property
    def usual_start_s(self) -> float:
        """The first start may compile, and reads files that are not in memory yet."""
        known = [start.start_s for start in self.starts if start.start_s is not None]
        return median(known[1:] or known or [0.0])

    def start(self, progress: OnProgress = ignore) -> None:
        """Start a process and open the case in it. Its folder is that of all its processes, for compilers' caches."""
        begin = time.perf_counter()
        self.process += 1
        threads = self.options.threads or default_threads()
        pinned = pinned_environment([self.plan.provider], self.plan.options, self.options.precision)
        environment = case_environment(self.folder, threads) | pinned
        memory_mb = self.options.memory_mb or case_memory_mb(self.plan)
        self.child = Child(self.worker, folder=self.folder, environment=environment, memory_mb=memory_mb)
        opened = self.now = self.ask(open_request(self), Opened, progress=progress)
        if opened is None:
            return
        if self.opened is not None and _setup(opened) != _setup(self.opened):
            self.fail(
                f"it does not run as in the first process: {_setup(opened)} instead of {_setup(self.opened)}",
                "failed",
            )
            self.close()
            return
        self.opened = self.opened or opened
        self.starts.append(
            ColdStart(
                session_s=opened.session_s,
                first_run_ms=opened.first_run_ms,
                engine=opened.engine,
                start_s=time.perf_counter() - begin,
            )
        )

    def close(self) -> None:
        """End the current process."""
        if self.child is not None:
            self.child.close()

    def ask(
        self, request: Mapping[str, Any], kind: type[T], *, more_s: float = 0.0, progress: OnProgress = ignore
    ) -> T | None:
        """The answer, or None if the case failed; then its process has ended."""
        assert self.child is not None
        try:
            return self.child.ask(request, kind, timeout_s=self.options.timeout_s + more_s, progress=progress)
        except ChildError as error:
            advice = "; allow more with --memory-mb" if error.kind == OUT_OF_MEMORY else ""
            self.fail(f"{error}{advice}", "timed out" if error.timed_out else "failed", deliberate=error.deliberate)
            self.child.close()
            return None

    def took_round(self, done: RoundDone) -> None:
        self.rounds.append(done.samples_ms)
        self.round_processes.append(self.process - 1)
        self.took(done.usage)

    def took(self, usage: Usage) -> None:
        """Record what the worker's meters measured during a round."""
        self.usages.append(usage)
        self.energies.append(usage.energy_j)

    @property
    def verified(self) -> bool:
        """Whether the current process gave answers that were verified already, bit for bit."""
        return self.now is not None and self.now.answers in self.verified_answers

    def judged(self, verdict: Verdict) -> None:
        """Keep the verdict on the current process if it is the first, or the first that failed."""
        if self.now is not None and self.now.answers is not None:
            self.verified_answers.add(self.now.answers)
        if self.parity is None:
            self.parity = verdict
        elif self.parity.passed and not verdict.passed:
            self.parity = verdict
            self.notes.append(f"The outputs of process {self.process} are wrong; those of the first were right.")

    def fail(self, reason: str, status: Status, *, deliberate: bool = False) -> None:
        which = f"process {self.process}: " if self.process > 1 else ""
        self.status, self.error, self.deliberate = status, which + reason, deliberate

    def result(self) -> BenchCase:
        opened = self.opened
        energy_j, energy_of = total_energy(self.energies)
        last = self.usages[-1] if self.usages else Usage()
        memory = [usage.peak_memory_mb for usage in self.usages if usage.peak_memory_mb is not None]
        gpu_memory = [usage.gpu_memory_mb for usage in self.usages if usage.gpu_memory_mb is not None]
        return BenchCase(
            model=self.name or str(self.plan.model.path),
            provider=opened.provider if opened else self.plan.provider,
            batch=self.plan.batch,
            threads=self.options.threads or default_threads(),
            effective_precision=opened.effective_precision if opened else "fp32",
            boundary=self.options.boundary,
            concurrency=self.options.concurrency,
            precision=self.options.precision,
            options=opened.options if opened else dict(self.plan.options),
            provider_options=dict(self.plan.options),
            model_sha256=self.plan.model.sha256,
            fallback=opened.fallback if opened else None,
            placement=opened.placement if opened else [],
            kernels=opened.kernels if opened else [],
            parity=self.parity,
            cold=self.starts[0] if self.starts else None,
            restarts=self.starts[1:],
            macs=self.plan.model.macs,
            samples_ms=[list(samples) for samples in self.rounds],
            round_processes=list(self.round_processes),
            load=self.load,
            peak_memory_mb=max(memory, default=None),
            gpu_memory_mb=max(gpu_memory, default=None),
            energy_j=energy_j,
            energy_of=energy_of,
            status=self.status,
            error=self.error,
            warnings=[
                *self._fallback_warning(),
                *(opened.notes if opened else ()),
                *self._restart_warnings(),
                *self.notes,
                *total([usage.disturbance for usage in self.usages]).warnings(),
                *last.notes,
            ],
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

    def _restart_warnings(self) -> list[str]:
        """Whether a runner that compiles for long did so in each process, or ran in one process only to avoid that."""
        opened = self.opened
        row = None if opened is None else BY_NAME.get(opened.provider)
        if row is None or not (row.builds_for_minutes or row.compiles_each_batch):
            return []
        if not self.restarts and self.options.processes != 1:
            return ["All rounds ran in one process, because its engine takes minutes to build and is not cached."]
        opening = [start.session_s + start.first_run_ms / 1e3 for start in self.starts]
        if len(opening) > 1 and median(opening[1:]) > FROM_CACHE * opening[0]:
            return [f"Each process compiled the model again, for about {median(opening[1:]):.1f} s."]
        return []


def _setup(opened: Opened) -> dict[str, object]:
    """What all processes of a case must have in common."""
    return {
        "precision": opened.effective_precision,
        "placement": dict(opened.placement),
        "fallback": opened.fallback,
    }


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
