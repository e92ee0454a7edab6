"""The study of `compare` in simulated worlds, on a sample: alarms, coverage and power of the default procedure."""

import subprocess
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from compare_study import SPREAD_OVER, study
from simulated_worlds import USUAL_MS, WORLDS, World, simulate

from resnetx.benchmark.options import PROCESSES
from resnetx.benchmark.process_spread import process_spread

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "compare_study.py"
TRIALS = 100
BY_NAME = {world.name: world for world in WORLDS}
OFFSET, SLOW, OWN_WANDER = WORLDS[-3:]


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_the_default_holds_what_it_promises(world: World) -> None:
    rates = study(world, PROCESSES, trials=TRIALS)
    assert rates.alarms <= 0.01
    assert rates.coverage >= 0.95
    assert rates.found >= 0.95 or not world.finds
    # 95 of 100 or more, give or take what the trials leave open.
    assert rates.median_coverage is None or rates.median_coverage >= 0.92


@pytest.mark.parametrize("world", [OFFSET, SLOW, OWN_WANDER], ids=lambda world: world.name)
def test_one_process_does_not(world: World) -> None:
    """The worlds can tell a procedure that does not know how processes differ."""
    rates = study(world, 1, trials=TRIALS)
    assert rates.coverage < 0.85
    assert rates.median_coverage is not None and rates.median_coverage < 0.85


def test_five_processes_find_less_where_a_process_is_slow() -> None:
    assert PROCESSES in SPREAD_OVER
    assert study(SLOW, 5, trials=TRIALS).found < study(SLOW, PROCESSES, trials=TRIALS).found


def test_many_rows_raise_no_more_alarms() -> None:
    assert study(OWN_WANDER, PROCESSES, trials=5, rows=20).alarms == 0
    assert study(OWN_WANDER, 1, trials=5, rows=20).alarms > 0.1


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_a_world_is_what_it_says(world: World) -> None:
    rng = np.random.default_rng(3)
    old, new = simulate(world, rng, rounds_of=[3, 2, 2])
    assert [len(process) for process in old] == [len(process) for process in new] == [3, 2, 2]
    again, _ = simulate(world, np.random.default_rng(3), rounds_of=[3, 2, 2])
    assert all(np.array_equal(a, b) for a, b in zip(chain(*old), chain(*again), strict=True)), "it is seeded"
    many, _ = simulate(world, rng, rounds_of=[4] * 1500)
    spread = process_spread(many)
    assert spread is not None
    assert np.median(np.concatenate([samples for process in many for samples in process])) == pytest.approx(
        USUAL_MS, rel=0.35
    )
    whole = np.sqrt(world.offset**2 + world.slow_share * (1 - world.slow_share) * world.slow_by**2)
    if world.stationary and not world.bursts and not world.wander and not world.two_speeds:
        assert spread.between == pytest.approx(whole, abs=0.0015)


def test_the_script_prints_each_world() -> None:
    command = [sys.executable, str(SCRIPT), "--trials", "2"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert answer.returncode == 0, answer.stderr
    assert all(world.name in answer.stdout for world in WORLDS)
    assert len(answer.stdout.splitlines()) == 2 + len(WORLDS) * len(SPREAD_OVER)
