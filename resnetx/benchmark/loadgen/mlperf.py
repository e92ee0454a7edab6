"""Runs MLPerf's LoadGen: its settings for each scenario, one run, and the results from its logs."""

import json
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from resnetx.base.vocabulary import Scenario
from resnetx.benchmark.loadgen.options import MISSING
from resnetx.benchmark.loadgen.result import LoadRun, least_queries, thinned
from resnetx.benchmark.loadgen.system_under_test import System
from resnetx.errors import MissingExtraError

NAMES = {"single-stream": "SingleStream", "multi-stream": "MultiStream", "server": "Server", "offline": "Offline"}
# The seeds of mlperf.conf of LoadGen 6.0.
SEEDS = {
    "qsl_rng_seed": 2085463073848966840,
    "sample_index_rng_seed": 2747215439041700203,
    "schedule_rng_seed": 16159082839903944936,
}
# LoadGen writes about 650 bytes per query into its trace, the only place where latencies are stored.
MOST_TRACED = 100_000
# A server that is further behind than this does not catch up, so LoadGen stops the run.
LEAST_BACKLOG, BACKLOG_S = 100, 1.0
LOGGED = ":::MLLOG "
TRACED = re.compile(r'"sample_seq":(\d+),"query_seq":(\d+),.*"complete_ns":(\d+)')


def loadgen() -> Any:
    try:
        import mlperf_loadgen
    except ImportError as error:
        raise MissingExtraError(f"{MISSING} ({error})") from error
    return mlperf_loadgen


def completer() -> Callable[[Sequence[int]], None]:
    """A function that reports samples as complete. Responses are empty: a performance run does not read them."""
    library = loadgen()
    complete, response = library.QuerySamplesComplete, library.QuerySampleResponse
    return lambda identities: complete([response(identity, 0, 0) for identity in identities])


