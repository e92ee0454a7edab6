"""Matches the cases of two benchmarks, and checks whether they ran on the same machine."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from resnetx.benchmark.result import BenchCase, Benchmark
from resnetx.errors import UsageError
from resnetx.machine.differences import HARDWARE, fact_differences, named, version_differences

MACHINE_FACTS = ("gpu", "python")
# Compared if both runs have them: older files do not.
FREQUENCY_FACTS = ("governor", "turbo")
# Not compared, because a comparison of two versions of resnetx is a common use.
OWN_PACKAGES = frozenset({"resnetx"})


Key = tuple[str, str, int, int, int, str, int]
Keyed = dict[Key, BenchCase]


def match_runs(old: Benchmark, new: Benchmark) -> tuple[Keyed, Keyed, frozenset[Key], tuple[str, ...]]:
    """Like `match_cases`, with the keys of the cases that ran in interleaved rounds; these are from those rounds.

    The runs are interleaved if one run's `interleaved_with` is the other's `created`: in all cases, or in those cases
    of the other that it ran again and stored as its `base_cases`.
    """
    olds, news, notes = match_cases(old.cases, new.cases)
    interleaved = olds.keys() & news.keys()
    if new.interleaved_with == old.created:
        again, there = match_cases(new.base_cases, new.cases)[0], olds
    elif old.interleaved_with == new.created:
        again, there = match_cases(old.cases, old.base_cases)[1], news
    else:
        return olds, news, frozenset(), notes
    if again:
        interleaved &= again.keys()
        there.update({key: again[key] for key in interleaved})
    return olds, news, frozenset(interleaved), notes


def match_cases(old: Sequence[BenchCase], new: Sequence[BenchCase]) -> tuple[Keyed, Keyed, tuple[str, ...]]:
    """The cases of both runs by key, and a note on each assumption.

    Models are matched by path; if no path is in both runs, by file name; otherwise the only model of each run.
    """
    models = [list(dict.fromkeys(case.model for case in cases)) for cases in (old, new)]
    if set(models[0]) & set(models[1]):
        return _keyed(old, {}), _keyed(new, {}), ()
    files = [[PurePath(model).name for model in side] for side in models]
    if set(files[0]) & set(files[1]) and all(len(set(side)) == len(side) for side in files):
        by_file = {model: PurePath(model).name for side in models for model in side}
        return _keyed(old, by_file), _keyed(new, by_file), ()
    if len(models[0]) == len(models[1]) == 1:
        note = f"{named(models[0][0])} is compared with {named(models[1][0])}, the only model of each run."
        return _keyed(old, {models[0][0]: models[1][0]}), _keyed(new, {}), (note,)
    return _keyed(old, {}), _keyed(new, {}), ()


def _keyed(cases: Iterable[BenchCase], names: Mapping[str, str]) -> Keyed:
    """Cases with the same model and settings are distinguished by their order."""
    seen: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    keyed: Keyed = {}
    for case in cases:
        model = names.get(case.model, case.model)
        key = (model, case.provider, case.batch, case.threads, case.concurrency, case.boundary)
        keyed[*key, seen[key]] = case
        seen[key] += 1
    return keyed


def nothing_in_common(old: Sequence[BenchCase], new: Sequence[BenchCase], names: tuple[str, str]) -> UsageError:
    return UsageError(
        f"{names[0]} and {names[1]} have no case in common: {label_some(old)} against {label_some(new)}. Rows are "
        "matched by model, provider, batch, threads, concurrency and boundary; run bench with the same options."
    )


def require_rounds(old: Benchmark, new: Benchmark, names: tuple[str, str]) -> None:
    """Scenarios have no rounds, so the variation of their results is unknown."""
    for name, run in zip(names, (old, new), strict=True):
        scenarios = sorted({case.load.scenario for case in run.cases if case.load is not None})
        if scenarios:
            raise UsageError(
                f"{name} holds runs of the scenario {', '.join(scenarios)}, which have no rounds; a comparison needs "
                "rounds. Compare runs of bench without --scenario."
            )


def require_same_machine(old: Mapping[str, Any], new: Mapping[str, Any], names: tuple[str, str]) -> None:
    differences = machine_differences(old, new)
    if differences:
        raise UsageError(
            f"{names[0]} and {names[1]} come from different machines ({'; '.join(differences)}), and a ratio between "
            "them says nothing about the models. Run both on one machine, or accept it with --any-machine."
        )


def machine_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """The differences between the two machines that affect speed."""
    known = [name for name in FREQUENCY_FACTS if old.get(name) is not None and new.get(name) is not None]
    return (
        *fact_differences(old, new, (*HARDWARE, *MACHINE_FACTS, *known)),
        *version_differences(old, new, without=OWN_PACKAGES),
    )


def label_case(case: BenchCase) -> str:
    return f"{case.name}, {case.threads} threads"


def label_some(cases: Sequence[BenchCase]) -> str:
    more = f" and {len(cases) - 2} more" if len(cases) > 2 else ""
    return ", ".join(named(label_case(case)) for case in cases[:2]) + more
