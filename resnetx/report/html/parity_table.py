"""How the sessions that were timed agree with their reference: a sentence, and a table of what needs more."""

from collections.abc import Sequence

from resnetx.report.bench_rows import BenchRow
from resnetx.report.html.markup import judged, mark, number
from resnetx.report.html.results_table import worst_multiple
from resnetx.report.html.table import Cell, Column, Row, Table, figure, make_table, words

COLUMNS = (
    Column("model", "model", numeric=False),
    Column("case", "case", numeric=False, head=True),
    Column("verdict", "verdict", numeric=False, main=True),
    Column("output", "output", numeric=False),
    Column("batch", "batch"),
    Column("multiple", "× the noise", main=True),
    Column("allowed", "allowed"),
    Column("top1", "top-1 agreement %"),
)
UNCHECKED = "nothing was compared"
NO_NOISE = "the reference's own error is not known for this output"


def parity_table(rows: Sequence[BenchRow]) -> Table:
    """The rows that are wrong or not verified, and those with several outputs; the others are right in one sentence."""
    made, several = [], len({row.case.model for row in rows}) > 1
    for row in rows:
        case = (*([words(row.case.model)] if several else []), words(row.label))
        if row.checks and (row.parity_passed is False or len(row.checks) > 1):
            for check in row.checks:
                verdict = "✓ correct" if check.passed else "✗ WRONG"
                top1 = check.metrics.top1 if check.metrics else None
                cells = (
                    *(*case, Cell(judged(check.passed, verdict), verdict), words(check.output)),
                    *(figure(check.batch), figure(check.multiple, NO_NOISE), figure(check.allowed, NO_NOISE)),
                    figure(None if top1 is None else 100 * top1, "the output is not a row of class scores"),
                )
                made.append(Row(cells, check.reason, "" if check.passed else "failed"))
        elif not row.checks and row.case.status == "ok":
            reason = row.case.parity.reason if row.case.parity else None
            cells = (*case, Cell(mark("not verified", "warn"), "not verified"), *[Cell(absent=UNCHECKED)] * 5)
            made.append(Row(cells, reason))
    return make_table(COLUMNS if several else COLUMNS[1:], made)


def agreement_in_words(rows: Sequence[BenchRow]) -> str | None:
    """Of the rows that agree with their reference; None if there are none."""
    good = [row for row in rows if row.parity_passed]
    if not good:
        return None
    references = dict.fromkeys(
        row.case.parity.reference for row in good if row.case.parity and row.case.parity.reference
    )
    multiples = [multiple for row in good if (multiple := worst_multiple(row)) is not None]
    allowed = {check.allowed for row in good for check in row.checks if check.allowed is not None}
    error = f": at most {number(max(multiples))} times the reference's own error" if multiples else ""
    limit = f", of {' or '.join(f'{value:g}' for value in sorted(allowed))} allowed" if multiples and allowed else ""
    agree = f"{len(good)} of {len(rows)} cases agree" if len(rows) > 1 else "The case agrees"
    return f"{agree} with {' and '.join(references) or 'the reference'}{error}{limit}."
