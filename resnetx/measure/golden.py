"""The golden bundle: inputs and PyTorch's answers, so that a machine without torch can verify a file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnetx.files import whole_file
from resnetx.runtime.answers import References

SCHEMA = "resnetx.golden/1"


def write_golden(
    path: Path,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    feeds: Sequence[Sequence[np.ndarray]],
    references: References,
    about: dict[str, Any],
) -> None:
    """One array a batch, input and output: `0/input`, `0/float64/logits`, `0/fp32/logits`, `1/input`, ..."""
    arrays: dict[str, np.ndarray] = {"about": np.array(json.dumps({"schema": SCHEMA} | about, sort_keys=True))}
    for index, batch in enumerate(feeds):
        arrays |= {f"{index}/{name}": array for name, array in zip(inputs, batch, strict=True)}
        for kind, results in {"float64": references.truth, **references.noisy}.items():
            arrays |= {f"{index}/{kind}/{name}": array for name, array in zip(outputs, results[index], strict=True)}
    # A stream, because to a path numpy would add a suffix of its own.
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
