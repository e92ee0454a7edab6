"""The result of a benchmark: raw samples by case and round, what ran, and how far it is from the machine's limit.

Statistics are not stored but derived (`statistics.py`), so that another reading of the same run stays possible.
"""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from resnetx.benchmark.loadgen.result import LoadResult
from resnetx.errors import FileError

SCHEMA = "resnetx.bench/1"
PERCENTILES = (50.0, 90.0, 95.0, 99.0)
Status = Literal["ok", "failed", "timed out", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The machine's peaks, measured in the same run on the same threads; None where it could not be measured.

    Those of the GPU are measured where a case runs on it.
    """

    threads: int
    fp32_gflops: float | None = None
    bf16_gflops: float | None = None
    int8_gops: float | None = None
    bandwidth_gb_s: float | None = None
    gpu_fp32_gflops: float | None = None
    gpu_tf32_gflops: float | None = None
    gpu_fp16_gflops: float | None = None
    gpu_bf16_gflops: float | None = None
    gpu_int8_gops: float | None = None
    gpu_bandwidth_gb_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class ColdStart:
    """What a process pays once: building the session, and the first run in each shape.

    `engine` is where TensorRT's came from, if it was kept: `built`, which is most of `session_s`, or `from cache`.
    """

    session_s: float
    first_run_ms: float
    engine: str | None = None


@dataclass(frozen=True, kw_only=True)
class BenchCase:
    """One model on one provider in one batch size. `samples_ms` holds a list a round, in the order they were run.

    `provider_options` are those that were given, `options` all that were in force. `model_sha256` is None where the
    file alone doesn't hold the model. `fallback` is why the provider didn't run the model, where that was allowed.
    `energy_j` is what `energy_of` took in all timed rounds together.
    """

    model: str
    provider: str
    batch: int
    threads: int
    effective_precision: str = "fp32"
    boundary: Literal["host", "device"] = "host"
    concurrency: int = 1
    options: dict[str, str] = field(default_factory=dict)
    provider_options: dict[str, str] = field(default_factory=dict)
    model_sha256: str | None = None
    fallback: str | None = None
    placement: list[tuple[str, int]] = field(default_factory=list)
    parity: dict[str, Any] | None = None
    cold: ColdStart | None = None
    macs: int | None = None
    samples_ms: list[list[float]] = field(default_factory=list)
    load: LoadResult | None = None
    peak_memory_mb: float | None = None
    gpu_memory_mb: float | None = None
    energy_j: float | None = None
    energy_of: str | None = None
    status: Status = "ok"
    error: str | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.model} {self.provider} batch {self.batch}"


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A whole run. `machine` says what it ran on: processor, cores, memory, versions.

    `base_cases` are cases of an earlier run that ran again in the rounds of this one; `interleaved_with` among the
    settings is then when that run was created.
    """

    created: str
    machine: dict[str, Any]
    limits: Limits | None
    cases: tuple[BenchCase, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    base_cases: tuple[BenchCase, ...] = ()

    @property
    def percentiles(self) -> tuple[float, ...]:
        """Those that were asked for; a file may hold anything in their place."""
        asked = self.settings.get("percentiles")
        shares = asked if isinstance(asked, list | tuple) else PERCENTILES
        return tuple(share for share in shares if isinstance(share, int | float) and 0 <= share <= 100)

    def to_json(self) -> dict[str, Any]:
        """The raw run, with derived figures beside it for readers that want no statistics of their own."""
        from resnetx.benchmark.summary import summarize

        data: dict[str, Any] = {"schema": SCHEMA, **asdict(self)}
        for row, case in zip(data["cases"], self.cases, strict=True):
            row |= summarize(case, self.limits, percentiles=self.percentiles).to_json()
        return data

    @classmethod
    def from_json(cls, text: str, *, source: str) -> "Benchmark":
        """A run as it was written; anything else is refused by name."""
        try:
            data = json.loads(text)
            schema = data.get("schema")
            if schema != SCHEMA:
                raise FileError(
                    f"{source} has the schema {schema!r}, and a benchmark of {SCHEMA} was asked for; "
                    "give a file that `resnetx bench --json` wrote."
                )
            return cls(
                created=str(data["created"]),
                machine={**data["machine"]},
                limits=None if data["limits"] is None else Limits(**data["limits"]),
                cases=tuple(_case(row) for row in data["cases"]),
                settings={**data.get("settings", {})},
                base_cases=tuple(_case(row) for row in data.get("base_cases", [])),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FileError(f"{source} is not a benchmark that `resnetx bench --json` wrote ({error}).") from error


def _case(row: dict[str, Any]) -> BenchCase:
    names = {item.name for item in fields(BenchCase)}
    known = {name: value for name, value in row.items() if name in names}
    known["cold"] = None if known.get("cold") is None else ColdStart(**known["cold"])
    known["load"] = None if known.get("load") is None else LoadResult.from_json(known["load"])
    known["placement"] = [(str(name), int(count)) for name, count in known.get("placement", [])]
    known["samples_ms"] = [[float(sample) for sample in samples] for samples in known.get("samples_ms", [])]
    return BenchCase(**known)
