"""The messages between a benchmark and the processes of its cases, as types that are validated on arrival."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from resnetx.base.validation import Count, Flag, Number, Positive
from resnetx.benchmark.loadgen.result import LoadRun
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.result import Limits, Verdict
from resnetx.machine.cpu_contention import Disturbance

# Name, numpy type and dimensions; an unknown dimension is an empty string.
Tensor = tuple[str, str, list[int | str]]


@dataclass(frozen=True, kw_only=True)
class CaseOrder:
    """The case to open. `card` is JSON; `inputs` and `outputs` are the file's, for PyTorch, which does not read it."""

    model: str
    provider: str
    batch: Positive
    options: dict[str, str]
    settings: BenchOptions
    digest: str | None = None
    card: str | None = None
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The case is open and warmed up. The fields are those of `runtime.runner.Facts`, and the time of the first run.

    `answers` is a digest of the outputs for the timed inputs: processes with the same answers need one verification.
    """

    provider: str
    effective_precision: str
    placement: list[tuple[str, int]]
    options: dict[str, str]
    session_s: Number
    first_run_ms: Number
    engine: str | None = None
    fallback: str | None = None
    kernels: list[tuple[str, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    answers: str | None = None


@dataclass(frozen=True, kw_only=True)
class Usage:
    """The resources that a round or a LoadGen run used, and what disturbed it."""

    peak_memory_mb: Number | None = None
    gpu_memory_mb: Number | None = None
    notes: list[str] = field(default_factory=list)
    energy_j: Mapping[str, Number] = field(default_factory=dict)
    disturbance: Disturbance = field(default_factory=Disturbance)


@dataclass(frozen=True, kw_only=True)
class RoundDone:
    samples_ms: list[Number]
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, kw_only=True)
class LoadReady:
    """The case is ready for traffic; `samples_per_s` is its estimated throughput, rather too high than too low."""

    samples_per_s: Number


@dataclass(frozen=True, kw_only=True)
class LoadDone:
    run: LoadRun
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, kw_only=True)
class Verified:
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class TruthOrder:
    """Take the reference outputs from a golden bundle, another file, the network of `card`, or else the file itself."""

    model: str
    card: str | None
    inputs: list[str]
    batches: list[Positive]
    precisions: list[str]
    folder: str
    golden: str | None = None
    reference: str | None = None


@dataclass(frozen=True, kw_only=True)
class TruthDone:
    """A golden file for each batch size, or why there is none."""

    files: dict[int, str] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class LimitsOrder:
    threads: Count
    gpu: Flag = False


@dataclass(frozen=True, kw_only=True)
class LimitsDone:
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class BestProviderOrder:
    """Which provider is the fastest for files of this precision?"""

    precision: str


@dataclass(frozen=True, kw_only=True)
class BestProvider:
    provider: str
