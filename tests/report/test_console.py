"""What a file names is shown as text, whatever report shows it: no control sequence, no markup, no emoji code."""

from collections.abc import Callable
from io import StringIO

import numpy as np
import pytest
from rich.console import RenderableType
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from resnetx.report.console import ReportConsole
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
    out = shown(shape(text))
    assert len(out) < 70_000 and "\u202e" not in out
    assert max(map(len, out.splitlines())) <= 200
    assert "…" in out


def test_styles_of_what_is_kept_stay() -> None:
    console = ReportConsole(file=StringIO(), width=80, force_terminal=True, color_system="standard")
    console.print(Text.assemble(("name" * 100, "bold"), " FAILED ", ("because", "red")))
    assert "\x1b[31mbecause\x1b[0m" in console.file.getvalue()  # type: ignore[attr-defined]
