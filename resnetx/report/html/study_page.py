"""A study as one self-contained HTML page, under the same rules as that of a benchmark."""

from resnetx.report.html.study_chart import study_chart
from resnetx.report.html.table import Cell, Column, Row, figure, make_table, words
from resnetx.report.html.templates import render
from resnetx.study.result import Study, Value


def render_study_page(study: Study) -> str:
    """The same study gives the same page, byte for byte."""
    columns = [Column(str(place), each.title, numeric=each.numeric) for place, each in enumerate(study.columns)]
    charts = [
        (panel.title, study_chart(f"panel-{place}", panel, study.values_beside(place)))
        for place, panel in enumerate(study.panels)
    ]
    return render(
        "study.html.jinja",
        study=study,
        charts=charts,
        table=make_table(columns, [Row(tuple(map(_cell, row))) for row in study.rows]),
        settings={
            "Settings": [("seed", study.seed), *study.settings.items()],
            "Machine and versions": list(study.environment.items()),
        },
    )


def _cell(value: Value) -> Cell:
    return words(value, "there is no such number") if value is None or isinstance(value, str) else figure(value)
