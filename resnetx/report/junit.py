"""A verification as JUnit XML, which CI systems show: a suite for the file and one for each provider."""

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

from resnetx.base.text import message
from resnetx.verification.layers import LayerParity
from resnetx.verification.parity import Parity
from resnetx.verification.result import FileVerdict, ProviderVerdict, Verification

# A case: its name, and why it failed.
Case = tuple[str, str | None]


def render_junit(result: Verification) -> str:
    root = ElementTree.Element("testsuites", name="resnetx verify")
    fault = result.wrong_layer
    first = "" if fault is None else f"; the first wrong layer is {fault}"
    if result.file is not None:
        root.append(_suite(result.model, "file", _file_cases(result.file), first))
    for verdict in result.verdicts:
        name = f"{result.model} on {verdict.provider} ({verdict.precision})"
        root.append(_suite(name, verdict.provider, _provider_cases(verdict), first))
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


def _suite(name: str, kind: str, cases: Iterable[Case], first: str) -> ElementTree.Element:
    rows = list(cases)
    failures = sum(reason is not None for _, reason in rows)
    suite = ElementTree.Element(
        "testsuite", name=message(name), tests=str(len(rows)), failures=str(failures), errors="0", skipped="0"
    )
    for case, reason in rows:
        element = ElementTree.SubElement(suite, "testcase", classname=message(f"resnetx.{kind}"), name=message(case))
        if reason is not None:
            ElementTree.SubElement(element, "failure", message=message(f"{reason}{first}"))
    return suite
