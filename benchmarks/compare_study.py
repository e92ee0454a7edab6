"""How often `resnetx compare` raises a false alarm, how often its interval holds the truth, and how often it finds 5 %.

    python benchmarks/compare_study.py [--trials 1000] [--rows N] [--apart]              # in simulated worlds
    python benchmarks/compare_study.py --real 27 [--duration S] [--rounds N] [--processes N] [--apart] [--json FILE]

Simulated worlds (simulated_worlds.py, seeded) have a known truth: two equally fast cases, and the second 5 % slower.
The same rounds are spread over 1 process (as bench did until its files of version 2), 5, 10 and 20 processes.

Each real comparison is a `bench` of three cases: a model, a copy of it, and a copy whose runner waits for 5 % of each
run's time before it returns. The model against its copy is A against A (in both directions: any alarm is a false one),
and either against the slow copy is A against B. With `--apart` the runs that are compared are not interleaved, as those
of two commits of a repository. An alarm is an exit status of 1 of `compare` at its default limit. A real comparison
takes about three times --duration and three times --processes starts of a process.
"""

import argparse
import json
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from simulated_worlds import WORLDS, Case, World, simulate

import resnetx
from resnetx.benchmark import run
from resnetx.benchmark.comparison.compare import MAX_SLOWDOWN, ComparedRow, compare
from resnetx.benchmark.comparison.ratio import contrast_processes
from resnetx.benchmark.options import BenchOptions, resolved
from resnetx.benchmark.resampling import median_interval
from resnetx.benchmark.result import BenchCase, Benchmark
from resnetx.benchmark.run import run_benchmark
from resnetx.benchmark.waves import rounds_of_processes
from resnetx.graph.card import ModelCard
from resnetx.runtime.runner import Call, Feeds, Runner

