"""Benchmarks read from files that anyone may have written: whole, of this schema, and of sane types and sizes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from resnetx.benchmark.loadgen.result import LoadResult
from resnetx.benchmark.result import Benchmark, ColdStart, Status
from resnetx.errors import FileError

MAX_BYTES = 200 * 2**20
MAX_CASES = 10_000
MAX_ROUNDS = 1000
MAX_PERCENTILES = 100
MAX_COUNT = 10**9
# No figure of ours is larger: the most multiply-adds of a model.
HIGHEST = 10**18
# Of what is nested freely: the machine, the settings, a verdict.
DEEPEST = 12

Check = Callable[[Any], bool]


def read_benchmark(path: str | Path) -> Benchmark:
    """The run in a file that `resnetx bench --json` wrote; anything else is refused by name."""
    path = Path(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileError(
            f"Cannot read {path} as a benchmark: {error.strerror or error}. Give a file of bench --json."
        ) from error
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
    groups = (("case", run.cases), ("base case", run.base_cases))
    for name, cases in groups:
        if len(cases) > MAX_CASES:
            return f"{len(cases)} {name}s"
    limits = () if run.limits is None else vars(run.limits).items()
    wrong = [f"limits: {name}" for name, value in limits if not _is_none_or(_is_number)(value)]
    wrong += [name for name in ("machine", "settings") if not _is_shallow(getattr(run, name))]
    if len(run.percentiles) > MAX_PERCENTILES:
        wrong.append("settings: percentiles")
    for kind, cases in groups:
        for number, case in enumerate(cases):
            wrong += [f"{kind} {number + 1}: {name}" for name, fits in CHECKS.items() if not fits(getattr(case, name))]
    return f"{wrong[0]} has an impossible value" if wrong else None


def _is_none_or(fits: Check) -> Check:
    return lambda value: value is None or fits(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= HIGHEST


def _is_count(value: object) -> bool:
    return _is_number(value) and isinstance(value, int) and value <= MAX_COUNT


def _is_list(fits: Check) -> Check:
    return lambda value: isinstance(value, list) and all(fits(item) for item in value)


def _is_option_list(value: object) -> bool:
    return isinstance(value, dict) and all(_is_text(key) and _is_text(item) for key, item in value.items())


def _is_place(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and _is_text(value[0]) and _is_count(value[1])


def _is_cold(value: object) -> bool:
    return (
        isinstance(value, ColdStart)
        and _is_number(value.session_s)
        and _is_number(value.first_run_ms)
        and _is_none_or(_is_text)(value.engine)
    )


def _is_samples(value: object) -> bool:
    return _is_list(_is_list(_is_number))(value) and isinstance(value, list) and len(value) <= MAX_ROUNDS


def _is_parity(value: object) -> bool:
    """A verdict with its checks, or a reason why there is none; figures may be words, because JSON has no infinity."""
    if not isinstance(value, dict) or not _is_shallow(value):
        return False
    checks = value.get("checks")
    return isinstance(value.get("passed", False), bool) and _is_none_or(_is_list(_is_check))(checks)


def _is_check(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("passed"), bool)
        and all(_is_none_or(_is_figure)(value.get(name)) for name in ("multiple", "allowed"))
        and _is_none_or(_is_figures)(value.get("metrics"))
    )


def _is_figure(value: object) -> bool:
    return _is_number(value) or _is_text(value)


def _is_figures(value: object) -> bool:
    return isinstance(value, dict) and all(_is_none_or(_is_figure)(item) or _is_low(item) for item in value.values())


def _is_low(value: object) -> bool:
    """Decibels, say, lie below zero as well."""
    return isinstance(value, int | float) and _is_number(-value)


def _is_shallow(value: object, depth: int = DEEPEST) -> bool:
    """Whoever shows it or compares it goes down into it."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_is_shallow(item, depth - 1) for item in inner)
    return True


CHECKS: dict[str, Check] = {
    "model": _is_text,
    "provider": _is_text,
    "batch": lambda value: _is_count(value) and value != 0,
    "threads": lambda value: _is_count(value) and value != 0,
    "effective_precision": _is_text,
    "boundary": lambda value: value in ("host", "device"),
    "concurrency": lambda value: _is_count(value) and value != 0,
    "options": _is_option_list,
    "provider_options": _is_option_list,
    "model_sha256": _is_none_or(_is_text),
    "fallback": _is_none_or(_is_text),
    "placement": _is_list(_is_place),
    "parity": _is_none_or(_is_parity),
    "cold": _is_none_or(_is_cold),
    "macs": _is_none_or(lambda value: _is_number(value) and isinstance(value, int)),
    "samples_ms": _is_samples,
    "load": _is_none_or(lambda value: isinstance(value, LoadResult)),  # read and checked as a whole
    "peak_memory_mb": _is_none_or(_is_number),
    "gpu_memory_mb": _is_none_or(_is_number),
    "energy_j": _is_none_or(_is_number),
    "energy_of": _is_none_or(_is_text),
    "status": lambda value: value in get_args(Status),
    "error": _is_none_or(_is_text),
    "warnings": _is_list(_is_text),
}
