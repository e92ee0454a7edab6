"""Which cases of two benchmarks belong together, and whether their machines do."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from resnetx.measure.benched import BenchCase, Benchmark

MACHINE_FACTS = ("processor", "architecture", "instruction_sets", "cores", "cpus", "cpu_quota", "gpus", "gpu", "python")
# A newer resnetx on the same machine is what many want to compare.
OWN_PACKAGE = "resnetx"


Key = tuple[str, str, int, int, int, str, int]


def match_cases(
    old: Sequence[BenchCase], new: Sequence[BenchCase]
) -> tuple[dict[Key, BenchCase], dict[Key, BenchCase], tuple[str, ...]]:
    """The cases of both runs by key, and what was assumed about it.

    Models go by their path; where no path is in both runs, by file name; and a run's only model by being that.
    """
    models = [list(dict.fromkeys(case.model for case in cases)) for cases in (old, new)]
    if set(models[0]) & set(models[1]):
        return _keyed(old, {}), _keyed(new, {}), ()
    files = [[PurePath(model).name for model in side] for side in models]
    if set(files[0]) & set(files[1]) and all(len(set(side)) == len(side) for side in files):
        by_file = {model: PurePath(model).name for side in models for model in side}
        return _keyed(old, by_file), _keyed(new, by_file), ()
    if len(models[0]) == len(models[1]) == 1:
        note = f"{shorten(models[0][0])} is compared with {shorten(models[1][0])}, the only model of each run."
        return _keyed(old, {models[0][0]: models[1][0]}), _keyed(new, {}), (note,)
    return _keyed(old, {}), _keyed(new, {}), ()


def _keyed(cases: Iterable[BenchCase], names: Mapping[str, str]) -> dict[Key, BenchCase]:
    """Cases alike in all that tells rows apart are told apart by their order."""
    seen: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    keyed: dict[Key, BenchCase] = {}
    for case in cases:
        model = names.get(case.model, case.model)
        key = (model, case.provider, case.batch, case.threads, case.concurrency, case.boundary)
        keyed[*key, seen[key]] = case
        seen[key] += 1
    return keyed


def interleaved(old: Benchmark, new: Benchmark) -> bool:
    """Whether the two took turns: one of them names the other's `created` as what it was `interleaved_with`."""
    return old.settings.get("interleaved_with") == new.created or new.settings.get("interleaved_with") == old.created


def machine_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """What of the two machines decides how fast they are, and differs."""
    found = [name for name in MACHINE_FACTS if old.get(name) != new.get(name)]
    differences = [f"{name}: {shorten(old.get(name))} against {shorten(new.get(name))}" for name in found]
    before, after = (_versions(machine) for machine in (old, new))
    packages = sorted(name for name in {*before, *after} - {OWN_PACKAGE} if before.get(name) != after.get(name))
    return (
        *differences,
        *(f"{name} {before.get(name, 'absent')} against {after.get(name, 'absent')}" for name in packages),
    )


def _versions(machine: Mapping[str, Any]) -> dict[str, str]:
    versions = machine.get("versions")
    return {str(name): shorten(value) for name, value in versions.items()} if isinstance(versions, dict) else {}


def shorten(value: object) -> str:
    text = "not known" if value is None else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def label_case(case: BenchCase) -> str:
    return f"{case.name}, {case.threads} threads"


def label_some(cases: Sequence[BenchCase]) -> str:
    more = f" and {len(cases) - 2} more" if len(cases) > 2 else ""
    return ", ".join(shorten(label_case(case)) for case in cases[:2]) + more
