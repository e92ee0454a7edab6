"""What receives the progress of a benchmark."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnetx.base.progress import OnProgress, ignore

if TYPE_CHECKING:
    from resnetx.benchmark.result import BenchCase


@dataclass(frozen=True, kw_only=True)
class Watch:
    """`progress` receives the current step, `cases` the state of the cases before each round and at the end."""

    progress: OnProgress = ignore
    cases: Callable[[Sequence["BenchCase"]], None] = ignore
