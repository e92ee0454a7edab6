"""A verification as JUnit XML, which CI systems show: a suite for the file and one for each provider."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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
    root = ElementTree.Element("testsuites", name="resnetx verify")
    fault = result.wrong_layer
    first = "" if fault is None else f"; the first wrong layer is {fault}"
    if result.file is not None:
        root.append(_suite(result.model, "file", _file_cases(result.file), first))
    if result.unproven is not None:
        unproven = Case("the outputs depend on the inputs", result.unproven, "error")
        root.append(_suite(result.model, "reference", [unproven], ""))
    for verdict in result.verdicts:
        name = f"{result.model} on {verdict.provider} ({verdict.precision})"
        root.append(_suite(name, verdict.provider, _provider_cases(verdict), first))
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


def _suite(name: str, kind: str, cases: Iterable[Case], first: str) -> ElementTree.Element:
    rows = list(cases)
    found = Counter(row.outcome for row in rows if row.reason is not None)
    counts = {"failures": found["failure"], "errors": found["error"], "skipped": found["skipped"]}
    attributes = {"name": message(name), "tests": str(len(rows)), **{key: str(count) for key, count in counts.items()}}
    suite = ElementTree.Element("testsuite", attributes)
    for row in rows:
        about = {"classname": message(f"resnetx.{kind}"), "name": message(row.name)}
        element = ElementTree.SubElement(suite, "testcase", about)
        if row.reason is not None:
            more = first if row.outcome == "failure" else ""
            ElementTree.SubElement(element, row.outcome, message=message(f"{row.reason}{more}"))
    return suite
