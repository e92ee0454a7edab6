"""The charts of a benchmark: to scale, with intervals, on common axes, and only where there is something to see."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetx.benchmark.loadgen.result import LoadResult, LoadRun, Probe
from resnetx.benchmark.result import BenchCase, Benchmark, Summary
from resnetx.report.bench_rows import bench_rows
from resnetx.report.html.drawing import WIDTH, Scale, columns_grid, in_parts, interval, log_ticks, nice_ticks
from resnetx.report.html.page import render_html
from resnetx.report.html.results_table import rate_interval
from resnetx.report.html.rounds import round_charts
from resnetx.report.html.server_chart import server_chart, tried_rates
from resnetx.report.html.spread import measure_spread
from tests.support.html_pages import Page, assert_sound
from tests.support.sample_benchmark import plainly_summarized, sample_benchmark


def case_of(batch: int = 1, ms: float = 10.0, **changes: object) -> BenchCase:
    """Five rounds around a time."""
    rounds = [[ms * (1 + 0.01 * place + 0.002 * sample) for sample in range(4)] for place in range(5)]
    case = BenchCase(model="m.onnx", provider="cpu", batch=batch, threads=2, samples_ms=rounds)
    return replace(case, **changes)  # type: ignore[arg-type]


def page_of(*cases: BenchCase) -> str:
    return render_html(plainly_summarized(Benchmark(created="now", machine={}, limits=None, cases=cases)))


def charts_of(text: str, name: str) -> list[str]:
    return [svg for svg in re.findall(r"<svg.*?</svg>", text) if f'aria-labelledby="{name}' in svg]


def test_each_model_has_its_charts_and_wrong_rows_are_marked() -> None:
    text = render_html(plainly_summarized(sample_benchmark()))
    assert [len(charts_of(text, name)) for name in ("throughput-", "limit-", "latency-")] == [3, 3, 17]
    page = Page(text)
    assert [path["class"] for path in page.named("path") if "wrong" in str(path["class"])] == ["marker c1 wrong"]
    assert [box["class"] for box in page.named("rect") if "wrong" in str(box["class"])] == ["bar c1 wrong"]
    for svg in re.findall(r"<svg.*?</svg>", text):
        frame = re.search(r'viewBox="0 0 (\d+) (\d+)"', svg)
        assert frame is not None
        width, height = map(float, frame.groups())
        for x, y, w, h in re.findall(r'x="([\d.-]+)" y="([\d.-]+)" width="([\d.-]+)" height="([\d.-]+)"', svg):
            assert 0 <= float(x) <= float(x) + float(w) <= width + 0.1
            assert 0 <= float(y) <= float(y) + float(h) <= height + 0.1


def test_a_single_figure_has_no_chart() -> None:
    text = page_of(case_of())
    assert charts_of(text, "throughput") == charts_of(text, "limit") == []
    assert "Throughput</h2>" not in text and len(charts_of(text, "latency-0")) == 1
    assert charts_of(page_of(case_of(samples_ms=[[5.0]])), "latency") == []


def test_rows_of_one_batch_size_are_bars_from_zero_with_intervals() -> None:
    text = page_of(case_of(ms=10.0), case_of(ms=5.0, provider="openvino"))
    (chart,) = charts_of(text, "throughput-0-0")
    slow, fast = (float(width) for width in re.findall(r'class="bar[^"]*"[^>]* width="([\d.]+)"', chart))
    assert fast / slow == pytest.approx(2.0, rel=0.01)
    assert chart.count('class="reach"') == 2


def test_batch_sizes_stand_to_scale() -> None:
    """From 1 to 2 it is as far as from 2 to 4, and half as far as from 2 to 8."""
    (chart,) = charts_of(page_of(*(case_of(batch, 10.0 * batch) for batch in (1, 2, 8))), "throughput-0")
    places = [float(x) for x in re.findall(r'class="marker c0"[^>]*translate\(([\d.]+) ', chart)][:3]
    assert places[2] - places[1] == pytest.approx(2 * (places[1] - places[0]), abs=0.3)
    assert chart.count('class="reach c0"') == 3


@pytest.mark.parametrize(("factor", "same"), [(2, True), (20, False)])
def test_models_share_an_axis_unless_one_would_vanish(factor: int, same: bool) -> None:
    text = page_of(
        *(case_of(batch, 10.0 * batch) for batch in (1, 2)),
        *(case_of(batch, 10.0 * batch / factor, model="fast.onnx") for batch in (1, 2)),
    )
    tops = [
        max(float(y.replace(",", "")) for y in re.findall(r'text-anchor="end">([\d,.]+)</text>', svg))
        for svg in charts_of(text, "throughput-")
    ]
    assert (tops[0] == tops[1]) == same
    assert ("an axis for all" in text) == same


def test_the_rounds_of_all_cases_share_an_axis_in_percent() -> None:
    quiet, busy = case_of(ms=1.0), case_of(ms=100.0, provider="torch", samples_ms=[[100.0, 100.0, 130.0]] * 5)
    charts = round_charts(
        bench_rows(plainly_summarized(Benchmark(created="", machine={}, limits=None, cases=(quiet, busy))))
    )
    ticks = [re.findall(r'y="([\d.]+)" text-anchor="end">([-+\d.]+ ?%?)</text>', each.chart) for each in charts]
    assert len(ticks[0]) >= 3 and ticks[0] == ticks[1]
    assert "not drawn" not in charts[0].words


def test_what_a_common_axis_leaves_out_is_counted() -> None:
    wild = case_of(samples_ms=[[10.0, 10.1, 10.2, 90.0]] * 6)
    (chart,) = round_charts(
        bench_rows(plainly_summarized(Benchmark(created="", machine={}, limits=None, cases=(wild,))))
    )
    assert "not drawn: 0 below and 6 above, up to 90.0 ms" in chart.words


@given(st.floats(0.1, 1e4), st.floats(0, 0.5), st.floats(0, 0.5), st.integers(1, 64))
def test_the_interval_of_the_throughput_is_that_of_the_median(
    ms: float, below: float, above: float, batch: int
) -> None:
    ci95 = (ms * (1 - below), ms * (1 + above))
    summary = Summary(median_ms=ms, ci95_ms=ci95, images_per_s=1e3 * batch / ms)
    (row,) = bench_rows(Benchmark(created="", machine={}, limits=None, cases=(case_of(batch, summary=summary),)))
    found = rate_interval(row)
    assert found is not None
    assert found == pytest.approx((1e3 * batch / ci95[1], 1e3 * batch / ci95[0]))
    assert found[0] <= 1e3 * batch / ms * (1 + 1e-9) and found[1] >= 1e3 * batch / ms * (1 - 1e-9)


# Server runs.


def server_case(
    probes: Sequence[tuple[float, bool, float | None]], *, kept: bool = True, **changes: object
) -> BenchCase:
    run = LoadRun(
        valid=kept, queries=1000, samples_per_s=20.0, percentiles_ms={"p50": 3.0, "p99": 12.0 if kept else 99.0},
        rate=20.0, bound_kept=kept, samples_ms=[1.0, 2.0, 3.0, 4.0],
    )  # fmt: skip
    load = LoadResult(
        scenario="server", duration_s=10.0, run=run, latency_bound_ms=15.0, searched=True,
        probes=[Probe(rate=rate, kept=fine, p99_ms=p99) for rate, fine, p99 in probes],
    )  # fmt: skip
    return case_of(samples_ms=[], load=load, **changes)


def test_a_server_shows_its_p99_over_the_rate_with_the_bound() -> None:
    case = server_case([(10.0, True, 4.0), (40.0, False, 80.0), (30.0, False, None)])
    (row,) = bench_rows(Benchmark(created="", machine={}, limits=None, cases=(case,)))
    assert [(each.rate, each.kept) for each in tried_rates(row)] == [(10.0, True), (20.0, True), (40.0, False)]
    chart = str(server_chart("s", [row], {row.series: 0}))
    spots = re.findall(r'class="marker c0( wrong)?"[^>]*translate\(([\d.]+) ([\d.]+)\)"><title>', chart)
    x, y = [[float(spot[place]) for spot in spots] for place in (1, 2)]
    assert [bool(spot[0]) for spot in spots] == [False, False, True]
    assert x[2] - x[1] == pytest.approx(2 * (x[1] - x[0]), abs=0.3), "rates stand to scale"
    bound = re.search(r'class="limit" d="M46,([\d.]+)H', chart)
    assert bound is not None and y[0] > y[1] > float(bound[1]) > y[2], "12 ms is below the bound of 15 ms, 80 ms above"
    assert "bound 15 ms" in chart and "20.0 queries/s" in chart
    page = assert_sound(page_of(case))
    assert "20.0 queries/s" in page.words and len(charts_of(page_of(case), "server-0")) == 1
    assert charts_of(page_of(case), "latency") == [], "without the rate, a server's latencies say nothing"


def test_a_server_at_one_rate_has_no_chart() -> None:
    assert charts_of(page_of(server_case([])), "server") == []
    beyond = page_of(server_case([(5.0, False, 70.0)], kept=False))
    assert "no rate" in charts_of(beyond, "server-0")[0]
    assert "No case finished with correct outputs." in Page(beyond).words


# What the charts are made of.


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


@given(st.floats(1e-9, 1e9), st.floats(1.0, 1e12))
def test_logarithmic_ticks_cover_the_range_and_are_few(low: float, factor: float) -> None:
    ticks = log_ticks(low, low * factor)
    assert ticks == sorted(set(ticks)) and 2 <= len(ticks) <= 9
    assert ticks[0] <= low * 1.001 and ticks[-1] >= low * factor * 0.999


@given(st.floats(1e-3, 1e3), st.floats(1.01, 1e3), st.floats(0, 1), st.booleans())
def test_a_scale_keeps_the_order_and_its_ends(low: float, factor: float, share: float, log: bool) -> None:
    high = low * factor
    scale = Scale(low=low, high=high, start=10, end=300, log=log)
    value = low + share * (high - low)
    assert scale.at(low) == 10 and scale.at(high) == 300 and 10 <= scale.at(value) <= 300
    assert scale.inside(low / 2) == 10 and scale.inside(2 * high) == 300


def test_an_interval_has_no_cap_where_it_goes_on() -> None:
    scale = Scale(low=0, high=10, start=0, end=100)
    assert interval("reach", scale, 2, 30, 5).count("v6") == 1
    assert interval("reach", scale, 2, 3, 5).count("v6") == 2


@given(st.lists(st.integers(), max_size=100), st.integers(1, 20))
def test_parts_are_nearly_equal_and_nothing_is_lost(items: list[int], most: int) -> None:
    parts = in_parts(items, most)
    assert [item for part in parts for item in part] == items
    assert all(0 < len(part) <= most for part in parts)


def test_a_long_label_at_the_edge_is_not_cut() -> None:
    across = Scale(low=0, high=20_000, start=56, end=WIDTH - 14)
    grid = "".join(columns_grid([0, 10_000, 20_000], across, 0, 10))
    places = {label: float(x) for x, label in re.findall(r'<text x="([\d.]+)"[^>]*>([\d,]+)<', grid)}
    assert places["0"] == 56 and places["10,000"] == (56 + WIDTH - 14) / 2
    assert places["20,000"] + 6 * 7 / 2 <= WIDTH
