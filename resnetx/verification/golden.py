"""The golden bundle: inputs and PyTorch's outputs, so that a machine without torch can verify a file."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from resnetx.base.files import whole_file
from resnetx.base.npz import Npz, open_npz
from resnetx.base.text import readable
from resnetx.base.validation import Count, Positive, parse_json, validated
from resnetx.errors import FileError
from resnetx.verification.reference_outputs import References

SCHEMA = "resnetx.golden/1"
MAX_BYTES = 4 * 2**30
TRUTH = "float64"


@dataclass(frozen=True, kw_only=True)
class GoldenAbout:
    """The network and the form of its inputs; `reference` is what computed the outputs."""

    architecture: str | None = None
    weights_sha256: str | None = None
    input: str | None = None
    extreme_batches: tuple[Count, ...] | None = None
    reference: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Contents(GoldenAbout):
    """The contents of the bundle, from its JSON."""

    schema: Literal["resnetx.golden/1"]
    inputs: Annotated[tuple[str, ...], Field(min_length=1)]
    outputs: Annotated[tuple[str, ...], Field(min_length=1)]
    batches: Positive


@dataclass(frozen=True, kw_only=True)
class Golden:
    """Batches of inputs and the reference's outputs for them."""

    about: GoldenAbout
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
    about: GoldenAbout,
) -> None:
    """One array per batch, input and output: `0/input/NAME`, `0/float64/NAME`, `0/fp32/NAME`, `1/input/NAME`, ..."""
    contents = {"schema": SCHEMA, "inputs": list(inputs), "outputs": list(outputs), "batches": len(feeds)}
    known = {name: value for name, value in asdict(about).items() if value is not None}
    arrays: dict[str, np.ndarray] = {"about": np.array(json.dumps(contents | known, sort_keys=True))}
    for index, batch in enumerate(feeds):
        arrays |= {f"{index}/input/{name}": array for name, array in zip(inputs, batch, strict=True)}
        for kind, results in {TRUTH: references.truth, **references.noisy}.items():
            arrays |= {f"{index}/{kind}/{name}": array for name, array in zip(outputs, results[index], strict=True)}
    # A stream, because numpy adds a suffix to a path.
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def read_golden(path: Path) -> Golden:
    """Read an untrusted bundle, without running code and without unpacking more than MAX_BYTES."""
    try:
        with open_npz(path, most_bytes=MAX_BYTES, what="a golden file") as arrays:
            return _read(arrays)
    except (ValueError, MemoryError) as error:
        raise FileError(
            f"{path} is not a golden file of resnetx, or it is incomplete ({readable(str(error))}). "
            "Make it again with `resnetx export --golden`."
        ) from error


def _read(arrays: Npz) -> Golden:
    about = validated(_Contents, parse_json(str(arrays["about"])))
    batches = range(about.batches)
    kinds = {name.split("/")[1] for name in arrays.names if name.count("/") >= 2} - {"input", TRUTH}
    if "fp32" not in kinds:
        raise ValueError("it has no float32 outputs")

    truth = [[arrays.numbers(f"{index}/{TRUTH}/{name}") for name in about.outputs] for index in batches]

    def answers(kind: str) -> list[list[np.ndarray]]:
        return [
            [
                arrays.numbers(f"{index}/{kind}/{name}", shape=exact.shape)
                for name, exact in zip(about.outputs, truth[index], strict=True)
            ]
            for index in batches
        ]

    return Golden(
        about=about,
        inputs=about.inputs,
        outputs=about.outputs,
        feeds=[[arrays.numbers(f"{index}/input/{name}") for name in about.inputs] for index in batches],
        references=References(truth=truth, noisy={kind: answers(kind) for kind in sorted(kinds)}),
    )
