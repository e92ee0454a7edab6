"""The golden bundle: inputs and PyTorch's answers, so that a machine without torch can verify a file."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnetx.base.files import whole_file
from resnetx.errors import FileError
from resnetx.verification.reference_outputs import References

SCHEMA = "resnetx.golden/1"
MAX_BYTES = 4 * 2**30
TRUTH = "float64"


@dataclass(frozen=True, kw_only=True)
class Golden:
    """Batches of inputs and what PyTorch made of them; `about` says which network that was."""

    about: dict[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    feeds: list[list[np.ndarray]]
    references: References


def write_golden(
    path: Path,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    feeds: Sequence[Sequence[np.ndarray]],
    references: References,
    about: dict[str, Any],
) -> None:
    """One array a batch, input and output: `0/input/NAME`, `0/float64/NAME`, `0/fp32/NAME`, `1/input/NAME`, ..."""
    contents = {"schema": SCHEMA, "inputs": list(inputs), "outputs": list(outputs), "batches": len(feeds)}
    arrays: dict[str, np.ndarray] = {"about": np.array(json.dumps(contents | about, sort_keys=True))}
    for index, batch in enumerate(feeds):
        arrays |= {f"{index}/input/{name}": array for name, array in zip(inputs, batch, strict=True)}
        for kind, results in {TRUTH: references.truth, **references.noisy}.items():
            arrays |= {f"{index}/{kind}/{name}": array for name, array in zip(outputs, results[index], strict=True)}
    # A stream, because to a path numpy would add a suffix of its own.
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def read_golden(path: Path) -> Golden:
    """A bundle, read without running anything and without unpacking more than it may hold."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > MAX_BYTES:
                raise FileError(
                    f"The golden file {path} unpacks to {size} bytes; {MAX_BYTES} are allowed. Make it anew."
                )
        with np.load(path, allow_pickle=False) as arrays:
            return _read(arrays)
    except FileNotFoundError as error:
        raise FileError(f"There is no golden file {path}; make one with `resnetx export --golden {path}`.") from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(
            f"{path} is not a golden file of resnetx, or not all of it is there ({type(error).__name__}: {error}). "
            "Make it anew with `resnetx export --golden`."
        ) from error


def _read(arrays: Any) -> Golden:
    about = json.loads(str(arrays["about"]))
    if about["schema"] != SCHEMA:
        raise ValueError(f"its schema is {about['schema']!r}, and this resnetx reads {SCHEMA}")
    inputs, outputs = tuple(map(str, about["inputs"])), tuple(map(str, about["outputs"]))
    batches = range(int(about["batches"]))
    kinds = {name.split("/")[1] for name in arrays.files if name.count("/") >= 2} - {"input", TRUTH}
    if not (batches and inputs and outputs and "fp32" in kinds):
        raise ValueError("it has no batches, or no float32 answers")

    def answers(kind: str) -> list[list[np.ndarray]]:
        return [[arrays[f"{index}/{kind}/{name}"] for name in outputs] for index in batches]

    return Golden(
        about=about,
        inputs=inputs,
        outputs=outputs,
        feeds=[[arrays[f"{index}/input/{name}"] for name in inputs] for index in batches],
        references=References(truth=answers(TRUTH), noisy={kind: answers(kind) for kind in sorted(kinds)}),
    )
