"""How good a judge `resnetx verify` is: faults caught, layers named, and alarms on honest files.

    python -m benchmarks.fault_study [--classes NAME ...] [--faults | --honest] [--quick] [--json FILE]

Run it in the repository: faults and honest files are those of the tests. A fault counts if it is observable, which the
tests of the corpus make sure of: at least 16 times PyTorch's own error for who looks as it needs, or a weight that is
off by more than eight roundings. Every fault that passes, every layer named wrongly and every alarm is listed.
"""

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from resnetx.errors import ResnetxError
from resnetx.runtime.ort.engine import newest_opset
from resnetx.verification.verify import verify_file
from tests.support.honest_files import HonestFile, honest_files
from tests.verification.faults import FAULTS, HIDDEN, Fault
from tests.verification.faults.verdict import verdict_on

CLASSES: dict[str, tuple[Fault, ...]] = {"first corpus": tuple(each for each in FAULTS if each.observable), **HIDDEN}
TARGET = 0.99


@dataclass(frozen=True, kw_only=True)
class Row:
    """One file; `problem` is why it counts against the judge, None where all is right."""

    kind: str
    name: str
    caught: bool
    named_right: bool
    problem: str | None


def judge_fault(kind: str, fault: Fault) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        try:
            verdict = verdict_on(fault, Path(folder))
        except ResnetxError as error:
            # A file that cannot be verified did not pass; but nobody is told where it is wrong.
            return Row(kind=kind, name=fault.name, caught=True, named_right=False, problem=f"error: {error}")
    problem = "passed" if verdict.passed else None if verdict.named_right else f"{verdict.named} for {fault.layer}"
    return Row(
        kind=kind,
        name=fault.name,
        caught=not verdict.passed,
        named_right=verdict.named_right,
        problem=problem,
    )


def judge_honest(file: HonestFile) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        try:
            path, options = file.make(Path(folder))
            result = verify_file(path, options)
        except ResnetxError as error:
            return Row(kind="honest", name=file.name, caught=True, named_right=True, problem=f"error: {error}")
    reasons = [check.reason for verdict in result.verdicts for check in verdict.parity.checks if check.reason]
    problem = None if result.passed else "; ".join(dict.fromkeys(reasons)) or "failed without a reason"
    return Row(kind="honest", name=file.name, caught=not result.passed, named_right=True, problem=problem)


def shown(row: Row) -> Row:
    """Tell of a problem at once: the whole study takes many minutes."""
    if row.problem:
        print(f"{row.kind}: {row.name}: {row.problem}", file=sys.stderr, flush=True)
    return row


def report_faults(rows: Sequence[Row]) -> bool:
    print(f"{'class':18}{'faults':>8}{'caught':>8}{'named right':>13}")
    for kind in dict.fromkeys(row.kind for row in rows):
        _print_counts(kind, [row for row in rows if row.kind == kind])
    _print_counts("all", rows)
    for row in rows:
        if row.problem:
            print(f"  {'wrong layer' if row.caught else 'MISSED':12}{row.kind}: {row.name} ({row.problem})")
    caught = [row for row in rows if row.caught]
    named = sum(row.named_right for row in caught)
    return len(caught) >= TARGET * len(rows) and named >= TARGET * len(caught)


def _print_counts(kind: str, rows: Sequence[Row]) -> None:
    caught = [row for row in rows if row.caught]
    print(f"{kind:18}{len(rows):8}{len(caught):8}{sum(row.named_right for row in caught):13}")


def report_honest(rows: Sequence[Row]) -> bool:
    alarms = [row for row in rows if row.problem]
    print(f"honest files: {len(rows)}, alarms: {len(alarms)}")
    for row in alarms:
        print(f"  ALARM       {row.name} ({row.problem})")
    return not alarms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", nargs="*", choices=CLASSES, default=list(CLASSES), metavar="NAME")
    parser.add_argument("--faults", action="store_true", help="the faults only")
    parser.add_argument("--honest", action="store_true", help="the honest files only")
    parser.add_argument("--quick", action="store_true", help="only the honest files that take no more than a second")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    # torchvision and the exporters deprecate each other's interfaces.
    warnings.simplefilter("ignore")
    faults = [] if options.honest else [(kind, fault) for kind in options.classes for fault in CLASSES[kind]]
    files = [] if options.faults else honest_files(newest_opset())
    faulty = [shown(judge_fault(kind, fault)) for kind, fault in faults]
    honest = [shown(judge_honest(file)) for file in files if not (options.quick and file.slow)]
    good = [report(rows) for report, rows in ((report_faults, faulty), (report_honest, honest)) if rows]
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in (*faulty, *honest)], indent=1))
    raise SystemExit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
