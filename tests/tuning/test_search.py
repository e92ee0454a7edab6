"""The search by itself: what it tries, what it throws out, and that it ends with the fastest."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetx.tuning.candidates import SOURCE, Candidate, Space, thread_counts
from resnetx.tuning.search import CLEARLY_SLOWER, NEARLY_AS_FAST, Trial, finalists, search

RUNS = {SOURCE: ("cpu", "openvino"), "int8": ("cpu", "openvino")}


def space(objective: str = "latency", *, bound_ms: float | None = None, threads: tuple[int, ...] = (4, 2, 8)) -> Space:
    return Space(
        objective="latency" if objective == "latency" else "throughput",
        runs=RUNS,
        precisions={"cpu": ("default",), "openvino": ("default", "fp32")},
        threads=threads,
        batches=(1,) if objective == "latency" else (1, 8, 32),
        bound_ms=bound_ms,
    )


def by_speed(speed: Callable[[Candidate], float]) -> Callable[[Candidate, float], Trial]:
    """A measurement without noise: images per millisecond."""

    def measure(candidate: Candidate, best: float) -> Trial:
        rate = speed(candidate)
        latency = candidate.batch * candidate.streams / rate
        precision = "int8" if candidate.file == "int8" else "fp32"
        return Trial(candidate=candidate, speed=rate, median_ms=latency, precision=precision)

    return measure


def test_each_engine_is_tried_and_only_the_fast_ones_go_further() -> None:
    speeds = {(SOURCE, "cpu"): 1.0, (SOURCE, "openvino"): 1.2, ("int8", "cpu"): 3.0, ("int8", "openvino"): 2.5}
    trials = search(space(), by_speed(lambda each: speeds[each.file, each.provider] * each.threads / 4))
    tried = [trial.candidate for trial in trials]
    assert {each.engine for each in tried} == {
        *((SOURCE, "cpu", "default"), (SOURCE, "openvino", "default"), (SOURCE, "openvino", "fp32")),
        *(("int8", "cpu", "default"), ("int8", "openvino", "default")),
    }
    assert len(tried) == len(set(tried)) and all(each.streams == each.batch == 1 for each in tried)
    # Of what is clearly slower, only the fastest of its precision.
    others = {each.engine for each in tried if each.threads != 4}
    assert {file for file, *_ in others} == {"int8", SOURCE}
    assert len([engine for engine in others if engine[0] == SOURCE]) == 1
    assert {each.threads for each in tried if each.file == "int8"} == {4, 2, 8}


def test_streams_and_batches_are_tried_as_long_as_they_bring_something() -> None:
    def speed(each: Candidate) -> float:
        gain = {1: 1.0, 8: 2.0, 32: 2.01}[each.batch]
        return gain * (1.0 if each.provider == "cpu" else 0.5) * (1.1 if each.streams == 4 else 1.0)

    trials = search(space("throughput"), by_speed(speed))
    on_cpu = [
        trial.candidate for trial in trials if trial.candidate.provider == "cpu" and trial.candidate.file == "int8"
    ]
    assert {(each.streams, each.batch) for each in on_cpu} == {(s, b) for s in (1, 2, 4) for b in (1, 8, 32)}
    # Half as fast with one stream: clearly slower, whatever the batch.
    assert all(trial.candidate.batch == 1 for trial in trials if trial.candidate.provider == "openvino")
    best = finalists(space("throughput"), trials)[0]
    assert (best.streams, best.batch) == (4, 32)
    bounded = search(space("throughput", bound_ms=3.0), by_speed(speed))
    assert max(trial.candidate.batch for trial in bounded) == 8
    assert all(
        (trial.median_ms or 0) <= 3.3
        for trial in bounded
        if trial.candidate in finalists(space("throughput", bound_ms=3.0), bounded)[:-1]
    )


def test_what_fails_is_a_trial_with_its_problem() -> None:
    def measure(candidate: Candidate, best: float) -> Trial:
        if candidate.provider == "openvino":
            return Trial(candidate=candidate, problem="it crashed")
        return by_speed(lambda _: 1.0)(candidate, best)

    trials = search(space(), measure)
    assert sum(trial.problem == "it crashed" for trial in trials) == 3
    assert all(each.provider == "cpu" for each in finalists(space(), trials))
    assert finalists(space(), [Trial(candidate=space().baseline, problem="no")]) == []


def test_the_best_of_each_precision_and_the_baseline_are_measured_at_length() -> None:
    speeds = {(SOURCE, "cpu"): 1.0, (SOURCE, "openvino"): 1.3, ("int8", "cpu"): 9.0, ("int8", "openvino"): 2.0}
    trials = search(space(threads=(4,)), by_speed(lambda each: speeds[each.file, each.provider]))
    chosen = finalists(space(threads=(4,)), trials)
    assert [each.engine[:2] for each in chosen] == [("int8", "cpu"), (SOURCE, "openvino"), (SOURCE, "cpu")]


@given(
    st.lists(st.floats(0.1, 10), min_size=5, max_size=5), st.sampled_from([0.8, 1.0, 1.1]), st.sampled_from([0.9, 1.2])
)
def test_the_fastest_of_all_is_a_finalist(rates: list[float], half: float, double: float) -> None:
    """Where no setting changes a speed by more than what is thrown out at first."""
    engines = [(SOURCE, "cpu", "default"), (SOURCE, "openvino", "default"), (SOURCE, "openvino", "fp32")]
    engines += [("int8", "cpu", "default"), ("int8", "openvino", "default")]
    speeds = dict(zip(engines, rates, strict=True))

    def speed(each: Candidate) -> float:
        return speeds[each.engine] * {2: half, 4: 1.0, 8: double}[each.threads]

    trials = search(space(), by_speed(speed))
    every = [
        replace(space().baseline, file=f, provider=p, precision=q, threads=t) for f, p, q in engines for t in (2, 4, 8)
    ]
    best = max(every, key=speed)
    assert speed(finalists(space(), trials)[0]) == pytest.approx(speed(best))
    assert max(1.2 / 0.9, NEARLY_AS_FAST) < CLEARLY_SLOWER


def test_the_same_results_lead_to_the_same_search() -> None:
    measure = by_speed(lambda each: 1.0 + len(each.provider) / 10 + each.threads / 100)
    first = search(space(), measure)
    known = {trial.candidate: trial for trial in first}
    assert search(space(), lambda candidate, best: known[candidate]) == first


def test_threads() -> None:
    assert thread_counts(4, 8, None) == (4, 2, 8)
    assert thread_counts(1, 1, None) == (1,)
    assert thread_counts(8, 4, 3) == (3,)  # a quota below the processors is in the default already


@pytest.mark.parametrize(("provider", "threads", "options"), [("cpu", 2, {}), ("openvino", 4, {"NUM_STREAMS": "2"})])
def test_streams_share_the_threads(provider: str, threads: int, options: dict[str, str]) -> None:
    """ONNX Runtime gives each run the session's threads; OpenVINO divides them among its streams."""
    each = Candidate(file=SOURCE, provider=provider, precision="default", threads=4, streams=2)
    assert (each.session_threads, each.options) == (threads, options)
    assert replace(each, streams=1).options == {} and replace(each, streams=1).session_threads == 4
