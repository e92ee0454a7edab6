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
    """The cases of both runs by key, and a note on each assumption and on models that were not matched.

    Models are matched by path; if no path is in both runs, by file name, unless they are different networks; otherwise
    the only model of each run, if both are one network. Networks are told apart by their MACs.
    """
    olds, news = _macs_of(old), _macs_of(new)
    if olds.keys() & news.keys():
        changed = [model for model in olds if model in news and _differ(olds[model], news[model])]
        return _keyed(old, {}), _keyed(new, {}), tuple(_changed(each, olds[each], news[each]) for each in changed)
    files = _by_file_name(olds, news)
    pairs = files or (list(zip(olds, news, strict=True)) if len(olds) == len(news) == 1 else [])
    names: dict[str, str] = {}
    notes = []
    for before, after in pairs:
        both = f"{named(before)} and {named(after)}"
        if _differ(olds[before], news[after]):
            counts = f"{olds[before]:,} and {news[after]:,} MACs per image"
            notes.append(f"{both} are different networks ({counts}), and were not compared.")
        elif not files and (olds[before] is None or news[after] is None):
            notes.append(f"{both} are not known to be one network, and were not compared; files of one name are.")
        else:
            names[before] = after
            notes += [] if files else [f"{both} are compared, the only model of each run."]
    return _keyed(old, names), _keyed(new, {}), tuple(notes)


def _macs_of(cases: Iterable[BenchCase]) -> dict[str, int | None]:
    """The multiply-accumulates of each model for one image, where they are known."""
    macs: dict[str, int | None] = {}
    for case in cases:
        known = macs.get(case.model)
        macs[case.model] = case.macs if known is None else known
    return macs


def _differ(old: int | None, new: int | None) -> bool:
    return old is not None and new is not None and old != new


def _changed(model: str, old: int | None, new: int | None) -> str:
    return f"{named(model)} is another network now: {old:,} MACs per image in the old run, {new:,} in the new."


def _by_file_name(olds: Iterable[str], news: Iterable[str]) -> list[tuple[str, str]]:
    """The pairs of models in files of the same name, if each run has every name once."""
    old, new = ([(PurePath(model).name, model) for model in side] for side in (olds, news))
    if any(len(dict(side)) != len(side) for side in (old, new)):
        return []
    return [(model, dict(new)[name]) for name, model in old if name in dict(new)]


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


def nothing_in_common(
    old: Sequence[BenchCase], new: Sequence[BenchCase], names: tuple[str, str], notes: Sequence[str]
) -> UsageError:
    return UsageError(
        f"{names[0]} and {names[1]} have no case in common: {label_some(old)} against {label_some(new)}. "
        f"{' '.join((*notes, 'Rows'))} are matched by model, provider, batch, threads, concurrency and boundary; run "
        "bench with the same options."
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
