"""A tuned model: a folder with a file, and how to run it on the machine that it was tuned on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from resnetx.base.files import write_whole
from resnetx.base.precisions import SessionPrecision
from resnetx.base.regular_file import read_limited
from resnetx.base.validation import Facts, Name, Number, Positive, Sha256, object_of, parse_json, validated
from resnetx.errors import FileError, UsageError
from resnetx.machine.differences import HARDWARE, fact_differences
from resnetx.machine.facts import read_machine

SCHEMA = "resnetx.tuned/1"
SETTINGS, MODEL = "tuned.json", "model.onnx"
MAX_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class TunedModel:
    """How to run the file of the folder. `threads` are those of its session; `streams` run it at the same time.

    `objective` is what it was tuned for, and `median_ms` the latency that was measured.
    """

    provider: Name
    precision: SessionPrecision
    threads: Positive
    streams: Positive
    batch: Positive
    objective: Name
    sha256: Sha256
    machine: Facts
    median_ms: Number | None = None
    options: Mapping[Name, Name] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        write_whole(folder / SETTINGS, json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2) + "\n")


def model_file(path: Path) -> Path:
    """The file of a model that is named by its path or by the folder that it was tuned into."""
    if not path.is_dir():
        return path
    if not (path / MODEL).is_file():
        raise UsageError(f"{path} is a folder without {MODEL}. Give an ONNX file, or a folder that resnetx tune wrote.")
    return path / MODEL


def read_tuned(folder: Path) -> TunedModel:
    """The settings in a folder, if they were found for its file and on this machine."""
    path = folder / SETTINGS
    if not path.is_file():
        raise UsageError(
            f"{folder} is a folder without {SETTINGS}, so it holds no tuned model. Give an ONNX file, or make a tuned "
            "model with resnetx tune."
        )
    tuned = _parsed(path)
    if hashlib.sha256(_bytes(folder / MODEL)).hexdigest() != tuned.sha256:
        raise FileError(
            f"{folder / MODEL} is not the file that {path} was written for: it was replaced or damaged. Tune it again."
        )
    differences = fact_differences(tuned.machine, read_machine().to_json(), HARDWARE)
    if differences:
        raise UsageError(
            f"{folder} was tuned on another machine ({'; '.join(differences)}), and what is fastest there need not be "
            f"here. Run resnetx tune again, or use the file by itself: {folder / MODEL}."
        )
    return tuned


def _parsed(path: Path) -> TunedModel:
    try:
        data: dict[str, Any] = dict(object_of(parse_json(read_limited(path, MAX_BYTES, "a tuned model").decode())))
        schema = data.pop("schema", None)
        if schema != SCHEMA:
            raise ValueError(f"its schema is {str(schema)[:60]!r} instead of {SCHEMA}")
        return validated(TunedModel, data)
    except ValueError as error:
        raise FileError(f"{path} is not what resnetx tune writes ({error}); tune the model again.") from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError(f"Cannot read {path}: {error.strerror or error}. Tune the model again.") from error
