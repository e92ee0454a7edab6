"""The page's comparison with an earlier run: a line a row, the verdict, and what its reader must know."""

from resnetx.benchmark.comparison.compare import ComparedRow, Comparison
from resnetx.report.comparison import change_in_words, interval_in_words, turns_in_words, verdict_in_words
from resnetx.report.html.markup import Html, element, join, number, shorten
from resnetx.report.html.results_table import NOTHING
from resnetx.report.html.sections import listed

CLASSES = {"faster": "good", "slower": "warn", "can't tell": "dim"}


def comparison_section(comparison: Comparison) -> Html:
    verdict = element("strong", {"class": "good" if comparison.passed else "bad"}, verdict_in_words(comparison))
    notes = [element("li", None, note) for note in comparison.notes]
    heads = ["model", "provider", "batch", "old ms", "new ms", "time", "interval", "verdict", "run", "why"]
    words = f"{shorten(comparison.old, 120)} and {comparison.new}, {turns_in_words(comparison)}."
    return join(
        [
            element("p", None, verdict),
            listed(words, heads, [_line(row) for row in comparison.rows], "Comparison with the earlier run"),
            element("ul", None, *notes) if notes else Html(),
        ]
    )


def _line(row: ComparedRow) -> list[object]:
    verdict: object = element("span", {"class": CLASSES.get(row.verdict)}, row.verdict)
    if row.past_limit:
        verdict = element("strong", {"class": "bad"}, "✗ SLOWER")
    return [
        shorten(row.model, 120),
        shorten(row.provider, 60),
        row.batch,
        *(NOTHING if time is None else number(time) for time in (row.old_ms, row.new_ms)),
        change_in_words(row.ratio) or NOTHING,
        interval_in_words(row) or NOTHING,
        verdict,
        "in turns" if row.interleaved else "apart",
        element("span", {"class": "reason"}, row.reason) if row.reason else NOTHING,
    ]
