"""The page of a comparison: the verdict, and each ratio with its interval on one axis beside the limit."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from resnetx.benchmark.comparison.compare import ComparedRow, Comparison, compare
from resnetx.cli.main import app
from resnetx.report.html.comparison_page import render_comparison_page
from resnetx.report.html.forest import HIGHEST, LOWEST, forest_charts
from resnetx.report.html.page import render_html
from tests.benchmark.comparison.test_compare import case_of, run_of, steady, written
from tests.support.browser import Browser
from tests.support.html_pages import CONTRAST, HOSTILE, Page, assert_sound, head_of, unexplained_dashes
from tests.support.sample_benchmark import plainly_summarized, sample_benchmark

ROW = ComparedRow(
    model="m.onnx", provider="cpu", batch=1, threads=2, concurrency=1, boundary="host", interleaved=True,
    old_ms=10.0, new_ms=10.5, verdict="slower", ratio=1.05, interval=(1.03, 1.07), past_limit=True,
)  # fmt: skip
UNKNOWN = replace(
    ROW, batch=2, new_ms=None, verdict="can't tell", ratio=None, interval=None, past_limit=False,
    reason="It failed in the new run: it crashed.",
)  # fmt: skip


def comparison_of(*rows: ComparedRow, **changes: object) -> Comparison:
    made = Comparison(old="old.json", new="new.json", max_slowdown=0.02, interleaved=True, rows=rows)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_first_lines_say_what_was_compared_and_the_verdict() -> None:
    comparison = comparison_of(
        ROW, replace(ROW, model="n.onnx", past_limit=False), UNKNOWN, only_old=("gone.onnx",), notes=("a note",)
    )
    text = render_comparison_page(comparison)
    page = assert_sound(text)
    assert render_comparison_page(comparison) == text and unexplained_dashes(text) == []
    head = head_of(text)
    assert "new.json compared with old.json" in head
    assert "✗ SLOWER: 1 row is more than 2 % slower, with certainty" in head
    assert "Geometric mean of 2 ratios: +5.0 %." in head
    for words in (
        "+3.0 % to +7.0 %",
        "It failed in the new run: it crashed.",
        "only in the old run: gone.onnx",
        "a note",
    ):
        assert words in page.words
    assert text.count("<tbody") == 3 and len(page.named("svg")) == 2
    passed = render_comparison_page(comparison_of(replace(ROW, past_limit=False)))
    assert "✓ PASSED: no row is certain to be more than 2 % slower" in Page(passed).words


def places(chart: str) -> dict[str, list[float]]:
    """The pixels of the points, of the ends of their intervals, of no change and of the limit."""
    return {
        "point": [float(x) for x in re.findall(r'class="point[^"]*"[^>]*translate\(([\d.]+) ', chart)],
        "low": [float(x) for x in re.findall(r'class="reach[^"]*" d="M([\d.]+),', chart)],
        "high": [float(x) for x in re.findall(r'class="reach[^"]*" d="M[\d.]+,[\d.]+H([\d.]+)', chart)],
        "zero": [float(x) for x in re.findall(r'class="zero" d="M([\d.]+),', chart)],
        "limit": [float(x) for x in re.findall(r'class="limit" d="M([\d.]+),', chart)],
    }


@given(st.floats(-4, 4), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 0.3))
def test_points_stand_where_their_ratios_do(log: float, below: float, above: float, limit: float) -> None:
    ratio = 2.0**log
    row = replace(ROW, ratio=ratio, interval=(ratio * (1 - below), ratio * (1 + above)))
    (chart,) = forest_charts("f", [row], comparison_of(row, max_slowdown=limit))
    found = places(str(chart))
    point, low, high, zero = (found[name][0] for name in ("point", "low", "high", "zero"))
    assert 0 <= low <= point <= high <= 340
    if abs(log) > 0.05:
        assert (point > zero) == (ratio > 1)
    for x in found["limit"]:
        assert x >= zero and (low <= x + 0.1 or row.interval[0] >= 1 + limit - 1e-3)  # type: ignore[index]


def test_all_charts_share_an_axis_and_extremes_stay_on_it() -> None:
    wild = replace(ROW, ratio=1e9, interval=(1e-9, 1e12), model="wild.onnx")
    comparison = comparison_of(ROW, wild, *(replace(ROW, batch=batch) for batch in range(2, 60)))
    models = [[row for row in comparison.rows if row.model == model] for model in ("m.onnx", "wild.onnx")]
    charts = [str(chart) for rows in models for chart in forest_charts("f", rows, comparison)]
    assert len(charts) == 4, "59 rows are continued in further charts"
    zeros = {places(chart)["zero"][0] for chart in charts}
    assert len(zeros) == 1
    assert places(charts[-1])["low"] == [10] and places(charts[-1])["high"] == [330]
    assert LOWEST < 1 < HIGHEST


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_only_text(name: str) -> None:
    row = replace(ROW, model=name, provider=name, boundary=name, reason=name)
    comparison = comparison_of(row, UNKNOWN, old=name, new=name, notes=(name,), only_new=(name,))
    seen = assert_sound(render_comparison_page(comparison))
    plain = assert_sound(render_comparison_page(comparison_of(ROW, UNKNOWN, notes=("a",))))
    assert {tag for tag, _ in seen.elements} <= {tag for tag, _ in plain.elements} | {"br"}


def test_a_benchmark_with_an_earlier_run_shows_the_same() -> None:
    text = render_html(plainly_summarized(sample_benchmark()), comparison_of(ROW, UNKNOWN))
    page = assert_sound(text)
    assert "Comparison with the earlier run" in page.words and "✗ SLOWER: 1 row is" in page.words
    assert 'aria-labelledby="ratios-0-0-title"' in text and unexplained_dashes(text) == []


@pytest.mark.parametrize("factor", [1.0, 1.2])
def test_the_command_writes_it(tmp_path: Path, factor: float) -> None:
    old = written(tmp_path, "old.json", run_of(case_of(steady(10.0))))
    new = written(tmp_path, "new.json", run_of(case_of(steady(10.0 * factor)), created="now"))
    target = tmp_path / "out.html"
    answer = CliRunner().invoke(app, ["compare", str(old), str(new), "--html", str(target)])
    assert answer.exit_code == (factor > 1)
    words = assert_sound(target.read_text()).words
    assert ("✗ SLOWER" if factor > 1 else "✓ PASSED") in words


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_browser_page_fits_in_readable_colours(browser: Browser, tmp_path: Path, width: int, scheme: str) -> None:
    old = [case_of(steady(10.0), batch=batch, model="a-long-name-" * 9) for batch in (1, 2, 3)]
    new = [case_of(steady(12.0 - batch), batch=batch, model="a-long-name-" * 9) for batch in (1, 2, 3)]
    comparison = compare(run_of(*old), run_of(*new, created="now"), names=("o" * 99, "n" * 99))
    (tmp_path / "p.html").write_text(render_comparison_page(comparison))
    browser.resize(width, 800, scheme=scheme)
    browser.open((tmp_path / "p.html").as_uri())
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(CONTRAST) == []
    assert browser.complaints == [] and len(browser.requests) == 1
