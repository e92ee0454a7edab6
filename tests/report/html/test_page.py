"""The HTML report: well formed, escaped, silent on the network, and sortable in a real browser."""

import json
import re
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

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
from resnetx.report.html.charts import nice_ticks
from resnetx.report.html.markup import element, number, safe
from resnetx.report.html.page import ENVIRONMENT, render_html
from resnetx.report.html.spread import measure_spread
from resnetx.report.rerun_command import bench_command
from resnetx.verification.parity import Check
from tests.support.browser import BASH, CHROMIUM, Browser, open_browser
from tests.support.sample_benchmark import plainly_summarized, sample_benchmark, sample_parity

HOSTILE = (
    "<script>alert(1)</script>.onnx",
    '"><img src=x onerror=alert(1)>.onnx',
    "</style><style>@import url(http://evil.example/x)</style>",
    "' onmouseover='alert(1)",
    "</title></svg></pre><script>alert(1)</script>",
    "a\x00b\x1b[31m\u202egnp\udc80.onnx",
    "<!-- --> ]]> &lt;script&gt; {{x}}",
)
VOID = {"meta", "br"}
# Texts on their grounds that are below the 4.5 to 1 that small text needs.
CONTRAST = """(() => {
  const parse = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
  };
  return [...document.querySelectorAll("body *")].filter((e) =>
    [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) && !e.closest("script, title, desc")
  ).map((e) => {
    const style = getComputedStyle(e);
    const own = light(parse(e.closest("svg") ? style.fill : style.color));
    const under = light(ground(e));
    return [(Math.max(own, under) + 0.05) / (Math.min(own, under) + 0.05), e.textContent];
  }).filter(([ratio]) => !(ratio >= 4.5));
})()"""


