"""Benchmarks read from files that anyone may have written: whole, of this schema, and of sane types and sizes."""

from collections.abc import Iterable
from pathlib import Path
from typing import get_args

from resnetx.errors import FileError
from resnetx.measure.benched import BenchCase, Benchmark, Status

MAX_BYTES = 200 * 2**20
MAX_CASES = 10_000
MAX_ROUNDS = 1000


def read_benchmark(path: str | Path) -> Benchmark:
    """The run in a file that `resnetx bench --json` wrote; anything else is refused by name."""
    path = Path(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileError(f"Cannot read {path} as a benchmark: {error.strerror or error}.") from error
    if len(data) > MAX_BYTES:
        raise FileError(
            f"{path} is larger than {MAX_BYTES >> 20} MB, and no benchmark is; give a file of bench --json."
        )
    try:
        run = Benchmark.from_json(data.decode(), source=str(path))
    except (UnicodeDecodeError, OverflowError, RecursionError) as error:
        raise FileError(f"{path} is not a benchmark that `resnetx bench --json` wrote ({error}).") from error
    if not run.cases:
        raise FileError(f"{path} holds a benchmark without any case, so there is nothing to read from it.")
    problem = _problem(run)
    if problem:
        raise FileError(f"{path} is not a benchmark that `resnetx bench --json` wrote ({problem}).")
    return run


def _problem(run: Benchmark) -> str | None:
    """What no benchmark of ours would say, or None."""
    if len(run.cases) > MAX_CASES:
        return f"{len(run.cases)} cases"
    limits = () if run.limits is None else (*vars(run.limits).items(),)
    wrong = [f"limits: {name}" for name, value in limits if value is not None and not _is_number(value)]
    for number, case in enumerate(run.cases):
        wrong += [f"case {number + 1}: {name}" for name in _wrong_fields(case)]
    return f"{wrong[0]} has an impossible value" if wrong else None


def _wrong_fields(case: BenchCase) -> Iterable[str]:
    for name in ("model", "provider", "effective_precision"):
        if not isinstance(getattr(case, name), str):
            yield name
    for name in ("batch", "threads", "concurrency"):
        value = getattr(case, name)
        if not _is_number(value) or not isinstance(value, int) or not 0 < value <= 10**9:
            yield name
    if case.macs is not None and not (isinstance(case.macs, int) and 0 <= case.macs <= 10**18):
        yield "macs"
    if case.boundary not in ("host", "device"):
        yield "boundary"
    if case.status not in get_args(Status):
        yield "status"
    if len(case.samples_ms) > MAX_ROUNDS:
        yield "samples_ms"
    if not (isinstance(case.warnings, list) and isinstance(case.error, str | None)):
        yield "warnings or error"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