SLOWDOWN = 0.05
SLOW_NAME = "slower.onnx"
FALSE_ALARMS = (("model", "copy"), ("copy", "model"))
FINDS = (("model", "slower"), ("copy", "slower"))
DEFAULTS = resolved(BenchOptions())
ROUNDS = 20
SPREAD_OVER = (1, 5, 10, 20)
# Processes of a simulated world for its true median.
MANY = 4000


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Shares of comparisons: with a false alarm, whose interval holds the ratio, and that find a slowdown of 5 %.

    `median_coverage` is the share of cases whose 95 % interval holds the true median, if there is one.
    """

    alarms: float
    coverage: float
    found: float
    median_coverage: float | None


def study(world: World, processes: int, *, trials: int, rows: int = 1, apart: bool = False, seed: int = 1) -> Rates:
    """Simulate `trials` comparisons of `rows` rows; an alarm in any row is one. `apart` are runs of their own."""
    rng, rounds_of, limit = np.random.default_rng(seed), rounds_of_processes(ROUNDS, processes), 1 + MAX_SLOWDOWN
    truth = true_median(world)
    alarms, covered, found, held = 0, 0, 0, 0
    for _ in range(trials):
        past = np.zeros(2, dtype=bool)
        for _ in range(rows):
            old, new = simulate(world, rng, rounds_of=rounds_of)
            if apart:
                new, _ = simulate(world, rng, rounds_of=rounds_of)
            contrast = contrast_processes(old, new, paired=not apart, rows=rows)
            assert contrast is not None
            # In both directions; and a factor on all times of one case moves its interval by that factor.
            past |= [contrast.low > limit, contrast.high < 1 / limit]
            covered += contrast.low <= 1 <= contrast.high
            found += contrast.low * (1 + SLOWDOWN) > limit
            held += truth is not None and _holds(old, truth)
        alarms += int(past.sum())
    count = trials * rows
    return Rates(
        alarms=alarms / (2 * trials),
        coverage=covered / count,
        found=found / count,
        median_coverage=None if truth is None else held / count,
    )


def _holds(processes: Case, truth: float) -> bool:
    interval = median_interval(processes)
    return interval is not None and interval[0] <= truth <= interval[1]


def true_median(world: World) -> float | None:
    """Over many processes."""
    if not world.stationary:
        return None
    levels, _ = simulate(world, np.random.default_rng(0), rounds_of=[2] * MANY)
    return float(np.median(np.concatenate([samples for process in levels for samples in process])))


def print_simulations(trials: int, rows: int, *, apart: bool) -> None:
    how = "apart" if apart else "interleaved"
    print(f"{trials} comparisons of {rows} row{'s' * (rows > 1)}; {ROUNDS} rounds in all, {how}")
    print(f"{'world':32}{'processes':>10}{'alarms':>9}{'coverage':>10}{'5 % found':>11}{'median covered':>16}")
    for world in WORLDS:
        for processes in SPREAD_OVER:
            rates = study(world, processes, trials=trials, rows=rows, apart=apart)
            median = "-" if rates.median_coverage is None else f"{rates.median_coverage:.1%}"
            print(f"{world.name if processes == SPREAD_OVER[0] else '':32}{processes:10}{rates.alarms:9.1%}", end="")
            print(f"{rates.coverage:10.1%}{rates.found:11.1%}{median:>16}", flush=True)


class SlowedRunner(Runner):
    """A runner that waits after each run, for a share of the time that the run took."""

    def __init__(self, runner: Runner, share: float) -> None:
        super().__init__(runner.facts)
        self._runner = runner
        self._share = share

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        begin = time.perf_counter_ns()
        answer = self._runner.run(feeds)
        end = time.perf_counter_ns()
        until = end + int((end - begin) * self._share)
        while time.perf_counter_ns() < until:
            pass
        return answer

    def bind(self, feeds: Feeds) -> Call:
        return partial(self.run, feeds)

    def close(self) -> None:
        self._runner.close()


def work() -> None:
    """The process of one case: the same as in bench, except for the runner of the slow copy."""
    from resnetx.benchmark.worker import CaseOrder, main, open_case

    def opened(order: CaseOrder, card: ModelCard | None) -> Runner:
        runner = open_case(order, card)
        return SlowedRunner(runner, SLOWDOWN) if Path(order.model).name == SLOW_NAME else runner

    main(opened)


def one_comparison(models: list[Path], options: BenchOptions, *, apart: bool) -> dict[str, Benchmark]:
    """The model, its copy and the slow copy, as three benchmarks of a model of one name."""
    worker = (sys.executable, __file__, "--worker")
    if apart:
        runs = [run_benchmark([model], options, worker=worker) for model in models]
    else:
        together = run_benchmark(models, options, worker=worker)
        runs = [replace(together, cases=(case,)) for case in together.cases]
    created = None if apart else runs[0].created
    named = [replace(run, cases=(_renamed(run.cases[0]),), interleaved_with=created) for run in runs]
    return dict(zip(("model", "copy", "slower"), named, strict=True))


def _renamed(case: BenchCase) -> BenchCase:
    if case.status != "ok":
        raise SystemExit(f"{case.name} {case.status}: {case.error}")
    return replace(case, model="model")


def at_most(events: int, trials: int) -> float:
    """The upper bound of the rate with 95 % confidence (Wilson's one-sided bound)."""
    z, rate = 1.645, events / trials
    middle, spread = rate + z * z / (2 * trials), z * math.sqrt(rate * (1 - rate) / trials + (z / (2 * trials)) ** 2)
    return min(1.0, (middle + spread) / (1 + z * z / trials))


def show(row: ComparedRow) -> str:
    assert row.ratio and row.interval
    return f"{row.ratio:.3f} [{row.interval[0]:.3f}, {row.interval[1]:.3f}] {row.verdict}{' !' * row.past_limit}"


def report(rows: Mapping[tuple[str, str], list[ComparedRow]]) -> None:
    wrong = [row for pair in FALSE_ALARMS for row in rows[pair]]
    right = [row for pair in FINDS for row in rows[pair]]
    alarms, found = sum(row.past_limit for row in wrong), sum(row.past_limit for row in right)
    called = sum(row.verdict == "slower" for row in wrong), sum(row.verdict == "slower" for row in right)
    print(f"A against A: {alarms} of {len(wrong)} false alarms, {called[0]} called slower", end="")
    print(f" (with 95 % confidence below {at_most(alarms, len(wrong)):.1%})")
    covered = sum(row.interval is not None and row.interval[0] <= 1 <= row.interval[1] for row in wrong)
    print(f"A against A: {covered} of {len(wrong)} intervals hold the ratio 1")
    print(f"A against B, {SLOWDOWN:.0%} slower: {found} of {len(right)} found, {called[1]} called slower", end="")
    print(f" (with 95 % confidence above {1 - at_most(len(right) - found, len(right)):.1%})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000, help="simulated comparisons in each world")
    parser.add_argument("--rows", type=int, default=1, help="rows of a simulated comparison")
    parser.add_argument("--real", type=int, metavar="N", help="make N real comparisons instead")
    parser.add_argument("--duration", type=float, default=DEFAULTS.duration_s, help="of each case, as in bench")
    parser.add_argument("--rounds", type=int, default=DEFAULTS.rounds)
    parser.add_argument("--processes", type=int, default=DEFAULTS.processes)
    parser.add_argument("--depth", type=int, default=18)
    parser.add_argument("--image-size", type=int, default=112)
    parser.add_argument("--apart", action="store_true", help="benchmark the three one after the other")
    parser.add_argument("--json", type=Path, help="write the samples, one line per comparison")
    options = parser.parse_args()
    if options.real is None:
        print_simulations(options.trials, options.rows, apart=options.apart)
    else:
        compare_really(options)


def compare_really(options: argparse.Namespace) -> None:
    if not options.apart:  # only separate runs need the machine's peaks, which take four seconds
        run.measured_limits = lambda threads, gpu=False: None
    bench = BenchOptions(
        providers=("cpu",),
        duration_s=options.duration,
        rounds=options.rounds,
        processes=options.processes,
        verify=False,
    )
    rows: dict[tuple[str, str], list[ComparedRow]] = {pair: [] for pair in (*FALSE_ALARMS, *FINDS)}
    with tempfile.TemporaryDirectory() as folder:
        models = [Path(folder) / name for name in ("model.onnx", "copy.onnx", SLOW_NAME)]
        config = resnetx.resnet_config(options.depth)
        resnetx.export(config, models[0], image_size=options.image_size, verify=False)
        for copy in models[1:]:
            shutil.copy(models[0], copy)
        with suppress(KeyboardInterrupt):  # the results so far are reported
            for number in range(options.real):
                runs = one_comparison(models, bench, apart=options.apart)
                for pair, found in rows.items():
                    found.append(compare(runs[pair[0]], runs[pair[1]]).rows[0])
                shown = [f"A/A {show(rows[FALSE_ALARMS[0]][-1])}", f"A/B {show(rows[FINDS[0]][-1])}"]
                print(f"{number + 1:4}  {'   '.join(shown)}", flush=True)
                if options.json:
                    with options.json.open("a") as stream:
                        cases = {name: run.cases[0] for name, run in runs.items()}
                        line = {name: [case.round_processes, case.samples_ms] for name, case in cases.items()}
                        stream.write(json.dumps(line) + "\n")
    if rows[FINDS[0]]:
        report(rows)


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        work()
    else:
        main()
