"""A verification as JUnit XML, which CI systems show: one suite per provider, one case per check."""

from xml.etree import ElementTree

from resnetx.base.text import message
from resnetx.verification.result import ProviderVerdict, Verification


def render_junit(result: Verification) -> str:
    root = ElementTree.Element("testsuites", name="resnetx verify")
    for verdict in result.verdicts:
        root.append(_suite(result, verdict))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(result: Verification, verdict: ProviderVerdict) -> ElementTree.Element:
    checks = verdict.parity.checks
    failures = sum(not check.passed for check in checks)
    name = f"{result.model} on {verdict.provider} ({verdict.precision})"
    suite = ElementTree.Element(
        "testsuite", name=message(name), tests=str(len(checks)), failures=str(failures), errors="0", skipped="0"
    )
    for check in checks:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=message(f"resnetx.{verdict.provider}"),
            name=message(f"{check.output} batch {check.batch}"),
        )
        if not check.passed:
            fault = verdict.first_fault
            first = "" if fault is None else f"; the first wrong layer is {fault.name}"
            ElementTree.SubElement(case, "failure", message=message(f"{check.reason}{first}"))
    return suite
