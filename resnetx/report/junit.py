"""A verification as JUnit XML, which CI systems show: a suite for the file and one for each provider."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple
from xml.etree import ElementTree

from resnetx.base.text import message
from resnetx.verification.layers import LayerParity
from resnetx.verification.parity import Parity
from resnetx.verification.result import FileVerdict, ProviderVerdict, Verification


class Case(NamedTuple):
    """`reason` is why it failed, could not be decided, or was skipped."""

    name: str
    reason: str | None = None
    outcome: Literal["failure", "error", "skipped"] = "failure"


def render_junit(result: Verification) -> str:
    fault = result.wrong_layer
    first = "" if fault is None else f"; the first wrong layer is {fault}"
    suites = []
    if result.file is not None:
        suites.append(_suite(result, "file", _file_cases(result.file), seconds=result.file.seconds, first=first))
    if result.unproven is not None:
        unproven = Case("the outputs depend on the inputs", result.unproven, "error")
        suites.append(_suite(result, "reference", [unproven]))
    for verdict in result.verdicts:
        name = f"{verdict.provider} ({verdict.precision})"
        suites.append(_suite(result, name, _provider_cases(verdict), seconds=verdict.seconds, first=first))
    suites += [_suite(result, each.provider, [Case("runs", each.reason, "error")]) for each in result.not_run]
    root = ElementTree.Element("testsuites", name="resnetx verify")
    root.extend(suites)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _file_cases(file: FileVerdict) -> Iterable[Case]:
    if file.structure is not None:
        yield Case("weights and graph", _listed([str(difference) for difference in file.structure.differences]))
    yield from _checks(file.parity, " in float64")
    yield from _layers(file.layers, file.left_out)
    yield Case("card", _listed(file.problems))


def _provider_cases(verdict: ProviderVerdict) -> Iterable[Case]:
    yield from _checks(verdict.parity, "")
    yield from _checks(verdict.graph, ", compared with the graph")
    if verdict.agreement is not None:
        yield Case("agreement with the float network", verdict.agreement.reason)
    yield from _layers(verdict.layers, verdict.left_out)


def _checks(parity: Parity | None, words: str) -> Iterable[Case]:
    for check in () if parity is None else parity.checks:
        yield Case(f"{check.output} batch {check.batch}{words}", check.reason)


def _layers(layers: Sequence[LayerParity], left_out: Mapping[str, str]) -> Iterable[Case]:
    if layers:
        wrong = [layer.name for layer in layers if not layer.passed]
        yield Case("layers", _listed([f"{len(wrong)} of {len(layers)} are wrong"]) if wrong else None)
    if left_out:
        yield Case("layers that are not comparable", f"{len(left_out)} are not comparable", "skipped")


def _listed(problems: Sequence[str]) -> str | None:
    return "; ".join(problems[:3]) or None


def _unique(cases: Iterable[Case]) -> list[Case]:
    """CI systems know cases by their names, and a batch size may be run several times, with samples in other places."""
    seen: Counter[str] = Counter()
    named = []
    for case in cases:
        seen[case.name] += 1
        again = f"{case.name}, run {seen[case.name]} in another order"
        named.append(case if seen[case.name] == 1 else case._replace(name=again))
    return named


def _suite(
    result: Verification, name: str, cases: Iterable[Case], *, seconds: float = 0.0, first: str = ""
) -> ElementTree.Element:
    rows = _unique(cases)
    found = Counter(row.outcome for row in rows if row.reason is not None)
    counts = {"failures": found["failure"], "errors": found["error"], "skipped": found["skipped"]}
    attributes = {"tests": str(len(rows)), **{key: str(count) for key, count in counts.items()}}
    where = message(f"{result.model}: {name}")
    suite = ElementTree.Element("testsuite", attributes, name=where, time=f"{seconds:.3f}")
    for number, row in enumerate(rows):
        element = ElementTree.SubElement(
            suite,
            "testcase",
            classname=message(f"resnetx.{Path(result.model).stem}.{name.partition(' ')[0]}"),
            name=message(row.name),
            # Cases are measured together, and readers of the file add up their times.
            time=f"{0.0 if number else seconds:.3f}",
        )
        if row.reason is not None:
            more = first if row.outcome == "failure" else ""
            ElementTree.SubElement(element, row.outcome, message=message(f"{row.reason}{more}"))
    return suite
