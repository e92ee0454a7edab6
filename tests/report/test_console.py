"""What a file names is shown as text, whatever report shows it: no control sequence, no markup, no emoji code."""

import re
from collections.abc import Callable
from io import StringIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from resnetx.report.console import ReportConsole, plain_text
from resnetx.report.inspection import shown as shown_name
from resnetx.report.verification import render_verification
from resnetx.verification.layers import LayerParity
from resnetx.verification.metrics import measure
from resnetx.verification.parity import Check, Parity
from resnetx.verification.result import ProviderVerdict, Verification

HOSTILE = "a\x1b]0;title\x07\x9b2J[/bold][red]:bomb:\r"


def shown(renderable: RenderableType, *, terminal: bool = False) -> str:
    console = ReportConsole(file=StringIO(), width=200, force_terminal=terminal, color_system=None)
    console.print(renderable)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def verification(text: str) -> Verification:
    metrics = measure(np.ones((1, 3)), np.ones((1, 3)))
    checks = [Check(output=text, batch=1, passed=passed, reason=text, metrics=metrics) for passed in (True, False)]
    layer = LayerParity(name=text, original=text, op=text, shape=(1,), error=1.0, noise=0.1, multiple=9.0, passed=False)
    verdict = ProviderVerdict(
        provider=text,
        precision=text,
        placement=((text, 1),),
        options={},
        parity=Parity(precision="fp32", checks=tuple(checks)),
        deterministic=False,
        layers=(layer,),
        notes=(text,),
    )
    return Verification(
        file=None,
        model=text,
        model_sha256="",
        architecture=text,
        reference=text,
        seed=0,
        samples=1,
        verdicts=(verdict,),
    )


def in_a_table(text: str) -> Table:
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    return table


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(
    "renderable", [HOSTILE, Text(HOSTILE), in_a_table(HOSTILE), render_verification(verification(HOSTILE))]
)
def test_nothing_in_a_text_controls_the_terminal(renderable: RenderableType, terminal: bool) -> None:
    text = shown(renderable, terminal=terminal)
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "[/bold][red]:bomb:" in text


def test_lines_stay_and_a_progress_bar_still_moves_the_cursor() -> None:
    assert shown("one\ntwo") == "one\ntwo\n"
    console = ReportConsole(file=StringIO(), width=80, force_terminal=True)
    with Progress(console=console) as progress:
        progress.add_task("work", total=1)
    assert "\x1b[?25l" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["x" * 100_000, "word " * 20_000, "\u0301" * 100_000, "ab\n" + "\u202e" * 100_000])
@pytest.mark.parametrize("shape", [Text, in_a_table, str, lambda text: render_verification(verification(text))])
def test_a_text_of_any_length_is_shown_short(text: str, shape: Callable[[str], RenderableType]) -> None:
    out = shown(shape(text), terminal=True)
    assert len(out) < 70_000 and "\u202e" not in out
    assert max(map(len, out.splitlines())) <= 200
    assert "…" in out


@given(st.lists(st.text("ab/._-:", min_size=1, max_size=300), min_size=1, max_size=5))
def test_into_a_file_nothing_is_cut_padded_or_wrapped(names: list[str]) -> None:
    table = Table("name", "number")
    for name in names:
        table.add_row(name, "1")
    lines = plain_text(lambda width: Group(table, Padding(" ".join(names), (0, 0, 0, 2)))).splitlines()
    assert all(line == line.rstrip() for line in lines)
    assert all(name in line for name, line in zip(names, lines[3:], strict=False))
    assert lines[-1] == f"  {' '.join(names)}"


def test_a_file_gets_no_more_than_an_honest_name_needs() -> None:
    out = plain_text(lambda width: render_verification(verification("x" * 100_000)))
    assert "…" in out and len(out) < 70_000
    assert shown_name("n" * 500, 40) == f"{'n' * 20}…{'n' * 19}"
    assert plain_text(lambda width: Text(shown_name("n" * 500, 40))) == f"{'n' * 500}\n"


@given(st.text("abc/._-:", max_size=120), st.integers(10, 30))
def test_a_long_name_continues_behind_a_separator(name: str, width: int) -> None:
    console = ReportConsole(file=StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(in_a_column(name))
    *lines, last = [line.strip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert "".join([*lines, last]) == name
    parts = re.split(r"(?<=[/._:-])", name)
    if max(map(len, parts)) <= width:
        assert all(line[-1] in "/._:-" for line in lines)


def in_a_column(text: str) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=0)
    table.add_column(overflow="fold")
    table.add_row(text)
    return table


def test_styles_of_what_is_kept_stay() -> None:
    console = ReportConsole(file=StringIO(), width=80, force_terminal=True, color_system="standard")
    console.print(Text.assemble(("name" * 100, "bold"), " FAILED ", ("because", "red")))
    assert "\x1b[31mbecause\x1b[0m" in console.file.getvalue()  # type: ignore[attr-defined]
