"""The HTML report: well formed, escaped, silent on the network, and with a reason for each missing figure."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from resnetx.base.text import shorten
from resnetx.benchmark.comparison.compare import ComparedRow, Comparison
from resnetx.benchmark.loadgen.result import LoadResult, LoadRun
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.result import AgainstRun, BenchCase, Benchmark, Limits, Summary, Verdict
from resnetx.benchmark.result_file import parse_benchmark
from resnetx.report.bench_rows import BenchRow, bench_rows
from resnetx.report.html.markup import element, number, safe
from resnetx.report.html.page import render_html
from resnetx.report.html.templates import ENVIRONMENT, moment
from resnetx.report.rerun_command import bench_command
from resnetx.verification.parity import Check
from tests.support.html_pages import HOSTILE, Page, assert_sound, head_of, policy_of, unexplained_dashes
from tests.support.sample_benchmark import plainly_summarized, sample_benchmark, sample_parity


def sample() -> Benchmark:
    """The page's own tests don't depend on how the statistics are made."""
    return plainly_summarized(sample_benchmark())


@pytest.fixture(scope="module")
def page_text() -> str:
    return render_html(sample())


@pytest.fixture(scope="module")
def page(page_text: str) -> Page:
    return Page(page_text)


def simple_case(index: int = 0, **changes: object) -> BenchCase:
    case = BenchCase(
        model=f"m{index}.onnx", provider="cpu", batch=1, threads=2, samples_ms=[[10.0 + index, 11.0], [10.5, 12.0]]
    )
    return replace(case, **changes)  # type: ignore[arg-type]


def benchmark_of(*cases: BenchCase, limits: Limits | None = None) -> Benchmark:
    return plainly_summarized(Benchmark(created="2026-01-31", machine={}, limits=limits, cases=cases))


def test_sections_and_their_order(page_text: str, page: Page) -> None:
    assert_sound(page_text)
    names = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    assert names == [
        *("results", "notes", "throughput", "limit", "latency", "costs", "parity", "placement", "machine", "reproduce"),
    ]


def test_the_first_lines_say_what_was_measured_where_the_verdict_and_the_fastest(page_text: str, page: Page) -> None:
    (title,) = page.inside("title")[:1]
    assert title == "3 models on A Processor 9999 at 2.10 GHz – resnetx bench"
    words = head_of(page_text)
    assert "3 models on A Processor 9999 at 2.10 GHz" in words
    assert "✗ 18 cases, 1 not finished, 1 with wrong outputs, 1 not verified." in words
    for model in ("resnet50.onnx", "resnet18-int8.onnx", "resnet152-trained-on-flowers.onnx"):
        assert model in words
    best = [row for row in bench_rows(sample()) if row.best]
    assert len(best) == 3 and all(number(row.summary.images_per_s or 0) in words for row in best)
    assert words.count("Fastest correct: ") + words.count("Fastest, not verified: ") == 3
    assert page_text.index('id="results"') < page_text.index('id="notes"'), "results come before warnings"


def test_nothing_is_fetched(page_text: str, page: Page) -> None:
    for forbidden in ("http:", "https:", "//", "@import", "url(", "src="):
        assert forbidden not in page_text.replace("  // ", "").replace("// Makes", ""), forbidden
    assert not {"link", "img", "iframe", "object", "embed", "base", "form", "image", "use"} & {
        t for t, _ in page.elements
    }
    for tag, attributes in page.elements:
        assert "style" not in attributes, f"{tag}: the policy refuses inline styles"
        assert not [name for name in attributes if name.startswith("on")]


def test_the_same_run_gives_the_same_page(page_text: str) -> None:
    assert render_html(sample()) == page_text


def test_a_run_read_back_gives_the_same_page(page_text: str) -> None:
    text = json.dumps(sample().to_json())
    assert render_html(plainly_summarized(parse_benchmark(text, source="a.json"))) == page_text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_only_text(name: str, page: Page) -> None:
    verdict = Verdict(reason=name, checks=(Check(output=name, batch=1, passed=False, multiple=9.0, reason=name),))
    cases = tuple(
        replace(
            case, model=name, provider=name, effective_precision=name, options={name: name}, placement=[(name, 1)],
            parity=verdict, warnings=[name], error=name, energy_of=name, status=name,
        )
        for case in sample().cases[:3]
    )  # fmt: skip
    run = LoadRun(valid=False, queries=1, samples_per_s=1.0, percentiles_ms={name: 1.0}, reasons=[name])
    load = LoadResult(scenario="offline", duration_s=1.0, run=run, unofficial=name)
    hostile = Benchmark(
        created=name,
        machine={name: {name: [name, {name: name}]}},
        limits=None,
        cases=(*cases, replace(cases[0], load=load), replace(cases[0], parity=Verdict(reason=name))),
        settings=BenchOptions(provider_options={name: name}),
        limits_problem=name,
        interleaved_with=name,
        against=AgainstRun(file=name),
    )
    row = ComparedRow(
        model=name, provider=name, batch=1, threads=1, concurrency=1, boundary=name, interleaved=False,
        old_ms=1.0, new_ms=None, verdict="can't tell", reason=name,
    )  # fmt: skip
    comparison = Comparison(old=name, new=name, max_slowdown=0.02, interleaved=False, rows=(row,), notes=(name,))
    text = render_html(hostile, comparison)
    seen = assert_sound(text)
    assert {tag for tag, _ in seen.elements} <= {tag for tag, _ in page.elements}
    assert policy_of(seen) == policy_of(page)
    shown = name.translate({0: "\\x00", 0x1B: "\\x1b", 0x202E: "\\u202e", 0xDC80: "\\udc80"})
    assert shown in seen.words


@given(st.text())
def test_any_text_is_escaped_and_readable(text: str) -> None:
    shown = safe(text)
    assert not set(shown) & set("<>\"'")
    assert all(character.isprintable() or character in "\n\t" for character in shown)
    if text.isprintable() and len(text) <= 4000:
        assert shown == escape(text) and unescape(shown) == text
    by_template = ENVIRONMENT.from_string('<p title="{{ text }}">{{ text }}</p>').render(text=text)
    assert element("p", {"title": text}, text) == by_template == f'<p title="{shown}">{shown}</p>'
    assert Page(by_template).named("p") == [{"title": Page(by_template).words}]


def test_every_row_stands_in_the_table_with_its_figures(page: Page, page_text: str) -> None:
    table = table_of(page_text, "results-table")
    assert table.count("<tbody") == len(sample_benchmark().cases)
    assert table.count("★ fastest") == 3
    assert table.count("✗ WRONG") == 1 and "error 412×" in table
    assert "out of memory: 2.1 GB in use" in table and "its error is 412 times the reference" in table
    costs = page_text[page_text.index('id="costs"') : page_text.index('id="parity"')]
    assert costs.count("<tbody") == len(sample_benchmark().cases)
    assert "⚠ 120 of 123" in costs and "all 123" in costs
    assert "Another process used 0.7 cores" in page.words


def table_of(text: str, name: str) -> str:
    found = re.search(rf'<table[^>]*id="{name}".*?</table>', text, re.DOTALL)
    assert found is not None
    return found[0]


def test_every_dash_is_explained(page_text: str) -> None:
    assert '<span class="dim">–</span>' in page_text and "the case did not finish, see its error" in page_text
    assert unexplained_dashes(page_text) == []


def rows_of(*cases: BenchCase) -> tuple[BenchRow, ...]:
    return bench_rows(Benchmark(created="", machine={}, limits=None, cases=cases))


def test_ratio_is_to_torch_at_the_same_batch() -> None:
    rates = {("torch", 1): 10.0, ("cpu", 1): 15.0, ("cpu", 8): 40.0}
    rows = rows_of(
        *(
            simple_case(provider=provider, batch=batch, summary=Summary(images_per_s=rate))
            for (provider, batch), rate in rates.items()
        )
    )
    assert [row.ratio for row in rows] == [1.0, 1.5, None]
    assert [row.best for row in rows] == [False, False, True]


def test_the_best_row_is_not_a_wrong_one() -> None:
    cases = [
        simple_case(batch=1),
        simple_case(batch=2),
        simple_case(batch=4, parity=sample_parity(4, passed=False)),
        simple_case(batch=8, status="timed out"),
    ]
    rows = rows_of(*(replace(case, summary=Summary(images_per_s=float(case.batch))) for case in cases))
    assert [row.best for row in rows] == [False, True, False, False]


def test_rows_that_differ_in_precision_are_told_apart() -> None:
    cases = [simple_case(effective_precision=precision) for precision in ("fp32", "bf16")]
    assert [row.series for row in rows_of(*cases)] == ["cpu, fp32", "cpu, bf16"]


@pytest.mark.parametrize(
    "cases",
    [
        (),
        (simple_case(),),
        (simple_case(samples_ms=[]),),
        (simple_case(samples_ms=[[5.0]]),),
        (simple_case(samples_ms=[[], [5.0, 5.0]]),),
        (simple_case(samples_ms=[[float("nan"), float("inf"), 3.0]]),),
        (simple_case(samples_ms=[[0.0, 0.0]]),),
        (simple_case(samples_ms=[], status="failed", error="it crashed"),),
        (simple_case(parity=Verdict()),),
        (simple_case(parity=Verdict(reason="there is no card")), simple_case(placement=[("cpu", 0)])),
        tuple(simple_case(index, provider=f"provider {index}") for index in range(30)),
        tuple(simple_case(0, batch=2**index) for index in range(30)),
        (simple_case(samples_ms=[[1.0 + index / 500] for index in range(500)]),),
    ],
    ids=["none", "one", "no samples", "one sample", "empty round", "not finite", "zero", "failed",
         "parity without checks", "empty placement", "30 models", "30 batches", "500 rounds"],
)  # fmt: skip
def test_odd_runs_are_pages_too(cases: tuple[BenchCase, ...]) -> None:
    text = render_html(benchmark_of(*cases))
    page = Page(text)
    assert "None" not in page.words and ">nan<" not in text
    assert all(case.error in page.words for case in cases if case.error)


def test_figures_are_those_of_the_statistics() -> None:
    run = sample_benchmark()
    words = Page(render_html(run)).words
    medians = [case.summary.median_ms for case in run.cases]
    assert medians.count(None) == 1
    assert all(number(median) in words for median in medians if median is not None)


def test_what_was_not_verified_is_told_with_its_reason() -> None:
    verified = simple_case(parity=sample_parity(1, passed=True))
    text = render_html(benchmark_of(replace(verified, parity=Verdict(reason="no card")), simple_case(1), verified))
    words = Page(text).words
    assert "Not verified: no card" in words and "3 cases, 2 not verified." in words
    # In the results and in the section on parity.
    assert text.count('<span class="warn">not verified</span>') == 4


def test_missing_figures_leave_their_columns_out() -> None:
    text = render_html(benchmark_of(simple_case(samples_ms=[])))
    heads = re.findall(r'data-key="([^"]+)"', text)
    results = ["provider", "batch", "precision", "verdict"]
    assert heads == [*results, "provider", "batch", "threads", "case", "verdict"]
    assert not re.search(r'id="(throughput|limit|latency|placement)"', text)


def test_command_of_a_row() -> None:
    options = {"NUM_STREAMS": "1", "PERFORMANCE_HINT": "LATENCY"}
    case = simple_case(model="my model.onnx", provider="openvino", batch=8, concurrency=2, provider_options=options)
    # What was given for all providers together stands among the settings; a row repeats its own alone.
    settings = BenchOptions(
        duration_s=5.0, rounds=8, percentiles=(50, 90), verify=False, provider_options={"torch:precision": "bf16"}
    )
    assert bench_command(case, settings) == (
        "resnetx bench 'my model.onnx' --provider openvino --batch 8 --threads 2 --concurrency 2 --duration 5 "
        "--rounds 8 --warmup 5 --scenario latency --percentile 50,90 --no-verify "
        "--provider-option NUM_STREAMS=1 --provider-option PERFORMANCE_HINT=LATENCY"
    )


@pytest.mark.parametrize(
    "name", ["a'b.onnx", "$(touch x).onnx", "-x.onnx", "a\nb.onnx", "a\u202eb\udc80.onnx", "a b'\x1b"]
)
def test_a_shell_reads_the_name_back(name: str) -> None:
    command = bench_command(simple_case(model=name), BenchOptions())
    assert command.isprintable()
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("there is no bash")
    script = f'resnetx() {{ printf %s "$2"; }}; {command}'
    read = subprocess.run([shell, "-c", script], capture_output=True, check=True, timeout=20)
    expected = f"./{name}" if name.startswith("-") else name
    assert read.stdout == expected.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (1.0, "1.00"),
        (29.96, "30.0"),
        (123.4, "123"),
        (1523.6, "1,524"),
        (1e-5, "1e-05"),
        (2, "2"),
        (2e7, "2e+07"),
    ],
)
def test_numbers_have_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown


def test_shortened_names_keep_both_ends() -> None:
    assert shorten("a" * 50 + "-int8.onnx", 21) == "a" * 10 + "…-int8.onnx"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-01-31T12:00:00+00:00", "2026-01-31 12:00 UTC"),
        ("2026-01-31T12:00:00+02:00", "2026-01-31 10:00 UTC"),
        ("2026-01-31T12:00:00", "2026-01-31T12:00:00"),
        ("0001-01-01T00:00:00+23:00", "0001-01-01T00:00:00+23:00"),
        ("then", "then"),
    ],
)
def test_moments_are_those_of_one_clock(text: str, shown: str) -> None:
    assert moment(text) == shown