class Page(HTMLParser):
    """A strict reading: every element is closed by its own tag."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} repeats an attribute: {names}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def inside(self, tag: str) -> list[str]:
        return [data for name, data in self.texts if name == tag]

    @property
    def words(self) -> str:
        return "".join(data for name, data in self.texts if name not in ("style", "script"))


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


def policy_of(page: Page) -> dict[str, str]:
    (policy,) = [m["content"] for m in page.named("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    return dict(part.strip().split(" ", 1) for part in policy.split(";"))


def digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def test_sections_and_unique_names(page: Page) -> None:
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    links = [attributes["href"] for attributes in page.named("a")]
    assert links and all(link and link.startswith("#") and link[1:] in names for link in links)
    assert {"results", "throughput", "limit", "latency", "placement", "parity", "machine", "reproduce"} <= set(names)


def test_policy_allows_only_the_pages_own_style_and_script(page: Page) -> None:
    policy = policy_of(page)
    assert policy == {
        "default-src": "'none'",
        "style-src": digest("".join(page.inside("style"))),
        "script-src": digest("".join(page.inside("script"))),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert [len(page.named(tag)) for tag in ("style", "script")] == [1, 1]
    tags = [tag for tag, _ in page.elements]
    assert tags.index("style") > tags.index("meta") + 1, "a policy holds only for what comes after it"


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
    text.encode()
    seen = Page(text)
    assert {tag for tag, _ in seen.elements} <= {tag for tag, _ in page.elements}
    assert len(seen.named("script")) == 1
    assert policy_of(seen) == policy_of(page)
    assert not [a for _, attributes in seen.elements for a in attributes if a.startswith("on")]
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text)
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
    table = page_text[page_text.index('<table id="results-table"') : page_text.index("</table>")]
    assert table.count("<tbody") == len(sample_benchmark().cases)
    assert table.count("★ best") == 3
    assert table.count("✗ FAILED 412×") == 1
    assert "⚠ 120 of 123" in table and "all 123" in table
    assert "out of memory: 2.1 GB in use" in table
    assert "18 cases, 1 not finished, 1 with wrong outputs, 1 not verified." in page.words
    assert "Another process used 0.7 cores" in page.words


def test_figures_are_labelled_and_drawn(page: Page, page_text: str) -> None:
    charts = [svg for svg in page.named("svg") if svg["class"] == "chart"]
    assert len(charts) == 3 + 3 + 17  # a throughput and a limit a model, a latency a case that ran
    wrong = [path["class"] for path in page.named("path") if "wrong" in str(path["class"])]
    assert wrong == ["marker c1 wrong"]
    names = {attributes.get("id") for _, attributes in page.elements}
    for svg in page.named("svg"):
        assert svg["role"] == "img"
        assert svg["aria-labelledby"] in names and svg["aria-describedby"] in names
    assert not re.search(r"\b(nan|inf|None)\b", "".join(re.findall(r"<svg.*?</svg>", page_text)))


def test_drawings_stay_inside_their_frames(page_text: str) -> None:
    for svg in re.findall(r"<svg.*?</svg>", page_text):
        frame = re.search(r'viewbox="0 0 (\d+) (\d+)"', svg.lower())
        assert frame is not None
        width, height = map(float, frame.groups())
        for x, y, w, h in re.findall(r'x="([\d.-]+)" y="([\d.-]+)" width="([\d.-]+)" height="([\d.-]+)"', svg):
            assert 0 <= float(x) <= float(x) + float(w) <= width + 0.1
            assert 0 <= float(y) <= float(y) + float(h) <= height + 0.1


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
    assert text.count("not verified") == 5 and "no card" in text and "2 not verified" in text


def test_missing_figures_leave_their_columns_out() -> None:
    text = render_html(benchmark_of(simple_case(samples_ms=[])))
    heads = re.findall(r'data-key="([^"]+)"', text)
    assert heads == ["model", "provider", "batch", "precision", "status", "threads", "boundary"]
    assert text.count("There are no measurements to show.") == 4


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


@given(st.floats(0, 1e6), st.floats(1e-3, 1e6))
def test_ticks_cover_the_range_in_a_few_equal_steps(low: float, span: float) -> None:
    ticks = nice_ticks(low + span, low=low)
    slack = 1e-6 * (low + span)
    assert ticks[0] <= low + slack and ticks[-1] >= low + span - slack
    assert 2 <= len(ticks) <= 8


@given(st.lists(st.lists(st.floats(0, 1e6), min_size=1, max_size=20), min_size=1, max_size=120))
def test_each_sample_is_drawn_or_counted(rounds: list[list[float]]) -> None:
    spread = measure_spread(rounds)
    assert sum(spread.bins) + spread.below + spread.above == spread.count == sum(map(len, rounds))
    assert spread.low < spread.high
    assert 1 <= len(spread.boxes) <= 48
    assert all(list(box) == sorted(box) or box[-1] - box[0] < 1e-6 for box in spread.boxes)


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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None or BASH is None:
        pytest.skip("there is no chromium (or no bash) in the search path")
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def address(page_text: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "page.html"
    path.write_text(page_text, encoding="utf-8")
    return path.as_uri()


def column(browser: Browser, key: str) -> list[str | None]:
    return list(
        browser.evaluate(
            f"""[...document.querySelectorAll('#results-table tbody')].map(body => body.rows[0].cells[
            [...document.querySelectorAll('#results-table thead th')].findIndex(head => head.dataset.key == '{key}')
            ].dataset.sort ?? null)"""
        )
    )


def sorted_by(browser: Browser) -> list[list[str]]:
    return list(
        browser.evaluate("[...document.querySelectorAll('th[aria-sort]')].map(h => [h.dataset.key, h.ariaSort])")
    )


def test_browser_sorts_by_address_click_and_keyboard(browser: Browser, address: str) -> None:
    browser.resize(1280, 900)
    browser.open(f"{address}#sort=median,descending")
    medians = column(browser, "median")
    assert medians[-1] is None, "what failed stands last"
    numbers = [float(median) for median in medians[:-1] if median is not None]
    assert len(numbers) == 17 and numbers == sorted(numbers, reverse=True)
    assert sorted_by(browser) == [["median", "descending"]]
    browser.click("th[data-key=batch] button")
    assert column(browser, "batch") == ["1"] * 9 + ["8"] * 9
    assert sorted_by(browser) == [["batch", "ascending"]]
    browser.evaluate("document.querySelector('th[data-key=model] button').focus()")
    browser.press("Enter", 13, "\r")
    browser.press("Enter", 13, "\r")
    assert sorted_by(browser) == [["model", "descending"]]
    expected = ["resnet152-trained-on-flowers.onnx", "resnet50.onnx", "resnet18-int8.onnx"]
    assert column(browser, "model") == [model for model in expected for _ in range(6)]
    # The error moved with its row, and the row's provider stays told.
    assert browser.evaluate("document.querySelector('tr.why').previousElementSibling.cells[1].innerText").endswith(
        "failed"
    )
    assert browser.evaluate("document.getElementById('sorted').innerText") == "Sorted by model, descending."


def test_browser_fetches_nothing_and_has_no_complaint(browser: Browser, address: str) -> None:
    browser.open(address)
    assert browser.requests == [address]
    assert browser.complaints == []
    browser.evaluate(
        "(e => (e.textContent = 'document.title = 1', document.body.append(e)))(document.createElement('script'))"
    )
    assert browser.evaluate("document.title") == "resnetx benchmark", "the policy refuses any other script"


@pytest.mark.parametrize("name", HOSTILE[:5])
def test_browser_runs_nothing_of_a_hostile_name(browser: Browser, tmp_path: Path, name: str) -> None:
    case = simple_case(model=name, provider=name, warnings=[name], error=name, options={name: name})
    path = tmp_path / "hostile.html"
    path.write_text(render_html(benchmark_of(case)), encoding="utf-8")
    browser.open(path.as_uri())
    assert browser.requests == [path.as_uri()]
    assert browser.complaints == []
    assert browser.evaluate("document.scripts.length") == 1
    assert browser.evaluate("document.querySelector('#results-table tbody th').innerText") == name


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_browser_page_fits_its_width_in_readable_colours(
    browser: Browser, address: str, width: int, scheme: str
) -> None:
    browser.resize(width, 844, scheme=scheme)
    browser.open(address)
    assert browser.evaluate("window.innerWidth") == width
    assert browser.evaluate("(e => e.scrollWidth - e.clientWidth)(document.documentElement)") == 0
    assert browser.evaluate("(e => e.scrollWidth > e.clientWidth)(document.querySelector('.scroll'))"), (
        "it scrolls inside"
    )
    sizes = browser.evaluate("[...document.querySelectorAll('.chart')].map(e => e.getBoundingClientRect().width / 340)")
    assert min(sizes) > 0.9, "the charts' text is drawn for 12 px"
    faint = browser.evaluate(CONTRAST)
    assert faint == []


def test_browser_shows_everything_without_scripts(browser: Browser, address: str) -> None:
    browser.resize(1280, 900, scripts=False)
    browser.open(address)
    browser.resize(1280, 900)
    assert browser.evaluate("document.querySelectorAll('#results-table button').length") == 0
    assert browser.evaluate("document.querySelectorAll('#results-table tbody').length") == 18
    assert len(browser.evaluate("document.body.innerText")) > 5000
