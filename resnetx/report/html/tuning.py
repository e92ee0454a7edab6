"""A search as one self-contained HTML page: the winner, the Pareto front, and everything that was tried."""

from markupsafe import Markup

from resnetx.report.html.charts import COLOURS, MARKERS, WIDTH, Scale, nice_ticks
from resnetx.report.html.markup import element, number
from resnetx.report.html.page import ENVIRONMENT, machine_facts, resource
from resnetx.report.tuning_words import FinalistRow, base_speed, finalist_rows, trial_rows, winner_in_words
from resnetx.tuning.result import Tuning, p95_ms

LEFT, RIGHT, TOP, BOTTOM = 56, WIDTH - 14, 26, 250


def render_tuning_page(result: Tuning) -> str:
    """The same result gives the same page, byte for byte."""
    rows = finalist_rows(result)
    return ENVIRONMENT.get_template("tuning.html.jinja").render(
        style=resource("page.css"),
        result=result,
        rows=rows,
        trials=trial_rows(result),
        verdict=winner_in_words(result),
        speed=base_speed(result),
        chart=pareto_chart(rows) if any(row.case.summary.median_ms for row in rows) else None,
        p95={row.place: p95_ms(row.case) for row in rows},
        machine=machine_facts(result.benchmark),
    )


def pareto_chart(rows: list[FinalistRow]) -> Markup:
    """Throughput over latency, one mark for each finalist; those that no other beats are joined by a line."""
    known = [
        (row, row.case.summary.median_ms, row.case.summary.images_per_s)
        for row in rows
        if row.case.summary.median_ms is not None and row.case.summary.images_per_s is not None
    ]
    across_ticks, up_ticks = (
        nice_ticks(max(values)) for values in zip(*((ms, rate) for _, ms, rate in known), strict=True)
    )
    across = Scale(low=0, high=across_ticks[-1], start=LEFT, end=RIGHT)
    up = Scale(low=0, high=up_ticks[-1], start=BOTTOM, end=TOP)
    parts = [_path("grid", f"M{LEFT},{up.at(tick):g}H{RIGHT}") for tick in up_ticks]
    parts += [_text(LEFT - 6, up.at(tick) + 4, f"{tick:,.6g}", "end") for tick in up_ticks]
    parts += [_path("grid", f"M{across.at(tick):g},{BOTTOM}v4") for tick in across_ticks]
    parts += [_text(across.at(tick), BOTTOM + 18, f"{tick:,.6g}", "middle") for tick in across_ticks]
    parts.append(_text(WIDTH / 2, BOTTOM + 36, "latency in ms", "middle", "dim"))
    parts.append(_text(8, TOP - 6, "images/s", None, "dim"))
    front = sorted((ms, rate) for row, ms, rate in known if row.optimal)
    if len(front) > 1:
        joined = "L".join(f"{across.at(ms):g},{up.at(rate):g}" for ms, rate in front)
        parts.append(_path("line c5", f"M{joined}"))
    for place, (row, ms, rate) in enumerate(known):
        y = BOTTOM + 58 + 34 * place
        style = place % COLOURS
        parts += [_marker(across.at(ms), up.at(rate), style, row), _marker(14, y - 4, style, row)]
        agreement = row.finalist.agreement
        same = "" if agreement is None else f", top-1 as the source {agreement.top1:.1%}"
        parts += [
            _text(28, y, f"{row.finalist.candidate.title}{' ★' if row.mark == '*' else ''}"),
            _text(28, y + 14, f"{number(ms)} ms, {number(rate)} images/s{same}", None, "dim"),
        ]
    alt = "; ".join(
        f"{row.finalist.candidate.title}: {number(ms)} ms, {number(rate)} images/s" for row, ms, rate in known
    )
    head = {"class": "chart", "viewBox": f"0 0 {WIDTH} {BOTTOM + 44 + 34 * len(known)}", "role": "img"}
    return element("svg", head, element("title", {}, "Throughput over latency"), element("desc", {}, alt), *parts)


def _marker(x: float, y: float, style: int, row: FinalistRow) -> Markup:
    wrong = " wrong" if row.finalist.unfit else ""
    shape = {"class": f"marker c{style}{wrong}", "d": MARKERS[style], "transform": f"translate({x:g} {y:g})"}
    return element("path", shape, element("title", {}, row.finalist.candidate.title))


def _path(kind: str, path: str) -> Markup:
    return element("path", {"class": kind, "d": path})


def _text(x: float, y: float, words: str, anchor: str | None = None, kind: str | None = None) -> Markup:
    return element("text", {"x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor, "class": kind}, words)
