"""The options of a benchmark, checked and with defaults filled in, as a result stores them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import Field

from resnetx.base.precisions import SESSION_PRECISIONS, SessionPrecision
from resnetx.base.validation import Count, Flag, Number, Positive
from resnetx.base.vocabulary import AUTO, BOUNDARIES, LATENCY, SCENARIOS, Boundary, Scenario
from resnetx.benchmark.loadgen.options import check_load
from resnetx.benchmark.loadgen.result import DEFAULT_BOUND_MS, DEFAULT_S
from resnetx.errors import UsageError
from resnetx.machine.threads import MAX_THREADS, default_threads

MAX_BATCH, MAX_CONCURRENCY, MAX_ROUNDS, MAX_PROCESSES, MAX_DURATION_S = 4096, 256, 1000, 100, 86_400.0
MAX_PERCENTILES = 100
MAX_MEMORY_MB = 10**9
LATENCY_S, ROUNDS = 5.0, 20
# Of 5, 10 and 20, the fewest that find a slowdown of 5 % if processes differ by 1 % (benchmarks/compare_study.py).
PROCESSES = 10
Percentile = Annotated[Number, Field(le=100)]


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """How to measure; None is the default. A provider option is named `k`, or `provider:k` for that provider only.

    `duration_s` is for each case, over all its rounds; in an MLPerf scenario, for each LoadGen run. `rounds` is the
    total over the `processes` of a case, which run one after another; a scenario runs in one process. `timeout_s` is
    for each request to a case: opening it (with first run and warm-up), a round or a LoadGen run, and verifying.
    `memory_mb` limits each process; by default, the sizes of the file and its inputs do.
    `target_qps` and `latency_bound_ms` are for the server scenario; without `target_qps`, it searches for the highest
    rate within the bound. `precision` is that of float32 layers: each provider's fast default, true float32, or bf16.
    `golden` and `reference` are files to verify every row against, instead of the network of its model card.
    """

    providers: tuple[str, ...] = (AUTO,)
    batches: tuple[Positive, ...] | None = None
    threads: Positive | None = None
    duration_s: Number | None = None
    rounds: Positive | None = None
    processes: Positive | None = None
    warmup: Count = 5
    concurrency: Positive = 1
    percentiles: Annotated[tuple[Percentile, ...], Field(max_length=MAX_PERCENTILES)] = (50, 90, 95, 99)
    boundary: Boundary = "host"
    precision: SessionPrecision = "default"
    scenario: Scenario = LATENCY
    target_qps: Number | None = None
    latency_bound_ms: Number | None = None
    verify: Flag = True
    golden: str | None = None
    reference: str | None = None
    provider_options: Mapping[str, str] = field(default_factory=dict)
    allow_fallback: Flag = False
    timeout_s: Number = 300.0
    memory_mb: Positive | None = None

    @property
    def traffic(self) -> bool:
        """Whether queries come from LoadGen; otherwise runs are timed in rounds."""
        return self.scenario != LATENCY


def resolved(options: BenchOptions) -> BenchOptions:
    """The options with every default filled in. Raises UsageError for invalid options."""
    if options.scenario not in SCENARIOS:
        raise UsageError(
            f"There is no scenario {options.scenario[:60]!r}; --scenario is one of {', '.join(SCENARIOS)}."
        )
    if options.boundary not in BOUNDARIES:
        raise UsageError(f"--boundary is {' or '.join(BOUNDARIES)}; found {options.boundary[:40]!r}.")
    if options.precision not in SESSION_PRECISIONS:
        raise UsageError(f"--precision is {' or '.join(SESSION_PRECISIONS)}; found {options.precision[:40]!r}.")
    server = options.scenario == "server"
    for name, value in (("--target-qps", options.target_qps), ("--latency-bound", options.latency_bound_ms)):
        if value is not None and not server:
            raise UsageError(
                f"{name} is for --scenario server only; the scenario is {options.scenario}. Leave {name} out, or use "
                "--scenario server."
            )
    given = [name for name, file in (("--golden", options.golden), ("--reference", options.reference)) if file]
    if len(given) > 1:
        raise UsageError("Give one of --golden and --reference: there is one reference at a time.")
    if given and not options.verify:
        raise UsageError(f"{given[0]} is for the verification, which --no-verify turns off. Leave one of them out.")
    if options.rounds is not None and options.traffic:
        raise UsageError(
            f"--rounds is for --scenario latency only; {options.scenario} runs for --duration without a pause. "
            "Leave --rounds out."
        )
    if options.traffic and options.processes not in (None, 1):
        raise UsageError(
            f"--processes is for --scenario latency only; {options.scenario} runs in one process. Leave --processes "
            "out."
        )
    if options.latency_bound_ms is None and server:
        options = replace(options, latency_bound_ms=DEFAULT_BOUND_MS)
    rounds = None if options.traffic else ROUNDS if options.rounds is None else options.rounds
    options = replace(
        options,
        threads=default_threads() if options.threads is None else options.threads,
        duration_s=(DEFAULT_S if options.traffic else LATENCY_S) if options.duration_s is None else options.duration_s,
        rounds=rounds,
        processes=min(PROCESSES, rounds or 1) if options.processes is None else options.processes,
    )
    _check_numbers(options)
    if rounds is not None and (options.processes or 1) > rounds:
        raise UsageError(
            f"--processes {options.processes} needs a round for each process, and there are {rounds}; use fewer "
            "--processes or more --rounds."
        )
    if options.traffic:
        check_load(
            options.scenario,
            duration_s=options.duration_s or 0.0,
            target_qps=options.target_qps,
            latency_bound_ms=options.latency_bound_ms,
            concurrency=options.concurrency,
            boundary=options.boundary,
        )
    return options


def _check_numbers(options: BenchOptions) -> None:
    checks: list[tuple[str, Sequence[float | None], float, float]] = [
        ("--batch", options.batches or (), 1, MAX_BATCH),
        ("--threads", [options.threads], 1, MAX_THREADS),
        ("--duration", [options.duration_s], 0, MAX_DURATION_S),
        ("--rounds", [options.rounds], 1, MAX_ROUNDS),
        ("--processes", [options.processes], 1, MAX_PROCESSES),
        ("--warmup", [options.warmup], 1, 1_000_000),
        ("--concurrency", [options.concurrency], 1, MAX_CONCURRENCY),
        ("--percentile", options.percentiles, 0, 100),
        ("--timeout", [options.timeout_s], 0.001, MAX_DURATION_S),
        ("--memory-mb", [options.memory_mb], 1, MAX_MEMORY_MB),
    ]
    for name, values, low, high in checks:
        wrong = next((value for value in values if value is not None and not low <= value <= high), None)
        if wrong is not None:
            raise UsageError(f"{name} takes {low:g} to {high:g}; found {wrong:g}.")
    if options.batches == () or not options.providers:
        raise UsageError("There is nothing to run: give at least one --batch and one --provider.")
