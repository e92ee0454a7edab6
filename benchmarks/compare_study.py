"""How often `resnetx compare` raises a false alarm, and how often it finds a model that is 5 % slower, on this machine.

    python benchmarks/compare_study.py [--comparisons 27] [--duration S] [--rounds N] [--apart] [--json FILE]

Each comparison is a real `bench` of three cases, a process each: a model, a copy of it, and a copy whose runner waits
for 5 % of each run's time before it returns. The model against its copy is A against A (in both directions: any alarm
is a false one), and either against the slow copy is A against B. With `--apart` the three are benchmarked one after the
other, not in interleaved rounds, as two commits of a repository would be. An alarm is an exit status of 1 of `compare`
at its default limit. The defaults take about ten minutes; rates of one percent need `--comparisons 300`.
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
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

import resnetx
from resnetx.benchmark import run
from resnetx.benchmark.comparison.compare import ComparedRow, compare
from resnetx.benchmark.options import BenchOptions, resolved
from resnetx.benchmark.result import BenchCase, Benchmark
from resnetx.benchmark.run import run_benchmark
from resnetx.graph.card import ModelCard
from resnetx.runtime.runner import Call, Feeds, Runner

SLOWDOWN = 0.05
SLOW_NAME = "slower.onnx"
FALSE_ALARMS = (("model", "copy"), ("copy", "model"))
FINDS = (("model", "slower"), ("copy", "slower"))
DEFAULTS = resolved(BenchOptions())


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
    print(f"A against B, {SLOWDOWN:.0%} slower: {found} of {len(right)} found, {called[1]} called slower", end="")
    print(f" (with 95 % confidence above {1 - at_most(len(right) - found, len(right)):.1%})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=27)
    parser.add_argument("--duration", type=float, default=DEFAULTS.duration_s, help="of each case, as in bench")
    parser.add_argument("--rounds", type=int, default=DEFAULTS.rounds)
    parser.add_argument("--depth", type=int, default=18)
    parser.add_argument("--image-size", type=int, default=112)
    parser.add_argument("--apart", action="store_true", help="benchmark the three one after the other")
    parser.add_argument("--json", type=Path, help="write the samples, one line per comparison")
    options = parser.parse_args()
    if not options.apart:  # only separate runs need the machine's peaks, which take four seconds
        run.measured_limits = lambda threads, gpu=False: None
    bench = BenchOptions(providers=("cpu",), duration_s=options.duration, rounds=options.rounds, verify=False)
    rows: dict[tuple[str, str], list[ComparedRow]] = {pair: [] for pair in (*FALSE_ALARMS, *FINDS)}
    with tempfile.TemporaryDirectory() as folder:
        models = [Path(folder) / name for name in ("model.onnx", "copy.onnx", SLOW_NAME)]
        config = resnetx.resnet_config(options.depth)
        resnetx.export(config, models[0], image_size=options.image_size, verify=False)
        for copy in models[1:]:
            shutil.copy(models[0], copy)
        with suppress(KeyboardInterrupt):  # the results so far are reported
            for number in range(options.comparisons):
                runs = one_comparison(models, bench, apart=options.apart)
                for pair, found in rows.items():
                    found.append(compare(runs[pair[0]], runs[pair[1]]).rows[0])
                shown = [f"A/A {show(rows[FALSE_ALARMS[0]][-1])}", f"A/B {show(rows[FINDS[0]][-1])}"]
                print(f"{number + 1:4}  {'   '.join(shown)}", flush=True)
                if options.json:
                    with options.json.open("a") as stream:
                        stream.write(json.dumps({name: run.cases[0].samples_ms for name, run in runs.items()}) + "\n")
    if rows[FINDS[0]]:
        report(rows)


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        work()
    else:
        main()
