"""The result of a benchmark: raw samples by case and round, what ran, its verdict, and the figures derived from them.

Versions of the format, all of which `result_file.py` reads:
1. settings as specified, mixed with facts about the run; verdicts as untyped objects.
2. settings are `BenchOptions`; `limits_problem`, `interleaved_with` and `against` are fields of the run.
3. a case runs in several processes: `round_processes` and `restarts`. Cases of older versions ran in one.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from resnetx.base.precisions import SessionPrecision
from resnetx.base.text import readable
from resnetx.base.validation import Count, Facts, Large, Number, Positive
from resnetx.base.vocabulary import Boundary
from resnetx.benchmark.loadgen.result import LoadResult
from resnetx.benchmark.options import MAX_PROCESSES, MAX_ROUNDS, BenchOptions
from resnetx.verification.parity import Check, json_safe

SCHEMA = "resnetx.bench/3"
MAX_CASES = 10_000
Status = Literal["ok", "failed", "timed out", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The machine's peaks, measured in the same run with the same number of threads; None if not measured.

    GPU peaks are measured if a case runs on the GPU.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    threads: Positive
    fp32_gflops: Number | None = None
    bf16_gflops: Number | None = None
    int8_gops: Number | None = None
    bandwidth_gb_s: Number | None = None
    gpu_fp32_gflops: Number | None = None
    gpu_tf32_gflops: Number | None = None
    gpu_fp16_gflops: Number | None = None
    gpu_bf16_gflops: Number | None = None
    gpu_int8_gops: Number | None = None
    gpu_bandwidth_gb_s: Number | None = None

    def peak_gflops(self, precision: str, *, gpu: bool = False) -> float | None:
        """The peak in a precision, if it was measured."""
        name = f"{'gpu_' if gpu else ''}{precision}_{'gops' if precision == 'int8' else 'gflops'}"
        peak: float | None = vars(self).get(name)
        return peak


def best_of(first: Limits, second: Limits) -> Limits:
    """The higher of each peak."""
    pairs = {name: (value, getattr(second, name)) for name, value in vars(first).items()}
    known = {name: [value for value in pair if value is not None] for name, pair in pairs.items()}
    return replace(first, **{name: max(values) for name, values in known.items() if values})


@dataclass(frozen=True, kw_only=True)
class ColdStart:
    """One-time costs of a process: opening the session, and the first run.

    `start_s` is the time from its start until it could be timed: imports, session, first run and warm-up. `engine` is
    the origin of TensorRT's engine if it is cached: `built` (most of `session_s`) or `from cache`.
    """

    session_s: Number
    first_run_ms: Number
    engine: str | None = None
    start_s: Number | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The timed session compared with `reference`, or the `reason` why it could not be compared; then it has failed."""

    reference: str | None = None
    precision: str | None = None
    checks: tuple[Check, ...] = ()
    reason: str | None = None

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A case's figures, derived from its samples; None if there are too few samples.

    `images_per_s` is the throughput at the median time of a run, in an MLPerf scenario LoadGen's; `mean_images_per_s`
    that of all images over the time of all runs. `limit_withheld` is why there is no `limit_fraction`, where what ran
    was faster than the measured limit. `process_spread` is by how much processes differ: the standard deviation between
    them, as a share of the median.
    """

    median_ms: float | None = None
    ci95_ms: tuple[float, float] | None = None
    percentiles_ms: dict[str, float | None] | None = None
    images_per_s: float | None = None
    mean_images_per_s: float | None = None
    mean_images_per_s_ci95: tuple[float, float] | None = None
    limit_fraction: float | None = None
    limit_withheld: str | None = None
    joules_per_image: float | None = None
    process_spread: float | None = None

    def to_json(self) -> dict[str, Any]:
        latency = {"median": self.median_ms, "ci95": self.ci95_ms, **(self.percentiles_ms or {})}
        return {
            "latency_ms": latency,
            "images_per_s": self.images_per_s,
            "mean_images_per_s": self.mean_images_per_s,
            "mean_images_per_s_ci95": self.mean_images_per_s_ci95,
            "limit_fraction": self.limit_fraction,
            "limit_withheld": self.limit_withheld,
            "joules_per_image": self.joules_per_image,
            "process_spread": self.process_spread,
        }


@dataclass(frozen=True, kw_only=True)
class BenchCase:
    """One model on one provider with one batch size. `samples_ms` holds one list per round, in order of execution.

    `round_processes` is the number of the process that ran each round, from 0; empty if all rounds ran in one. `cold`
    is the start of the first process, `restarts` are those of the others, which find engines and files in caches.
    `kernels` is the number of heavy layers by the kernel that runs them, if the engine tells. `precision` is that
    which was asked for; None: that of the settings.
    `provider_options` are those that were specified, `options` all options in effect. `model_sha256` is None if
    weights are stored in other files. `fallback` is why the provider did not run the model, if fallback was allowed.
    `energy_j` is the energy that `energy_of` used in all timed rounds. `parity` is None if verification was disabled or
    not reached. `summary` is derived from the other fields (`summary.py`) when the run is complete or read.
    """

    model: str
    provider: str
    batch: Positive
    threads: Positive
    effective_precision: str = "fp32"
    boundary: Boundary = "host"
    concurrency: Positive = 1
    precision: SessionPrecision | None = None
    options: dict[str, str] = field(default_factory=dict)
    provider_options: dict[str, str] = field(default_factory=dict)
    model_sha256: str | None = None
    fallback: str | None = None
    placement: list[tuple[str, Large]] = field(default_factory=list)
    kernels: list[tuple[str, Large]] = field(default_factory=list)
    parity: Verdict | None = None
    cold: ColdStart | None = None
    macs: Large | None = None
    samples_ms: Annotated[list[list[Number]], Field(max_length=MAX_ROUNDS)] = field(default_factory=list)
    round_processes: Annotated[list[Count], Field(max_length=MAX_ROUNDS)] = field(default_factory=list)
    restarts: Annotated[list[ColdStart], Field(max_length=MAX_PROCESSES)] = field(default_factory=list)
    load: LoadResult | None = None
    peak_memory_mb: Number | None = None
    gpu_memory_mb: Number | None = None
    energy_j: Number | None = None
    energy_of: str | None = None
    status: Status = "ok"
    error: str | None = None
    warnings: list[str] = field(default_factory=list)
    summary: Summary = field(default_factory=Summary)

    def __post_init__(self) -> None:
        if self.round_processes and len(self.round_processes) != len(self.samples_ms):
            raise ValueError(
                f"round_processes has {len(self.round_processes)} entries for {len(self.samples_ms)} rounds of samples"
            )

    @property
    def processes(self) -> int:
        """How many processes ran rounds."""
        return len(set(self.round_processes)) or min(len(self.samples_ms), 1)

    @property
    def name(self) -> str:
        return f"{self.model} {self.provider} batch {self.batch}"

    def to_json(self) -> dict[str, Any]:
        """The raw case and its figures, for readers that do not compute statistics themselves."""
        data = asdict(self)
        del data["summary"]
        if self.parity is not None:
            data["parity"] = {"passed": self.parity.passed, **json_safe(data["parity"], digits=17)}
        return data | self.summary.to_json()


@dataclass(frozen=True, kw_only=True)
class AgainstRun:
    """The earlier run that this one was compared with, and why some of its rows did not run again."""

    file: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A complete run. `machine` describes the host: processor, cores, memory, versions.

    `base_cases` are cases of an earlier run, created at `interleaved_with`, that ran again in the rounds of this one.
    `limits_problem` is why the machine's limits are unknown.
    """

    created: str
    machine: Facts
    limits: Limits | None
    cases: Annotated[tuple[BenchCase, ...], Field(max_length=MAX_CASES)]
    settings: BenchOptions = field(default_factory=BenchOptions)
    base_cases: Annotated[tuple[BenchCase, ...], Field(max_length=MAX_CASES)] = ()
    limits_problem: str | None = None
    interleaved_with: str | None = None
    against: AgainstRun | None = None

    @property
    def passed(self) -> bool:
        """Whether every case finished, passed verification if that was enabled, and kept its latency bound."""
        return all(
            case.status == "ok"
            and (not self.settings.verify or (case.parity is not None and case.parity.passed))
            and (case.load is None or case.load.kept)
            for case in self.cases
        )

    def __repr__(self) -> str:
        rows = f"{len(self.cases)} row{'' if len(self.cases) == 1 else 's'}"
        verdict = "FAILED" if not self.passed else "passed" if self.settings.verify else "not verified"
        timed = [case for case in self.cases if case.summary.images_per_s]
        best = max(timed, key=lambda case: case.summary.images_per_s or 0.0, default=None)
        if best is None:
            return f"<Benchmark of {rows}: {verdict}>"
        where = f"{readable(best.model, 60)} on {best.provider}, batch {best.batch}"
        figures = f"{best.summary.median_ms:.3g} ms, {best.summary.images_per_s:,.4g} images/s"
        return f"<Benchmark of {rows}: {verdict}, fastest {where}: {figures}>"

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"schema": SCHEMA, **vars(self)}
        for name in ("limits", "settings", "against"):
            data[name] = None if data[name] is None else asdict(data[name])
        return data | {name: [case.to_json() for case in data[name]] for name in ("cases", "base_cases")}
