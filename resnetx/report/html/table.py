"""A table of a page: what a cell shows, what it is sorted by, and why it is empty."""

from collections.abc import Sequence
from typing import NamedTuple

from resnetx.report.html.markup import number

# What stands in an empty cell that has a reason.
DASH = "–"


class Column(NamedTuple):
    """On a phone a row is a card, named by the first and the `head` columns; figures of `main` columns are large."""

    key: str
    title: str
    numeric: bool = True
    main: bool = False
    head: bool = False

    @property
    def classes(self) -> list[str]:
        flags = {"n": self.numeric, "main": self.main, "head": self.head}
        return [name for name, on in flags.items() if on]


class Cell(NamedTuple):
    """`shown` is a text or markup, None if there is nothing; `absent` is why. The page's script sorts by `sort`."""

    shown: object = None
    sort: float | str | None = None
    absent: str | None = None


class Row(NamedTuple):
    """The first cell names the row. `below` is a paragraph under it, `kind` its CSS class."""

    cells: tuple[Cell, ...]
    below: str | None = None
    kind: str = ""


class Table(NamedTuple):
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def dashes(self) -> list[str]:
        """What each dash means: the columns that have one, by the reason."""
        titles: dict[str, dict[str, None]] = {}
        for row in self.rows:
            for column, cell in zip(self.columns, row.cells, strict=True):
                if cell.shown is None and cell.absent:
                    titles.setdefault(cell.absent, {})[column.title] = None
        return [f"{', '.join(names)}: {reason}" for reason, names in titles.items()]


def make_table(columns: Sequence[Column], rows: Sequence[Row]) -> Table:
    """Without the columns in which no row has anything."""
    kept = [
        place
        for place, _ in enumerate(columns)
        if place == 0 or any(row.cells[place].shown is not None for row in rows)
    ]
    return Table(
        columns=tuple(columns[place] for place in kept),
        rows=tuple(row._replace(cells=tuple(row.cells[place] for place in kept)) for row in rows),
    )


def figure(value: float | None, absent: str | None = None, *, shown: object = None) -> Cell:
    """A number, shown with three digits unless `shown` says how."""
    return Cell(absent=absent) if value is None else Cell(number(value) if shown is None else shown, value)


def words(value: str | None, absent: str | None = None, *, shown: object = None) -> Cell:
    return Cell(absent=absent) if value is None else Cell(value if shown is None else shown, value)
