"""Validates data from untrusted files and from other processes, and returns typed values."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AllowInfNan, Field, Strict, TypeAdapter, ValidationError

from resnetx.base.text import readable
from resnetx.errors import FileError, ResnetxError

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


def _shallow(value: object, depth: int = DEEPEST) -> object:
    if isinstance(value, dict | list):
        if depth == 0:
            raise ValueError(f"it is nested more than {DEEPEST} deep")
        for item in value.values() if isinstance(value, dict) else value:
            _shallow(item, depth - 1)
    return value


Facts = Annotated[dict[str, Any], AfterValidator(_shallow)]


class InvalidDataError(ValueError):
    """The data is invalid; the message says where and why."""


def validated(kind: type[T], data: object) -> T:
    """Convert parsed JSON to a value of `kind`; raise InvalidDataError if it is invalid."""
    try:
        value: T = _adapter(kind).validate_python(data)  # type: ignore[arg-type]  # types are hashable
        return value
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = _place([part for part in first["loc"] if not (isinstance(part, str) and "[" in part)])
        raise InvalidDataError(f"{place} has an invalid value: {readable(first['msg'])}") from error
    except (ResnetxError, RecursionError, OverflowError) as error:
        raise InvalidDataError(readable(str(error)) or "it is nested too deep") from error


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


def read_limited(path: Path, most_bytes: int, what: str) -> bytes:
    """Read a file that should be `what`; raise FileError if it is larger than `most_bytes`."""
    try:
        with path.open("rb") as stream:
            data = stream.read(most_bytes + 1)
    except OSError as error:
        raise FileError(f"Cannot read {path} as {what}: {error.strerror or error}. Check the path.") from error
    if len(data) > most_bytes:
        raise FileError(f"{path} is larger than {most_bytes >> 20} MB, the limit for {what}. Check the path.")
    return data


def object_of(data: object) -> Mapping[str, Any]:
    """`data`, which must be a JSON object."""
    if not isinstance(data, dict):
        raise InvalidDataError("it is not a JSON object")
    return data
