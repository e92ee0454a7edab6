"""Class names: those of ImageNet, or the user's from a file."""

import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

from resnetx.base.regular_file import read_limited
from resnetx.base.text import readable
from resnetx.base.validation import LONGEST_NAME, parse_json
from resnetx.errors import FileError, UsageError

MAX_LABEL_FILE_BYTES = 16 * 2**20
FORMS = 'one name per line, a JSON list of names, or a JSON object such as {"0": "cat"}'


@cache
def imagenet_labels() -> tuple[str, ...]:
    """The names of ImageNet's 1000 classes, in the order that all trained ResNets use."""
    text = Path(__file__).with_name("imagenet_labels.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def read_labels(path: str | Path, classes: int) -> tuple[str, ...]:
    """The names in a text or JSON file, one for each of the `classes`."""
    path = Path(path)
    text = _read_text(path)
    labels = _json_labels(path, text) if text.lstrip()[:1] in ("[", "{") else text.rstrip().splitlines()
    labels = [label.strip() for label in labels]
    if len(labels) != classes:
        raise UsageError(
            f"The label file {path} has {len(labels)} {'name' if len(labels) == 1 else 'names'}, but the classifier "
            f"has {classes} classes. Give a file with {classes} names ({FORMS}), or another --classes."
        )
    for index, label in enumerate(labels):
        _check_name(path, index, label)
    return tuple(labels)


def _read_text(path: Path) -> str:
    data = read_limited(path, MAX_LABEL_FILE_BYTES, "a label file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"The label file {path} is not UTF-8 text; expected {FORMS}.") from error


def _json_labels(path: Path, text: str) -> list[str]:
    try:
        data: Any = parse_json(text)
    except ValueError as error:
        raise FileError(
            f"The label file {path} is not valid JSON ({readable(str(error))}); expected {FORMS}."
        ) from error
    if isinstance(data, dict):
        data = _in_order(path, data)
    if not all(isinstance(label, str) for label in data):
        raise FileError(f"The label file {path} contains values that are not names; expected {FORMS}.")
    return list(data)


def _check_name(path: Path, index: int, label: str) -> None:
    if not label:
        raise UsageError(f"The label file {path} has an empty name for class {index}; name every class.")
    if len(label) > LONGEST_NAME:
        raise UsageError(
            f"The label file {path} has a name of {len(label):,} characters for class {index}; {LONGEST_NAME:,} are "
            "the limit."
        )
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in label):
        raise UsageError(
            f"The label file {path} has a name for class {index} that is not text ({readable(label)}): it contains "
            "control characters or halves of characters."
        )


def _in_order(path: Path, data: dict[str, Any]) -> list[Any]:
    wanted = [str(index) for index in range(len(data))]
    missing = [key for key in wanted if key not in data]
    if missing:
        raise UsageError(
            f"The label file {path} has {len(data)} entries, but none for class {missing[0]}; "
            "number the classes from 0 without gaps."
        )
    return [data[key] for key in wanted]
