"""Options that several commands share, and the parsing of values that are more than a word."""

import math
from pathlib import Path
from typing import Annotated

import typer

from resnetx.base.precisions import PRECISIONS, Precision
from resnetx.base.text import readable
from resnetx.cli.output import be_quiet
from resnetx.errors import UsageError

# What every generator of random numbers takes.
MAX_SEED = 2**63 - 1


def checked_seed(seed: int) -> int:
    """A seed in range; Typer's own range would stand in the help with all its digits."""
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"--seed takes 0 to {MAX_SEED}; found {readable(str(seed))}.")
    return seed


JsonFile = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Also write the result as JSON; - prints it in place of the text."),
]
HtmlFile = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Also write the report as a web page of one file.")
]
Quiet = Annotated[
    bool,
    typer.Option("-q", "--quiet", callback=be_quiet, help="Print nothing but errors and what a report of - prints."),
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace an existing file of another network, or one that is no model.")
]
ProviderOptions = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[PROVIDER:]K=V",
        help="A provider's own option, such as openvino:NUM_STREAMS=1; without PROVIDER, for all of them. Repeatable.",
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="S", help="Time limit in seconds.  [default: from the sizes of the file and its inputs]"
    ),
]
MemoryLimit = Annotated[
    int | None,
    typer.Option(
        "--memory-mb", metavar="N", help="Memory limit in MB.  [default: from the sizes of the file and its inputs]"
    ),
]
MaxSlowdown = Annotated[
    str | None,
    typer.Option(
        metavar="N%",
        help="Slowdown up to which a row passes. To find slowdowns of 5 %, set it lower than that.  [default: 2%]",
    ),
]
AnyMachine = Annotated[
    bool, typer.Option("--any-machine", help="Compare runs even if their machines or package versions differ.")
]

RequireDecision = Annotated[
    bool,
    typer.Option("--require-decision", help="Exit with 1 also if it cannot be told of a row whether it is slower."),
]


def parse_ints(text: str, option: str, *, example: str = "1,8") -> tuple[int, ...]:
    """`3,4,6,3` as numbers."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"{option} takes whole numbers separated by commas, such as {example}; found {readable(text)!r}."
        ) from error


def parse_numbers(text: str, option: str) -> tuple[float, ...]:
    """`50,99.9` as numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"{option} takes numbers separated by commas, such as 50,99; found {readable(text)!r}."
        ) from error


def parse_words(texts: list[str], option: str) -> tuple[str, ...]:
    """`a,b` a time, as one list."""
    words = tuple(word.strip() for text in texts for word in text.split(","))
    if "" in words:
        raise UsageError(f"{option} takes names separated by commas, such as cpu,torch; found {','.join(texts)!r}.")
    return words


def finite(number: float | None, option: str) -> float | None:
    """The number of an option, which is neither NaN nor infinite: no range excludes NaN."""
    if number is not None and not math.isfinite(number):
        raise UsageError(f"{option} takes a finite number; found {number}.")
    return number


def parse_batch(text: str) -> int | None:
    """A number, or None for `dynamic`."""
    if text == "dynamic":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"--batch takes a number or the word dynamic; found {readable(text)!r}.") from error


def parse_precision(text: str | None) -> Precision | None:
    if text is None:
        return None
    found = next((name for name in PRECISIONS if name == text.strip().lower()), None)
    if found is None:
        raise UsageError(f"--precision is one of {', '.join(PRECISIONS)}; found {text[:40]!r}.")
    return found


def parse_share(text: str, option: str) -> float:
    """`5%` as 0.05. A bare number is refused: 5 and 0.05 both might mean five percent."""
    number = text.strip().removesuffix("%")
    try:
        share = float(number) / 100
    except ValueError:
        share = -1.0
    if not text.strip().endswith("%") or not 0 <= share < float("inf"):
        raise UsageError(f"{option} takes a percentage of 0 or more, such as 5%; found {readable(text)!r}.")
    return share


def parse_milliseconds(text: str, option: str) -> float:
    """`15ms` or `15` as 15."""
    try:
        found = float(text.strip().lower().removesuffix("ms"))
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise UsageError(f"{option} takes milliseconds, such as 15ms; found {readable(text)!r}.")
    return found


def parse_max_slowdown(text: str | None) -> float:
    from resnetx.benchmark.comparison.compare import MAX_SLOWDOWN

    return MAX_SLOWDOWN if text is None else parse_share(text, "--max-slowdown")


def parse_pairs(texts: list[str], option: str) -> dict[str, str]:
    """`k=v` a time, as a dictionary."""
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise UsageError(f"{option} takes K=V, such as NUM_STREAMS=1; found {readable(text)!r}.")
        pairs[key] = value
    return pairs
