"""Runs hostile cases over all commands, prints failures with their seeds and counts, and exits with 1 if any fails."""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0, help="of the first case; each family counts on from it")
    parser.add_argument("--minutes", type=float, default=15.0, help="no case begins later")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--family", action="append", help="only this family; repeatable")
    parser.add_argument("--case", action="append", default=[], metavar="FAMILY:SEED", help="only this case; repeatable")
    parser.add_argument(
        "--without-limits", action="store_true", help="leave out what needs the limits of base/isolation"
    )
    parser.add_argument("--corpus", type=Path, help="a folder to keep the honest files in for the next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-corpus-") as folder:
        sys.exit(_run(options, options.corpus or Path(folder)))


def _run(options: argparse.Namespace, folder: Path) -> int:
    from tests.fuzz.corpus import make_corpus
    from tests.fuzz.families import FAMILIES
    from tests.fuzz.harness import Outcome, run_cases

    chosen = options.family or [
        name for name, family in FAMILIES.items() if not (options.without_limits and family.needs_limits)
    ]
    if options.case:
        cases = [(name, int(seed)) for name, _, seed in (case.rpartition(":") for case in options.case)]
    else:
        cases = _plan(chosen, {name: FAMILIES[name].share for name in chosen}, options.cases, options.seed)
    corpus = make_corpus(folder)
    _load()
    began = time.monotonic()
    until = began + 60 * options.minutes
    outcomes: list[Outcome] = []
    for outcome in run_cases(cases, FAMILIES, corpus, jobs=options.jobs, until=until):
        outcomes.append(outcome)
        if outcome.problems or options.case:
            print(f"{outcome.name}: {'; '.join(outcome.problems) or f'exit status {outcome.status}'}", flush=True)
            print(f"    resnetx {' '.join(ascii(word)[1:-1][:120] for word in outcome.arguments)}", flush=True)
    failed = _report(outcomes, time.monotonic() - began)
    if len(outcomes) < len(cases):
        print(f"{len(cases) - len(outcomes)} of {len(cases)} cases were not begun within {options.minutes:g} minutes.")
        failed = True
    return int(failed)


def _plan(names: list[str], shares: dict[str, float], count: int, seed: int) -> list[tuple[str, int]]:
    total = sum(shares.values())
    cases = [(name, seed + index) for name in names for index in range(max(1, round(count * shares[name] / total)))]
    random.Random(seed).shuffle(cases)
    return cases


def _load() -> None:
    """What every case needs, once; nothing here may start threads or open sessions, which a fork would not survive."""
    import resnetx.benchmark.comparison.rerun
    import resnetx.benchmark.profiling.run
    import resnetx.benchmark.run
    import resnetx.cli.app
    import resnetx.conversion.export
    import resnetx.inputs.image_folder
    import resnetx.report.bench
    import resnetx.report.comparison
    import resnetx.report.profile
    import resnetx.verification.verify
    import resnetx.weights.remote.hub  # noqa: F401


def _report(outcomes: list[Any], seconds: float) -> bool:
    counts: dict[str, Counter[object]] = {}
    for outcome in outcomes:
        kind = "failed" if outcome.problems else outcome.status
        counts.setdefault(outcome.family, Counter())[kind] += 1
    titles = ("cases", "exit 0", "exit 1", "exit 2", "failed", "peak MB", "mean s", "most s")
    heads = "".join(f"{head:>8}" for head in titles)
    print(f"\n{'family':<22}{heads}")
    for name in sorted(counts):
        count, own = counts[name], [outcome for outcome in outcomes if outcome.family == name]
        figures = "".join(f"{count[kind]:>8}" for kind in (0, 1, 2, "failed"))
        peak, slowest = max(each.peak_mb for each in own), max(each.seconds for each in own)
        mean = sum(each.seconds for each in own) / len(own)
        print(f"{name:<22}{len(own):>8}{figures}{peak:>8}{mean:>8.1f}{slowest:>8.1f}")
    failed = sum(bool(outcome.problems) for outcome in outcomes)
    print(f"{len(outcomes)} cases in {seconds:.0f} s, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    main()
