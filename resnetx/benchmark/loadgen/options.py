"""Which traffic was asked for, and whether it makes sense: checked before anything is opened."""

from importlib.util import find_spec
from typing import cast

from resnetx.benchmark.loadgen.result import DEFAULT_BOUND_MS, SAMPLES_PER_QUERY, SCENARIOS, LoadOptions, Scenario
from resnetx.errors import MissingExtraError, UsageError

LATENCY = "latency"
MAX_BOUND_MS = 600_000.0
# LoadGen makes all queries of a run up beforehand; so many take 0.6 GB.
MOST_QUERIES = 2_000_000
# As many as go together where nobody says: one more image costs less than the first.
DEFAULT_BATCHES = {"multi-stream": 8, "server": 8, "offline": 8}
PACKAGE = "mlperf_loadgen"
MISSING = (
    "Scenarios get their traffic from MLPerf's LoadGen, which is not installed; install it with "
    "`pip install 'resnetx[loadgen]'` (the package mlcommons_loadgen), or leave --scenario out."
)


def parse_load(scenario: str, target_qps: float | None, latency_bound_ms: float | None) -> LoadOptions | None:
    """None for the default scenario, which times one run after another and has no traffic."""
    if scenario not in (LATENCY, *SCENARIOS):
        known = ", ".join((LATENCY, *SCENARIOS))
        raise UsageError(f"There is no scenario {scenario[:60]!r}; --scenario is one of {known}.")
    for name, value in (("--target-qps", target_qps), ("--latency-bound", latency_bound_ms)):
        if value is not None and scenario != "server":
            raise UsageError(
                f"{name} is for --scenario server, where queries come at a rate and must be answered in time; "
                f"the scenario is {scenario}."
            )
    if scenario == LATENCY:
        return None
    bound_ms = DEFAULT_BOUND_MS if latency_bound_ms is None else latency_bound_ms
    return LoadOptions(scenario=cast(Scenario, scenario), target_qps=target_qps, latency_bound_ms=bound_ms)


def check_load(load: LoadOptions, *, duration_s: float, concurrency: int, boundary: str) -> None:
    if not 0 < load.latency_bound_ms <= MAX_BOUND_MS:
        raise UsageError(
            f"--latency-bound is in milliseconds, more than 0 and at most {MAX_BOUND_MS:g}; "
            f"found {load.latency_bound_ms:g}."
        )
    if duration_s < 0.001:
        raise UsageError(f"A run of LoadGen takes a --duration of 0.001 s or more, and {duration_s:g} was asked for.")
    highest = MOST_QUERIES / duration_s
    if load.target_qps is not None and not 0 < load.target_qps <= highest:
        raise UsageError(
            f"--target-qps takes more than 0 and, for runs of {duration_s:g} s, at most {highest:g} queries a second, "
            f"because LoadGen makes them all up beforehand; {load.target_qps:g} was asked for."
        )
    if load.scenario == "single-stream" and concurrency != 1:
        raise UsageError(
            f"single-stream sends a query when the one before is answered, so that --concurrency {concurrency} has "
            "nothing to run at the same time; leave it out, or choose another scenario."
        )
    if boundary != "host":
        raise UsageError(
            f"Queries of {load.scenario} are made up of samples that lie in the host's memory; "
            f"leave --boundary {boundary} out."
        )
    if find_spec(PACKAGE) is None:
        raise MissingExtraError(MISSING)


def check_batches(load: LoadOptions, batches: tuple[int, ...]) -> None:
    """A batch is the most samples that run together, and must be possible."""
    most = SAMPLES_PER_QUERY.get(load.scenario, 1) if load.scenario in ("single-stream", "multi-stream") else None
    if most is not None and max(batches) > most:
        raise UsageError(
            f"{load.scenario} has {most} sample{'' if most == 1 else 's'} in a query, and --batch {max(batches)} would "
            f"never be filled; say --batch {most} or less."
        )
