"""The options of a profile, checked and with defaults filled in, as a result stores them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from resnetx.base.precisions import SESSION_PRECISIONS, SessionPrecision
from resnetx.base.validation import Number, Positive
from resnetx.base.vocabulary import AUTO
from resnetx.benchmark.options import LATENCY_S, MAX_BATCH, MAX_DURATION_S, MAX_MEMORY_MB
from resnetx.errors import UsageError
from resnetx.machine.threads import MAX_THREADS, default_threads


@dataclass(frozen=True, kw_only=True)
class ProfileOptions:
    """How to profile; None is the default. `duration_s` is that of all timed runs, with profiling and without.

    `precision` is that of float32 layers: the provider's fast default, true float32, or bf16. `timeout_s` and
    `memory_mb` limit the process that runs the file; by default, the sizes of the file and its inputs do.
    """

    provider: str = AUTO
    batch: Positive | None = None
    threads: Positive | None = None
    precision: SessionPrecision = "default"
    provider_options: Mapping[str, str] = field(default_factory=dict)
    duration_s: Number | None = None
    timeout_s: Number | None = None
    memory_mb: Positive | None = None


def resolved(options: ProfileOptions) -> ProfileOptions:
    """The options with the defaults that do not depend on the file. Raises UsageError for invalid options."""
    if options.precision not in SESSION_PRECISIONS:
        raise UsageError(f"--precision is {' or '.join(SESSION_PRECISIONS)}; found {options.precision[:40]!r}.")
    options = replace(
        options,
        threads=default_threads() if options.threads is None else options.threads,
        duration_s=LATENCY_S if options.duration_s is None else options.duration_s,
    )
    checks: list[tuple[str, float | None, float, float]] = [
        ("--batch", options.batch, 1, MAX_BATCH),
        ("--threads", options.threads, 1, MAX_THREADS),
        ("--duration", options.duration_s, 0, MAX_DURATION_S),
        ("--timeout", options.timeout_s, 0.001, MAX_DURATION_S),
        ("--memory-mb", options.memory_mb, 1, MAX_MEMORY_MB),
    ]
    for name, value, low, high in checks:
        if value is not None and not low <= value <= high:
            raise UsageError(f"{name} takes {low:g} to {high:g}; found {value:g}.")
    return options
