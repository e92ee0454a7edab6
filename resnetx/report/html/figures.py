"""The page's figures: which charts stand in it, their captions, and what is said where there is nothing to draw."""

from collections.abc import Mapping, Sequence

from resnetx.report.bench_rows import BenchRow, by_model
from resnetx.report.html.charts import describe, latency_chart, limit_chart, throughput_chart
from resnetx.report.html.markup import Html, element, join, shorten
from resnetx.report.html.spread import measure_spread


def throughput_section(rows: Sequence[BenchRow], styles: Mapping[str, int]) -> Html:
    known = [row for row in rows if row.summary.images_per_s is not None]
    figures = [
        _figure(model, throughput_chart(f"throughput-{index}", group, styles))
        for index, (model, group) in enumerate(by_model(known).items())
    ]
    return _gallery(
        "Images per second, from zero; a line a provider. A hollow point belongs to a row with wrong answers.", figures
    )


def limit_section(rows: Sequence[BenchRow], styles: Mapping[str, int]) -> Html:
    known = [row for row in rows if row.summary.limit_fraction is not None]
    figures = [
        _figure(model, limit_chart(f"limit-{index}", group, styles))
        for index, (model, group) in enumerate(by_model(known).items())
    ]
    words = (
        "The arithmetic a row gets done, as a share of the best that this machine reached in the same precision, "
        "in the same run and on the same threads, on matrix products alone. A full bar is that peak."
    )
    return _gallery(words, figures)


def latency_section(rows: Sequence[BenchRow]) -> Html:
    figures = [
        _figure(row.case.model, latency_chart(f"latency-{row.index}", row), row.label, describe_row(row))
        for row in rows
        if row.rounds
    ]
    words = (
        "Milliseconds, on an axis of its own for each case that does not start at zero. A box is a round: the middle "
        "half of its samples, its median as a line, whiskers from the 5th to the 95th percentile. The shaded band is "
        "the 95 % interval of the median; at the right stand all samples as a histogram."
    )
    return _gallery(words, figures)


def describe_row(row: BenchRow) -> str:
    words = describe(row, measure_spread(row.rounds))
    return f"{words[0].upper()}{words[1:]}."


def _figure(model: str, chart: Html, label: str = "", words: str = "") -> Html:
    caption: list[object] = [element("strong", None, shorten(model, 120))]
    if label:
        caption += [element("br"), label]
    foot = element("p", {"class": "small dim"}, words) if words else Html()
    return element("figure", None, element("figcaption", None, *caption), chart, foot)


def _gallery(words: str, figures: Sequence[Html]) -> Html:
    if not figures:
        return element("p", {"class": "dim"}, "Nothing was measured that could be shown here.")
    return join([element("p", {"class": "dim"}, words), element("div", {"class": "gallery"}, *figures)])
