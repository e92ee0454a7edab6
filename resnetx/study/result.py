"""What every study returns: the claim, the verdict that its numbers give, a table and the lines of its picture.

Version 1 of the format is the first.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from typing import Any

from resnetx import __version__
from resnetx.machine.facts import read_processor

SCHEMA = "resnetx.study/1"
PACKAGES = ("torch", "numpy", "scikit-learn")
Value = str | int | float | None


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a panel; a `y` of None is not drawn. Lines of one `colour` belong together.

    A line that is the median of several has their range, `low` to `high`.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    colour: int = 0
    dashed: bool = False


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One diagram. Those of a row that have the same `y_label` have the same scale."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    log_y: bool = False


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the table; the first names the row."""

    title: str
    numeric: bool = True


@dataclass(frozen=True, kw_only=True)
class Study:
    """A complete study. `held` is whether the `claim` held in this run, and `verdict` says so with the numbers.

    `settings` are all that determine the numbers, `panels` stand in rows of `panels_a_row`.
    """

    name: str
    title: str
    claim: str
    held: bool
    verdict: str
    seed: int
    command: str
    settings: Mapping[str, Value]
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    panels: tuple[Panel, ...]
    panels_a_row: int = 2
    notes: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: read_environment())

    def __repr__(self) -> str:
        return f"<Study {self.name}: {self.verdict}>"

    def values_beside(self, place: int) -> list[float]:
        """All that the scale of a panel holds: panels of a row that show the same have the same scale."""
        first, panel = place - place % self.panels_a_row, self.panels[place]
        row = self.panels[first : first + self.panels_a_row]
        same = [each for each in row if (each.y_label, each.log_y) == (panel.y_label, panel.log_y)]
        return [y for each in same for line in each.lines for y in (*line.y, *line.low, *line.high) if y is not None]

    def to_json(self) -> dict[str, Any]:
        """The same run gives the same JSON: it has no times."""
        return {"schema": SCHEMA} | asdict(self)


def read_environment() -> dict[str, str]:
    """What else may change the last digits of the numbers."""
    versions = {name: metadata.version(name) for name in PACKAGES}
    return {"processor": read_processor().name, "resnetx": __version__} | versions


def repeat_command(name: str, options: Any) -> str:
    """The command of a study with all of its options, which are named as the fields of the dataclass."""
    words = [f"--{each.name.replace('_', '-')} {_word(getattr(options, each.name))}" for each in fields(options)]
    return " ".join([f"resnetx study {name}", *words])


def judged(held: bool, found: str) -> str:
    """The verdict: whether the claim held, and what was found."""
    return f"The claim held: {found}." if held else f"The claim did not hold in this run: {found}."


def finite(value: float) -> float | None:
    """A number that JSON and a picture can hold; None for what is infinite or no number."""
    return value if math.isfinite(value) else None


def in_digits(value: float) -> str:
    """A number in a sentence: two digits, or whole ones."""
    return f"{value:,.0f}" if 10 <= abs(value) < 1e6 else f"{value:.2g}"


def _word(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
