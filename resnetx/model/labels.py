"""Class names: those of ImageNet, or the user's from a file."""

import json
from functools import cache
from pathlib import Path
from typing import Any

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
            f"The label file {path} has {len(labels)} names, but the classifier has {classes} classes. "
            f"Give a file with {classes} names ({FORMS}), or another --classes."
        )
    for index, label in enumerate(labels):
        if not label:
            raise UsageError(f"The label file {path} has an empty name for class {index}; name every class.")
    return tuple(labels)


def _read_text(path: Path) -> str:
    try:
        if not path.is_file():
            raise FileError(f"There is no label file {path}; give a file with {FORMS}.")
        if path.stat().st_size > MAX_LABEL_FILE_BYTES:
            raise FileError(f"{path} is too large for a label file ({path.stat().st_size} bytes); expected {FORMS}.")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FileError(f"Cannot read the label file {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise FileError(f"The label file {path} is not UTF-8 text; expected {FORMS}.") from error


def _json_labels(path: Path, text: str) -> list[str]:
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"The label file {path} is not valid JSON ({error}); expected {FORMS}.") from error
    if isinstance(data, dict):
        data = _in_order(path, data)
    if not all(isinstance(label, str) for label in data):
        raise FileError(f"The label file {path} contains values that are not names; expected {FORMS}.")
    return list(data)


def _in_order(path: Path, data: dict[str, Any]) -> list[Any]:
    wanted = [str(index) for index in range(len(data))]
    missing = [key for key in wanted if key not in data]
    if missing:
        raise UsageError(
            f"The label file {path} has {len(data)} entries, but none for class {missing[0]}; "
            "number the classes from 0 without gaps."
        )
    return [data[key] for key in wanted]
