"""Validates data from untrusted files and from other processes, and returns typed values."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import AfterValidator, AllowInfNan, Field, Strict, TypeAdapter, ValidationError

from resnetx.base.text import readable
from resnetx.errors import ResnetxError

T = TypeVar("T")
# The largest number in any result file: the multiply-adds of a model.
HIGHEST = 10**18
# The nesting limit of free-form data, such as the facts of a machine, which is shown and compared recursively.
DEEPEST = 12

Number = Annotated[float, Strict(), Field(ge=0, le=HIGHEST), AllowInfNan(False)]
Count = Annotated[int, Strict(), Field(ge=0, le=10**9)]
Positive = Annotated[int, Strict(), Field(ge=1, le=10**9)]
Large = Annotated[int, Strict(), Field(ge=0, le=HIGHEST)]
Flag = Annotated[bool, Strict()]
# The length of a name or another short text from a file: more is not a name.
LONGEST_NAME = 1000
Name = Annotated[str, Field(max_length=LONGEST_NAME)]
# A path or an address.
Address = Annotated[str, Field(max_length=4096)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# What every generator of random numbers takes.
Seed = Annotated[int, Strict(), Field(ge=0, le=2**63 - 1)]


def _shallow(value: object, deepest: int = DEEPEST) -> object:
    level: list[object] = [value]
    for _ in range(deepest):
        level = [item for each in level for item in _children(each)]
    if any(isinstance(each, dict | list) for each in level):
        raise ValueError(f"it is nested more than {deepest} deep")
    return value


def _children(value: object) -> Iterable[object]:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"it contains {'NaN' if math.isnan(value) else 'Infinity'}, which is not a finite number")
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


Facts = Annotated[dict[str, Any], AfterValidator(_shallow)]


class InvalidDataError(ValueError):
    """The data is invalid; the message says where and why."""


def validated(kind: type[T], data: object) -> T:
    """Convert parsed JSON to a value of `kind`; raise InvalidDataError if it is invalid."""
    return _validated(kind, lambda adapter: adapter.validate_python(data))


def validated_json(kind: type[T], text: str) -> T:
    """Convert JSON to a value of `kind` without converting types: 64.0 and "64" are no integers."""
    parse_json(text)
    return _validated(kind, lambda adapter: adapter.validate_json(text, strict=True))


def parse_json(text: str, *, deepest: int = 64) -> Any:
    """Parse JSON from a file; ValueError if it is invalid, nested too deep, or has a number that is not finite."""
    try:
        # What the reader accepts may still be too deep for the recursive writer.
        return _shallow(json.loads(text, parse_constant=_refuse, parse_float=_finite), deepest)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _validated(kind: type[T], convert: Callable[[TypeAdapter[Any]], Any]) -> T:
    try:
        value: T = convert(_adapter(kind))  # type: ignore[arg-type]  # types are hashable
        return value
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = _place([part for part in first["loc"] if not (isinstance(part, str) and "[" in part)])
        raise InvalidDataError(f"{readable(place)} has an invalid value: {readable(first['msg'])}") from error
    except (ResnetxError, RecursionError, OverflowError) as error:
        raise InvalidDataError(readable(str(error)) or "it is nested too deep") from error


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"it contains {text}, which is not a finite number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text[:40])


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _place(path: list[str | int]) -> str:
    """`("cases", 0, "batch")` as `case 1: batch`."""
    match path:
        case [str(group), int(number), str(first), *rest]:
            rest = [first, *rest]
            name = f"{group.removesuffix('s').replace('_', ' ')} {number + 1}"
        case [str(name), *rest]:
            pass
        case _:
            return "it"
    inner = next((part for part in rest if isinstance(part, str)), None)
    return f"{name}: {inner}" if inner else name


def object_of(data: object) -> Mapping[str, Any]:
    """`data`, which must be a JSON object."""
    if not isinstance(data, dict):
        raise InvalidDataError("it is not a JSON object")
    return data
