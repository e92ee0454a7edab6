"""Checks the options of a scenario before anything is opened."""

from importlib.util import find_spec

from resnetx.base.vocabulary import Scenario
from resnetx.benchmark.loadgen.result import SAMPLES_PER_QUERY
from resnetx.errors import MissingExtraError, UsageError

MAX_BOUND_MS = 600_000.0
# LoadGen generates all queries of a run in advance; this many take 0.6 GB.
MOST_QUERIES = 2_000_000
# The batch size if it is not specified: an additional image costs less than the first.
DEFAULT_BATCHES = {"multi-stream": 8, "server": 8, "offline": 8}
PACKAGE = "mlperf_loadgen"
MISSING = (
    "--scenario needs MLPerf's LoadGen, which is not installed; install it with "
    "`pip install 'resnetx[loadgen]'` (the package mlcommons_loadgen), or leave --scenario out."
)


def check_load(
    scenario: Scenario,
    *,
    duration_s: float,
    target_qps: float | None,
    latency_bound_ms: float | None,
    concurrency: int,
    boundary: str,
) -> None:
    if latency_bound_ms is not None and not 0 < latency_bound_ms <= MAX_BOUND_MS:
        raise UsageError(
            f"--latency-bound is in milliseconds, more than 0 and at most {MAX_BOUND_MS:g}; found {latency_bound_ms:g}."
        )
    if duration_s < 0.001:
        raise UsageError(f"--scenario takes a --duration of 0.001 s or more; found {duration_s:g}.")
    highest = MOST_QUERIES / duration_s
    if target_qps is not None and not 0 < target_qps <= highest:
        raise UsageError(
            f"--target-qps takes more than 0 and, for runs of {duration_s:g} s, at most {highest:g} queries a second, "
            f"because LoadGen generates all queries in advance; found {target_qps:g}."
        )
    if scenario == "single-stream" and concurrency != 1:
        raise UsageError(
            f"single-stream sends one query at a time, so --concurrency {concurrency} has no effect; leave it out, or "
            "choose another scenario."
        )
    if boundary != "host":
        raise UsageError(f"Queries of {scenario} consist of samples in host memory; leave --boundary {boundary} out.")
    if find_spec(PACKAGE) is None:
        raise MissingExtraError(MISSING)


def check_batches(scenario: Scenario, batches: tuple[int, ...]) -> None:
    """Refuse a batch size that exceeds the samples of a query."""
    most = SAMPLES_PER_QUERY.get(scenario, 1) if scenario in ("single-stream", "multi-stream") else None
    if most is not None and max(batches) > most:
        raise UsageError(
            f"{scenario} has {most} sample{'' if most == 1 else 's'} in a query, and --batch {max(batches)} would "
            f"never be filled; use --batch {most} or less."
        )
