"""The options of a search, checked."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from resnetx.base.text import readable
from resnetx.benchmark.options import MAX_BATCH, MAX_DURATION_S
from resnetx.errors import UsageError
from resnetx.machine.threads import MAX_THREADS
from resnetx.verification.isolated import IsolationOptions

Objective = Literal["latency", "throughput"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
# For throughput, unless the file fixes its batch size.
BATCHES = (1, 8, 32)
DURATION_S = 5.0


@dataclass(frozen=True, kw_only=True)
class TuneOptions:
    """What to search for; None is the default. `providers` restricts the search, by default to all that work here.

    With `calibrate`, as for `resnetx quantize`, INT8 files are tried too. `max_drop` is the share of samples whose best
    class may change, `latency_bound_ms` the bound of the p95 latency. `duration_s` is that of each finalist. `force`:
    replace what a search for another file found.
    """

    objective: Objective = "latency"
    providers: tuple[str, ...] | None = None
    batches: tuple[int, ...] | None = None
    threads: int | None = None
    latency_bound_ms: float | None = None
    calibrate: str | Path | None = None
    evaluate: Path | None = None
    max_drop: float | None = None
    duration_s: float = DURATION_S
    restart: bool = False
    force: bool = False
    limits: IsolationOptions = field(default_factory=IsolationOptions)


def check_options(options: TuneOptions) -> None:
    if options.objective not in OBJECTIVES:
        raise UsageError(f"--objective is {' or '.join(OBJECTIVES)}; found {readable(options.objective, 40)!r}.")
    if options.objective == "latency" and options.batches is not None and len(options.batches) != 1:
        raise UsageError(
            "The latency is that of one batch size, and --batch names several; give one, or use --objective throughput."
        )
    if options.calibrate is None and options.evaluate is not None:
        raise UsageError("--evaluate is for INT8 files, which are made with --calibrate; give both.")
    for name, value, low, high in (
        ("--batch", min(options.batches or (1,)), 1, MAX_BATCH),
        ("--batch", max(options.batches or (1,)), 1, MAX_BATCH),
        ("--threads", options.threads, 1, MAX_THREADS),
        ("--latency-bound", options.latency_bound_ms, 1e-3, 1e3 * MAX_DURATION_S),
        ("--duration", options.duration_s, 1e-3, MAX_DURATION_S),
    ):
        if value is not None and not low <= value <= high:
            raise UsageError(f"{name} takes {low:g} to {high:g}; found {value:g}.")
    if options.max_drop is not None and not 0 <= options.max_drop <= 1:
        raise UsageError(f"--max-drop takes 0 to 100%, such as 0.5%; found {100 * options.max_drop:g}%.")
