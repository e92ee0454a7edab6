"""A verification as JUnit XML, which CI systems show: a suite for the file and one for each provider."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree

from resnetx.base.text import message
from resnetx.verification.layers import LayerParity
from resnetx.verification.parity import Parity
from resnetx.verification.result import FileVerdict, ProviderVerdict, Verification

# A case: its name, and why it failed.
Case = tuple[str, str | None]


def render_junit(result: Verification) -> str:
    fault = result.wrong_layer
    first = "" if fault is None else f"; the first wrong layer is {fault}"
    suites = []
    if result.file is not None:
        suites.append(_suite(result, "file", _file_cases(result.file), seconds=result.file.seconds, first=first))
    for verdict in result.verdicts:
        name = f"{verdict.provider} ({verdict.precision})"
        suites.append(_suite(result, name, _provider_cases(verdict), seconds=verdict.seconds, first=first))
    suites += [_suite(result, each.provider, [("runs", each.reason)], kind="error") for each in result.not_run]
    root = ElementTree.Element("testsuites", name="resnetx verify")
    root.extend(suites)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _file_cases(file: FileVerdict) -> Iterable[Case]:
    if file.structure is not None:
        yield "weights and graph", _listed([str(difference) for difference in file.structure.differences])
    yield from _checks(file.parity, " in float64")
    yield from _layers(file.layers)
    yield "card", _listed(file.problems)


def _provider_cases(verdict: ProviderVerdict) -> Iterable[Case]:
    yield from _checks(verdict.parity, "")
    yield from _checks(verdict.graph, ", compared with the graph")
    if verdict.agreement is not None:
        yield "agreement with the float network", verdict.agreement.reason
    yield from _layers(verdict.layers)


def _checks(parity: Parity | None, words: str) -> Iterable[Case]:
    for check in () if parity is None else parity.checks:
        yield f"{check.output} batch {check.batch}{words}", check.reason


def _layers(layers: Sequence[LayerParity]) -> Iterable[Case]:
    if layers:
        wrong = [layer.name for layer in layers if not layer.passed]
        yield "layers", _listed([f"{len(wrong)} of {len(layers)} are wrong"]) if wrong else None


def _listed(problems: Sequence[str]) -> str | None:
    return "; ".join(problems[:3]) or None


def _unique(cases: Iterable[Case]) -> list[Case]:
    """CI systems know cases by their names, and a batch size may be run several times, with samples in other places."""
    seen: Counter[str] = Counter()
    named = []
    for name, reason in cases:
        seen[name] += 1
        named.append((name if seen[name] == 1 else f"{name}, run {seen[name]} in another order", reason))
    return named


def _suite(
    result: Verification,
    name: str,
    cases: Iterable[Case],
    *,
    seconds: float = 0.0,
    first: str = "",
    kind: str = "failure",
) -> ElementTree.Element:
    """`kind` is what a case with a reason is: a failure, or an error if it could not run."""
    rows = _unique(cases)
    count = str(sum(reason is not None for _, reason in rows))
    counts = {"tests": str(len(rows)), "failures": "0", "errors": "0", "skipped": "0", f"{kind}s": count}
    where = message(f"{result.model}: {name}")
    suite = ElementTree.Element("testsuite", counts, name=where, time=f"{seconds:.3f}")
    for number, (case, reason) in enumerate(rows):
        element = ElementTree.SubElement(
            suite,
            "testcase",
            classname=message(f"resnetx.{Path(result.model).stem}.{name.partition(' ')[0]}"),
            name=message(case),
            # Cases are measured together, and readers of the file add up their times.
            time=f"{0.0 if number else seconds:.3f}",
        )
        if reason is not None:
            ElementTree.SubElement(element, kind, message=message(f"{reason}{first}"))
    return suite
