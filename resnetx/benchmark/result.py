"""The result of a benchmark: raw samples by case and round, what ran, its verdict, and the figures derived from them.

History of the format, whose older versions are read (`result_file.py`):
1. settings as they were given, with what a run noted among them; verdicts as free objects.
2. settings are the plan (`BenchOptions`); `limits_problem`, `interleaved_with` and `against` are fields of the run.
"""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from resnetx.base.validation import Facts, Large, Number, Positive
from resnetx.base.vocabulary import Boundary
from resnetx.benchmark.loadgen.result import LoadResult
from resnetx.benchmark.options import MAX_ROUNDS, BenchOptions
from resnetx.verification.parity import Check, json_safe

SCHEMA = "resnetx.bench/2"
MAX_CASES = 10_000
Status = Literal["ok", "failed", "timed out", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The machine's peaks, measured in the same run on the same threads; None where it could not be measured.

    Those of the GPU are measured where a case runs on it.
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


@dataclass(frozen=True, kw_only=True)
class ColdStart:
    """What a process pays once: building the session, and the first run in each shape.

    `engine` is where TensorRT's came from, if it was kept: `built`, which is most of `session_s`, or `from cache`.
    """

    session_s: Number
    first_run_ms: Number
    engine: str | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was timed, judged against `reference`; or the `reason` why that could not be done, which is no pass."""

    reference: str | None = None
    precision: str | None = None
    checks: tuple[Check, ...] = ()
    reason: str | None = None

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A case's figures, derived from its samples; None where there are too few of them for one."""

    median_ms: float | None = None
    ci95_ms: tuple[float, float] | None = None
    percentiles_ms: dict[str, float | None] | None = None
    images_per_s: float | None = None
    limit_fraction: float | None = None
    joules_per_image: float | None = None

    def to_json(self) -> dict[str, Any]:
        latency = {"median": self.median_ms, "ci95": self.ci95_ms, **(self.percentiles_ms or {})}
        return {
            "latency_ms": latency,
            "images_per_s": self.images_per_s,
            "limit_fraction": self.limit_fraction,
            "joules_per_image": self.joules_per_image,
        }


@dataclass(frozen=True, kw_only=True)
class BenchCase:
    """One model on one provider in one batch size. `samples_ms` holds a list a round, in the order they were run.

    `provider_options` are those that were given, `options` all that were in force. `model_sha256` is None where the
    file alone doesn't hold the model. `fallback` is why the provider didn't run the model, where that was allowed.
    `energy_j` is what `energy_of` took in all timed rounds together. `parity` is None where none was asked for, or
    the case did not get that far. `summary` is derived from the rest (`summary.py`) when the run is complete or read.
    """

    model: str
    provider: str
    batch: Positive
    threads: Positive
    effective_precision: str = "fp32"
    boundary: Boundary = "host"
    concurrency: Positive = 1
    options: dict[str, str] = field(default_factory=dict)
    provider_options: dict[str, str] = field(default_factory=dict)
    model_sha256: str | None = None
    fallback: str | None = None
    placement: list[tuple[str, Large]] = field(default_factory=list)
    parity: Verdict | None = None
    cold: ColdStart | None = None
    macs: Large | None = None
    samples_ms: Annotated[list[list[Number]], Field(max_length=MAX_ROUNDS)] = field(default_factory=list)
    load: LoadResult | None = None
    peak_memory_mb: Number | None = None
    gpu_memory_mb: Number | None = None
    energy_j: Number | None = None
    energy_of: str | None = None
    status: Status = "ok"
    error: str | None = None
    warnings: list[str] = field(default_factory=list)
    summary: Summary = field(default_factory=Summary)

    @property
    def name(self) -> str:
        return f"{self.model} {self.provider} batch {self.batch}"

    def to_json(self) -> dict[str, Any]:
        """The raw case, with its figures beside it for readers that want no statistics of their own."""
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
    """A whole run. `machine` says what it ran on: processor, cores, memory, versions.

    `base_cases` are cases of an earlier run that ran again in the rounds of this one, which was created at
    `interleaved_with`. `limits_problem` is why the machine's limits are not known.
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

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"schema": SCHEMA, **vars(self)}
        for name in ("limits", "settings", "against"):
            data[name] = None if data[name] is None else asdict(data[name])
        return data | {name: [case.to_json() for case in data[name]] for name in ("cases", "base_cases")}
