"""What the comparison of a file's weights and structure with the network's found."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Literal

# What stands in the place of an extra or a missing operation.
NOTHING = "nothing"
SCHEMA = "resnetx.structure/1"
Side = Literal["network", "file"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Something about a layer that is not the network's. A weight has the worst element's place and numbers, and the
    ratio of found to expected if it is the same everywhere."""

    layer: str
    what: str
    expected: str
    found: str
    place: tuple[int, ...] | None = None
    roundings: float | None = None
    unit: str | None = None
    count: int | None = None
    total: int | None = None
    ratio: float | None = None

    @property
    def all_differ(self) -> bool:
        return self.count is not None and self.count == self.total

    def __str__(self) -> str:
        if self.found == NOTHING:
            return f"{self.layer}: the file has nothing in the place of {self.expected}"
        if self.expected == NOTHING:
            return f"{self.layer}: the file has {self.found}, where the network has nothing"
        if self.place is None:
            return f"{self.layer}: {self.what} is {self.found}, the network's is {self.expected}"
        place = f"[{', '.join(map(str, self.place))}]" if self.place else ""
        text = f"{self.layer}.{self.what}{place} is {self.found}, the network's is {self.expected}"
        if self.roundings is not None:
            text += f" ({amount(self.roundings)} roundings of {self.unit})"
        if self.total is not None and self.total > 1:
            text += f"; {self.count:,} of {self.total:,} elements differ"
        return text


@dataclass(frozen=True, kw_only=True)
class Unrecognized:
    """An operation of one side without a counterpart on the other, which is left to the numeric checks."""

    side: Side
    layer: str
    reason: str

    def __str__(self) -> str:
        return f"{self.layer} of the {self.side}: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Rounded:
    """A place where the file rounds an activation to a lower precision; `layer` made it, where that is known."""

    node: str
    layer: str | None
    precision: str


@dataclass(frozen=True, kw_only=True)
class StructureComparison:
    """`proved` are the layers of the network whose weights, attributes and inputs all agree with the file's.

    `stored` is the coarsest format of each compared layer's weights in the file.
    """

    proved: tuple[str, ...]
    differences: tuple[Difference, ...]
    unrecognized: tuple[Unrecognized, ...]
    stored: Mapping[str, str]
    rounded: tuple[Rounded, ...] = ()
    # Nodes that compute with the size of a tensor: what they do was compared for the recorded number of images only.
    depends_on_batch: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing is known to be wrong; what was not recognized is neither right nor wrong."""
        return not self.differences

    @property
    def complete(self) -> bool:
        """Whether the whole file is proved to be the network."""
        return not self.differences and not self.unrecognized and not self.depends_on_batch

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "passed": self.passed} | asdict(self)


def without_rearrangements(structure: StructureComparison, *, fused: bool) -> StructureComparison:
    """What remains if the numbers agree everywhere: optimizers move a bias or a factor from one operation to another.

    Only files with `fused` operators, which are not of the standard, have biases elsewhere. Such differences become
    unrecognized. A weight that differs where it stands, and an operation that was added, remain
    differences: no number shows them if no input reaches them.
    """
    moved_bias = [
        each
        for each in structure.differences
        if fused and each.what == "bias" and each.found == "0" and each.all_differ
    ]
    others = [each for each in structure.differences if each not in moved_bias]
    rearranged = any(each.place is None and NOTHING not in (each.expected, each.found) for each in others)
    moved = moved_bias + _moved_factors(others) + [each for each in others if rearranged and each.place is None]
    reasons = [Unrecognized(side="file", layer=each.layer, reason=str(each)) for each in moved]
    return replace(
        structure,
        differences=tuple(each for each in structure.differences if each not in moved),
        unrecognized=(*structure.unrecognized, *reasons),
    )


def _moved_factors(differences: Sequence[Difference]) -> list[Difference]:
    """Pairs of neighbours of which one is multiplied by what the other is divided by."""
    moved: list[Difference] = []
    for first, second in pairwise(differences):
        if first.ratio is not None and second.ratio is not None and first not in moved:
            moved += [first, second] if math.isclose(first.ratio * second.ratio, 1, rel_tol=1e-5) else []
    return moved


def amount(number: float) -> str:
    """A count of roundings for people: 86,000 rather than 86,123.4."""
    if number != number or number in (float("inf"), float("-inf")):
        return "infinitely many"
    if number < 10:
        return f"{number:.1f}"
    if number >= 1e15:
        return f"{number:.2g}"
    digits = len(str(int(number)))
    return f"{round(int(number), min(0, 2 - digits)):,}"


def in_order(names: Sequence[str]) -> tuple[str, ...]:
    """Each name once, in the order of its first appearance."""
    return tuple(dict.fromkeys(name for name in names if name))
