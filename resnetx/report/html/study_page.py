"""A study as one self-contained HTML page, under the same rules as that of a benchmark."""

import re

from markupsafe import Markup, escape

from resnetx.report.html.table import Cell, Column, Row, figure, make_table, words
from resnetx.report.html.templates import render
from resnetx.report.study_picture import render_picture
from resnetx.study.result import Study, Value


def render_study_page(study: Study) -> str:
    """The same study gives the same page, byte for byte."""
    columns = [Column(str(place), each.title, numeric=each.numeric) for place, each in enumerate(study.columns)]
    seed = {"seed": study.seed}
    return render(
        "study.html.jinja",
        study=study,
        picture=inline_svg(render_picture(study, "svg").decode(), study.verdict),
        table=make_table(columns, [Row(tuple(map(_cell, row))) for row in study.rows]),
        settings={
            "Settings": list((seed | dict(study.settings)).items()),
            "Machine and versions": list(study.environment.items()),
        },
    )


def _cell(value: Value) -> Cell:
    return words(value, "there is no such number") if value is None or isinstance(value, str) else figure(value)


def inline_svg(text: str, alt: str) -> Markup:
    """matplotlib's drawing as part of a page, whose policy allows no style in an element: attributes say the same."""
    drawing = re.sub(r"<style.*?</style>|<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    drawing = re.sub(r' style="([^"]*)"', lambda found: _attributes(found[1]), drawing)
    # matplotlib's style sheet has these two for every element.
    frame = f'<svg role="img" aria-label="{escape(alt)}" stroke-linejoin="round" stroke-linecap="butt"'
    return Markup(re.sub(r'<svg( width="[^"]*"| height="[^"]*")*', frame, drawing, count=1))


def _attributes(declarations: str) -> str:
    pairs = (each.partition(":") for each in declarations.split(";") if each.strip())
    return "".join(f' {name.strip()}="{value.strip()}"' for name, _, value in pairs)
