"""Reads benchmarks from untrusted files: validates schema version, types and sizes, and upgrades older versions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resnetx.base.regular_file import read_limited
from resnetx.base.validation import object_of, validated
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.result import SCHEMA, Benchmark
from resnetx.benchmark.summary import summarized
from resnetx.errors import FileError

MAX_BYTES = 200 * 2**20
# Fields of the run that version 1 stored in the settings.
RUN_FACTS = ("limits_problem", "interleaved_with", "against")


def read_benchmark(path: str | Path) -> Benchmark:
    """The run in a file that `resnetx bench --json` wrote. Raises FileError for any other file."""
    path = Path(path)
    data = read_limited(path, MAX_BYTES, "a benchmark")
    try:
        run = parse_benchmark(data.decode(), source=str(path))
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is not a benchmark that `resnetx bench --json` wrote ({error}).") from error
    if not run.cases:
        raise FileError(f"{path} holds a benchmark without any case; give a file of a run that has results.")
    return run


def parse_benchmark(text: str, *, source: str) -> Benchmark:
    """A run from its JSON, with its figures derived again."""
    try:
        data = object_of(json.loads(text))
        schema = data.get("schema")
        if not isinstance(schema, str) or schema not in UPGRADES:
            raise FileError(
                f"{source} has the schema {str(schema)[:60]!r}, but a benchmark needs {SCHEMA} or older; "
                "give a file that `resnetx bench --json` wrote."
            )
        return summarized(validated(Benchmark, UPGRADES[schema](dict(data))))
    except (ValueError, RecursionError) as error:
        reason = str(error) or "it is nested too deep"
        raise FileError(f"{source} is not a benchmark that `resnetx bench --json` wrote ({reason}).") from error


def _from_version_1(data: dict[str, Any]) -> dict[str, Any]:
    settings = dict(object_of(data.get("settings", {})))
    facts = {name: settings.pop(name) for name in RUN_FACTS if name in settings}
    known = BenchOptions.__dataclass_fields__
    # Version 1 stored unknown settings as null; now they have defaults.
    kept = {name: value for name, value in settings.items() if name in known and value is not None}
    return _from_version_2({**data, **facts, "settings": kept})


def _from_version_2(data: dict[str, Any]) -> dict[str, Any]:
    """Its cases ran in one process each."""
    return {**data, "settings": {**object_of(data.get("settings", {})), "processes": 1}}


UPGRADES: dict[object, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "resnetx.bench/1": _from_version_1,
    "resnetx.bench/2": _from_version_2,
    SCHEMA: lambda data: data,
}
