"""A comparison as Markdown: a table that a reviewer can read, in which names are only text."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from resnetx.benchmark.comparison.compare import compare
from resnetx.cli.main import app
from resnetx.report.markdown import MARKUP, escaped, render_markdown
from tests.benchmark.comparison.test_compare import case_of, run_of, steady, written

HOSTILE = "x|y`*_[a](http://b)<script>&@someone #1 ~~s~~ $x$\\\n# h\x1b[2J.onnx"


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_the_table_has_a_line_a_row_and_says_the_verdict_first() -> None:
    old = [case_of(steady(10.0), batch=batch) for batch in (1, 2, 3)]
    new = [case_of(steady(12.0)), case_of(steady(10.0), batch=2), case_of(steady(9.0, 2), batch=3)]
    text = render_markdown(compare(run_of(*old), run_of(*new), names=("old.json", "new.json")))
    assert text.startswith("### SLOWER&#58; 1 row is more than 2 % slower")
    head, rule, *rows = lines_of(text)
    assert head.count("|") == rule.count("|") == 9 and len(rows) == 3
    assert all(row.count("|") == 9 for row in rows)
    assert "**SLOWER**" in rows[0] and "+20.0 %" in rows[0] and "| same |" in rows[1] and "can't tell" in rows[2]
    assert "<code>old.json</code> → <code>new.json</code>, run one after the other." in text
    assert "Geometric mean of 2 ratios: +9.5 %." in text
    assert "- cpu, batch 3&#58; 2 rounds are too few" in text


def test_names_are_text_and_nothing_else() -> None:
    case = replace(case_of(steady(10.0)), model=HOSTILE, provider=HOSTILE)
    text = render_markdown(compare(run_of(case), run_of(case, created="now"), names=(HOSTILE, HOSTILE)))
    plain = re.sub(r"</?code>", "", text)
    for marks in ("<", "@", "](", "`", "~", "$", "\x1b", "*_", "&s"):
        assert marks not in plain, marks
    assert len(lines_of(text)) == 3 and lines_of(text)[2].count("|") == 9
    assert "<script>&@someone #1" in unescape(text)


@given(st.text(max_size=200))
def test_any_text_is_one_line_that_reads_back(text: str) -> None:
    shown = escaped(text)
    rest = re.sub(r"&#\d+;", "", shown)
    assert not MARKUP & set(rest) and "\n" not in shown
    read = unescape(shown)
    assert (len(read) == len(" ".join(text.split())) and read.isprintable()) or not read


@pytest.mark.parametrize("factor", [1.0, 1.2])
def test_the_command_writes_it(tmp_path: Path, factor: float) -> None:
    old = written(tmp_path, "old.json", run_of(case_of(steady(10.0))))
    new = written(tmp_path, "new.json", run_of(case_of(steady(10.0 * factor)), created="now"))
    target = tmp_path / "out.md"
    answer = CliRunner().invoke(app, ["compare", str(old), str(new), "--markdown", str(target)])
    assert answer.exit_code == (factor > 1)
    assert target.read_text().startswith("### SLOWER" if factor > 1 else "### PASSED")