def play(
    system: System,
    scenario: Scenario,
    *,
    count: int,
    seconds: float,
    expected_per_s: float,
    rate: float | None,
    bound_ms: float,
) -> LoadRun:
    """One LoadGen run over a library of `count` samples; an error of the system is raised immediately.

    `expected_per_s` is queries per second, samples in offline, rather too many than too few: LoadGen generates its
    queries in advance, and a run with too few is invalid.
    """
    library = loadgen()
    settings = _settings(library, scenario, seconds, expected_per_s, rate, bound_ms)
    traced = scenario != "offline" and expected_per_s * seconds <= MOST_TRACED
    with tempfile.TemporaryDirectory(prefix="loadgen-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        logs = _logs(library, folder, traced)
        # No such file. By default LoadGen reads audit.config of the current directory, which overrides the settings.
        absent = str(folder / "absent")
        ended: Future[None] = Future()

        def test() -> None:
            try:
                system.warm_up()
                tested = library.ConstructSUT(system.issue, lambda: None)
                samples = library.ConstructQSL(count, count, lambda _: None, lambda _: None)
                library.StartTestWithLogSettings(tested, samples, settings, logs, absent)
                library.DestroyQSL(samples)
                library.DestroySUT(tested)
                ended.set_result(None)
            except Exception as error:  # the library's error, which would be lost in this thread
                ended.set_exception(error)
            system.over.set()

        # In a thread, so that a failure is reported immediately, not after the official ten minutes.
        system.over.clear()
        threading.Thread(target=test, daemon=True).start()
        system.over.wait()
        if system.failure is not None:
            raise system.failure
        ended.result()
        return _result(folder, scenario, bound_ms, rate)


def _settings(
    library: Any, scenario: Scenario, seconds: float, expected_per_s: float, rate: float | None, bound_ms: float
) -> Any:
    settings = library.TestSettings()
    settings.scenario = getattr(library.TestScenario, NAMES[scenario])
    settings.mode = library.TestMode.PerformanceOnly
    settings.min_duration_ms = max(1, round(seconds * 1000))
    settings.min_query_count = least_queries(scenario, seconds)
    for name, seed in SEEDS.items():
        setattr(settings, name, seed)
    if scenario == "single-stream":
        settings.single_stream_expected_latency_ns = 1e9 / expected_per_s
    elif scenario == "multi-stream":
        settings.multi_stream_expected_latency_ns = 1e9 / expected_per_s
    elif scenario == "offline":
        settings.offline_expected_qps = expected_per_s
    else:
        assert rate is not None
        settings.server_target_qps = rate
        settings.server_target_latency_ns = round(bound_ms * 1e6)
        settings.server_max_async_queries = max(LEAST_BACKLOG, round(rate * max(BACKLOG_S, 4 * bound_ms / 1e3)))
    return settings


def _logs(library: Any, folder: Path, traced: bool) -> Any:
    logs, output = library.LogSettings(), library.LogOutputSettings()
    output.outdir = str(folder)
    logs.log_output, logs.enable_trace = output, traced
    return logs


def _result(folder: Path, scenario: Scenario, bound_ms: float, rate: float | None) -> LoadRun:
    log = list(_logged(folder / "mlperf_log_detail.txt"))
    logged = {entry["key"]: entry["value"] for entry in log}
    errors = [str(entry["value"]) for entry in log if entry.get("metadata", {}).get("is_error")]
    query = "_per_query" if scenario == "multi-stream" else ""
    shares = () if scenario == "offline" else (50, 90, 95, 97, 99, 99.9)
    percentiles = {f"p{share:g}": logged.get(f"result_{share:.2f}_percentile{query}_latency_ns") for share in shares}
    samples_ms = _query_latencies_ms(folder / "mlperf_log_trace.json")
    return LoadRun(
        valid=logged.get("result_validity") == "VALID",
        queries=int(logged["effective_samples_per_query" if scenario == "offline" else "result_query_count"]),
        samples_per_s=_samples_per_s(logged, scenario),
        percentiles_ms={name: value / 1e6 for name, value in percentiles.items() if value is not None},
        reasons=[*_reasons(logged, scenario, bound_ms), *errors],
        rate=rate if scenario == "server" else None,
        bound_kept=bool(logged.get("result_perf_constraints_met") and logged.get("result_min_duration_met"))
        if scenario == "server"
        else None,
        samples_ms=thinned(samples_ms),
    )


def _samples_per_s(logged: dict[str, Any], scenario: Scenario) -> float | None:
    """Completed samples per second; for multi-stream LoadGen reports only the latency of queries."""
    if scenario == "multi-stream":
        mean = logged.get("result_mean_query_latency_ns")
        return 1e9 * logged["effective_samples_per_query"] / mean if mean else None
    key = {
        "single-stream": "result_qps_with_loadgen_overhead",
        "server": "result_completed_samples_per_sec",
        "offline": "result_samples_per_second",
    }[scenario]
    value = logged.get(key)
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _reasons(logged: dict[str, Any], scenario: Scenario, bound_ms: float) -> Iterator[str]:
    """Why LoadGen reports the run as invalid."""
    if logged.get("result_perf_constraints_met") is False:
        p99 = logged.get("result_99.00_percentile_latency_ns", 0) / 1e6
        yield f"p99 was {p99:.4g} ms, and the bound is {bound_ms:g} ms"
    if logged.get("result_min_duration_met") is False:
        yield "it ended before the minimum duration"
    if logged.get("result_min_queries_met") is False:
        yield "it had too few queries"
    if logged.get("early_stopping_met") is False and logged.get("result_perf_constraints_met") is not False:
        words = " ".join(str(logged.get("early_stopping_result", "")).replace("*", " ").split())
        yield f"its percentile is not certain enough (LoadGen: {words})"


def _logged(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of the log. LoadGen writes `nan`, which is not JSON; those lines are skipped."""
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith(LOGGED):
            try:
                yield json.loads(line.removeprefix(LOGGED))
            except ValueError:
                continue


def _query_latencies_ms(trace: Path) -> list[float]:
    """From the scheduled time of each query to its last sample, in the order of the queries."""
    latest: dict[int, int] = {}
    with trace.open(errors="replace") as lines:
        for line in lines:
            found = TRACED.search(line)
            if found:
                query, done = int(found[2]), int(found[3])
                latest[query] = max(done, latest.get(query, 0))
    return [latest[query] / 1e6 for query in sorted(latest)]
