"""Which channels of a network the inputs of a verification reach; it needs no torch to be held or shown."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Uncovered:
    """The channels of a layer that no input reaches: `state` is "never above 0" or "constant"."""

    layer: str
    channels: tuple[int, ...]
    state: str

    def describe(self, *, most: int = 8) -> str:
        """`layer1.0.relu: channels 3, 7-9 are never above 0`, with the first `most` ranges."""
        runs = [
            [channel for _, channel in run]
            for _, run in groupby(enumerate(self.channels), lambda pair: pair[1] - pair[0])
        ]
        ranges = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
        more = f" and {len(ranges) - most} more ranges" if len(ranges) > most else ""
        channels, verb = ("channel", "is") if len(self.channels) == 1 else ("channels", "are")
        return f"{self.layer}: {channels} {', '.join(ranges[:most])}{more} {verb} {self.state}"


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How many of a network's channels the inputs reach.

    A channel of an activation counts once for each piece of the function that is not zero: a ReLU's is reached by a
    positive value, a ReLU6 has one from 0 to 6 and one above. A channel of a convolution or linear layer is reached if
    its output varies. `added` is the number of samples that were made to reach more.
    """

    total: int
    covered: int
    uncovered: tuple[Uncovered, ...] = ()
    added: int = 0

    @property
    def share(self) -> float:
        return self.covered / self.total if self.total else 1.0

    def to_json(self) -> dict[str, Any]:
        return {
            "total": self.total,
            "covered": self.covered,
            "added": self.added,
            "uncovered": [
                {"layer": each.layer, "channels": list(each.channels), "state": each.state} for each in self.uncovered
            ],
        }
