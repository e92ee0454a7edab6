"""The figures of a profile: shares, rates, and the limit that bounds each layer."""

import json
from dataclasses import replace

import pytest

from resnetx.benchmark.profiling.figures import notes_of, totals_of
from resnetx.benchmark.profiling.layer import bound_of
from resnetx.benchmark.profiling.result import Profile
from resnetx.errors import FileError
from resnetx.report.profile_words import sum_in_words
from tests.support.sample_profile import CACHED, COMPUTES, LIMITS, UNKNOWN, WAITS, sample_profile


def test_the_layers_and_what_lies_outside_are_the_whole_run() -> None:
    profile = sample_profile()
    assert profile.run_ms == 8.0 and profile.profiled_run_ms == 9.0
    assert profile.layers_ms == 4.0 + 1.0 + 0.5 + 0.25 and profile.outside_ms == 2.25
    shares = sum(each.share for each in profile.figures) + profile.outside_ms / profile.run_ms
    assert shares == pytest.approx(1.0)
    assert sum(total.time_ms for total in totals_of(profile)) == profile.layers_ms
    assert sum(total.layers for total in totals_of(profile)) == len(profile.layers)
    assert sum_in_words(profile) == (
        "The layers sum to 5.75 ms, and a run without profiling takes 8.00 ms: 2.25 ms (28.1%) lie outside the layers. "
        "Profiling itself costs 1.00 ms a run."
    )


def test_layers_that_take_longer_than_the_run_are_told_as_that() -> None:
    profile = sample_profile(run_ms=5.0)
    assert profile.outside_ms == -0.75
    assert "with profiling, the layers alone took 0.750 ms (15.0%) more than that" in sum_in_words(profile)
    faster = replace(profile, profiled_ms=((4.0,),))
    assert "What profiling costs is below the noise." in sum_in_words(faster)


def test_rates_and_the_bound_follow_from_the_work_and_the_limits() -> None:
    computes, waits, cached, unknown = sample_profile().figures
    assert (computes.gflops, computes.gb_s, computes.intensity) == (50.0, 2.5, 20.0)
    assert (computes.bound, computes.peak_share) == ("compute", 0.5)
    assert (waits.bound, waits.intensity, waits.peak_share) == ("memory", 1.0, pytest.approx(0.2))
    assert (cached.gflops, cached.gb_s) == (0.0, 20.0)
    assert (cached.bound, cached.peak_share, cached.faster_than_limit) == ("memory", None, True)
    assert (unknown.gflops, unknown.gb_s, unknown.intensity, unknown.bound, unknown.peak_share) == (None,) * 5


@pytest.mark.parametrize(
    ("intensity", "peak", "bandwidth", "bound"),
    [
        (10.0, 100.0, 10.0, "compute"),  # the ridge itself
        (9.99, 100.0, 10.0, "memory"),
        (9.99, 50.0, 10.0, "compute"),
        (0.0, None, 10.0, "memory"),
        (5.0, None, 10.0, None),
        (5.0, 100.0, None, None),
        (None, 100.0, 10.0, None),
    ],
)
def test_a_layer_is_bound_by_the_limit_that_it_meets_first(
    intensity: float | None, peak: float | None, bandwidth: float | None, bound: str | None
) -> None:
    assert bound_of(intensity, peak, bandwidth) == bound


def test_the_peak_is_that_of_the_precision_in_which_the_kernel_computes() -> None:
    """400 GOP/s move the ridge to 40 operations a byte, and bound a layer of 20 by the memory."""
    of_int8, of_other = sample_profile(replace(COMPUTES, precision="int8"), replace(COMPUTES, precision="fp64")).figures
    assert (of_int8.bound, of_int8.peak_share) == ("memory", 0.25)
    assert (of_other.bound, of_other.peak_share, of_other.gflops) == (None, None, 50.0)
    (unmeasured,) = replace(sample_profile(COMPUTES), limits=None).figures
    assert (unmeasured.bound, unmeasured.peak_share, unmeasured.gflops) == (None, None, 50.0)


def test_what_is_withheld_or_unknown_is_noted() -> None:
    fast = replace(COMPUTES, times_ms=(1.0,))  # 200 GFLOP/s of 100
    notes = list(notes_of(sample_profile(fast, CACHED, WAITS, UNKNOWN)))
    assert notes[0].startswith("1 of 4 layers were faster than the memory's bandwidth")
    assert notes[1].startswith("1 of 4 layers were faster than the measured peak of their precision")
    assert notes[2:] == ["The multiply-accumulates of 1 layer are unknown."]
    problem = replace(sample_profile(WAITS), limits=None, limits_problem="it crashed", notes=("a note",))
    assert list(notes_of(problem)) == ["a note", "The machine's limits were not measured: it crashed"]
    assert list(notes_of(sample_profile(WAITS))) == []


def test_a_layer_of_no_time_has_no_rates() -> None:
    (figures,) = sample_profile(replace(COMPUTES, times_ms=(0.0,))).figures
    assert (figures.gflops, figures.gb_s, figures.peak_share, figures.faster_than_limit) == (None, None, None, False)


def test_a_profile_survives_its_file() -> None:
    profile = sample_profile()
    data = json.loads(json.dumps(profile.to_json()))
    assert Profile.from_json(data) == profile
    assert data["layers"][0]["gflops"] == 50.0 and data["outside_ms"] == 2.25 and data["limits"]["threads"] == 1
    assert data["limits"]["bandwidth_gb_s"] == LIMITS.bandwidth_gb_s


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "resnetx.profile/2"},
        {"schema": None},
        {"layers": []},
        {"plain_ms": []},
        {"plain_ms": [[float("nan")]]},
        {"plain_ms": [[0.0]]},
        {"batch": 0},
        {"layers": [{"name": "x"}]},
    ],
)
def test_what_is_no_profile_is_refused(changes: dict[str, object]) -> None:
    data = json.loads(json.dumps(sample_profile().to_json())) | changes
    with pytest.raises(FileError, match="profile"):
        Profile.from_json(data)
