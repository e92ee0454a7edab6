"""The golden bundle: samples, PyTorch's outputs, layers and weights, to verify a file on a machine without torch."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from resnetx.base.files import whole_file
from resnetx.base.npz import Npz, open_npz
from resnetx.base.text import readable
from resnetx.base.validation import Count, Positive, parse_json, validated
from resnetx.errors import FileError
from resnetx.verification.layers import Expected
from resnetx.verification.reference_outputs import References, Samples, are_batches
from resnetx.verification.sketch import PROJECTIONS, Sketch, canonical_shape
from resnetx.verification.structure.sketch import StructureSketch, from_arrays, to_arrays

# Version 1 had neither layers nor weights, and each batch had samples of its own.
SCHEMA: Literal["resnetx.golden/2"] = "resnetx.golden/2"
MAX_BYTES = 4 * 2**30
TRUTH = "float64"
STRUCTURE = "structure/"


@dataclass(frozen=True, kw_only=True)
class GoldenAbout:
    """The network and the form of its inputs; `reference` is what computed the outputs.

    `natural` are the samples of the first group that look like photographs, `extreme_batches` those of version 1 that
    do not.
    """

    architecture: str | None = None
    weights_sha256: str | None = None
    input: str | None = None
    natural: tuple[Count, ...] | None = None
    extreme_batches: tuple[Count, ...] | None = None
    reference: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """An inner tensor of the file."""

    name: str
    shape: tuple[Count, ...]


@dataclass(frozen=True, kw_only=True)
class _Contents(GoldenAbout):
    """The contents of the bundle, from its JSON.

    The samples are in groups, within which an output depends on nothing but its own sample. `arrangement` names the
    group of each batch and its samples.
    """

    schema: Literal["resnetx.golden/2"]
    inputs: Annotated[tuple[str, ...], Field(min_length=1)]
    outputs: Annotated[tuple[str, ...], Field(min_length=1)]
    arrangement: Annotated[tuple[tuple[Count, tuple[Count, ...]], ...], Field(min_length=1)]
    layers: tuple[_Layer, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _FirstContents(GoldenAbout):
    """The contents of a bundle of version 1: each batch is a group."""

    schema: Literal["resnetx.golden/1"]
    inputs: Annotated[tuple[str, ...], Field(min_length=1)]
    outputs: Annotated[tuple[str, ...], Field(min_length=1)]
    batches: Positive


@dataclass(frozen=True, kw_only=True)
class GoldenLayers:
    """What the file's inner tensors should be for some inputs, by the tensors' names."""

    feeds: list[np.ndarray]
    tensors: Mapping[str, Expected]


@dataclass(frozen=True, kw_only=True)
class Golden:
    """Samples and the reference's outputs for them; `layers` are None in bundles of version 1."""

    about: GoldenAbout
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    samples: Samples
    layers: GoldenLayers | None = None
    structure: StructureSketch | None = None


def write_golden(path: Path, golden: Golden) -> None:
    """One array for each group, input and output: `0/input/NAME`, `0/float64/NAME`, `0/fp32/NAME`, ...

    Layers are `layers/input/NAME` and, by number, `layer/0/exact` and `layer/0/noise`; weights and graph
    `structure/NAME`.
    """
    samples, layers = golden.samples, golden.layers
    contents = _Contents(
        schema=SCHEMA,
        inputs=golden.inputs,
        outputs=golden.outputs,
        arrangement=samples.arrangement,
        layers=()
        if layers is None
        else tuple(_Layer(name=name, shape=each.exact.shape) for name, each in layers.tensors.items()),
        **asdict(golden.about),
    )
    known = {name: value for name, value in asdict(contents).items() if value is not None}
    arrays: dict[str, np.ndarray] = {"about": np.array(json.dumps(known, sort_keys=True))}
    for index, group in enumerate(samples.groups):
        arrays |= {f"{index}/input/{name}": array for name, array in zip(golden.inputs, group, strict=True)}
        for kind, results in {TRUTH: samples.outputs.truth, **samples.outputs.complete().noisy}.items():
            arrays |= {f"{index}/{kind}/{name}": a for name, a in zip(golden.outputs, results[index], strict=True)}
    if layers is not None:
        arrays |= {f"layers/input/{name}": array for name, array in zip(golden.inputs, layers.feeds, strict=True)}
        for number, each in enumerate(layers.tensors.values()):
            arrays[f"layer/{number}/exact"] = each.exact.values.astype(np.float32)
            arrays[f"layer/{number}/noise"] = each.noise.astype(np.float32)
    if golden.structure is not None:
        arrays |= {f"{STRUCTURE}{name}": array for name, array in to_arrays(golden.structure).items()}
    # A stream, because numpy adds a suffix to a path.
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def read_golden(path: Path) -> Golden:
    """Read an untrusted bundle, without running code and without unpacking more than MAX_BYTES."""
    try:
        with open_npz(path, most_bytes=MAX_BYTES, what="a golden file") as arrays:
            return _read(arrays)
    except (ValueError, IndexError, MemoryError) as error:
        raise FileError(
            f"{path} is not a golden file of resnetx, or it is incomplete ({readable(str(error))}). "
            "Make it again with `resnetx export --golden`."
        ) from error


def _read(arrays: Npz) -> Golden:
    data = parse_json(str(arrays["about"]))
    if isinstance(data, dict) and data.get("schema") == "resnetx.golden/1":
        first = validated(_FirstContents, data)
        return _golden(arrays, first, first.batches, arrangement=None, layers=None)
    about = validated(_Contents, data)
    groups = 1 + max(group for group, _ in about.arrangement)
    if groups > len(about.arrangement):
        raise ValueError("it has groups without batches")
    layers = None
    if about.layers:
        tensors = {each.name: _expected(arrays, number, each) for number, each in enumerate(about.layers)}
        layers = GoldenLayers(feeds=[arrays.numbers(f"layers/input/{name}") for name in about.inputs], tensors=tensors)
    structure = None
    if any(name.startswith(STRUCTURE) for name in arrays.names):
        names = [name for name in arrays.names if name.startswith(STRUCTURE)]
        structure = from_arrays({name.removeprefix(STRUCTURE): arrays[name] for name in names})
    golden = _golden(arrays, about, groups, arrangement=about.arrangement, layers=layers)
    return replace(golden, structure=structure)


def _golden(
    arrays: Npz,
    about: _Contents | _FirstContents,
    groups: int,
    *,
    arrangement: tuple[tuple[int, tuple[int, ...]], ...] | None,
    layers: GoldenLayers | None,
) -> Golden:
    kinds = {name.split("/")[1] for name in arrays.names if name.partition("/")[0].isdigit()} - {"input", TRUTH}
    if "fp32" not in kinds:
        raise ValueError("it has no float32 outputs")

    truth = [[arrays.numbers(f"{index}/{TRUTH}/{name}") for name in about.outputs] for index in range(groups)]

    def answers(kind: str) -> list[list[np.ndarray]]:
        return [
            [
                arrays.numbers(f"{index}/{kind}/{name}", shape=exact.shape)
                for name, exact in zip(about.outputs, truth[index], strict=True)
            ]
            for index in range(groups)
        ]

    inputs = [[arrays.numbers(f"{index}/input/{name}") for name in about.inputs] for index in range(groups)]
    if arrangement is None:
        arrangement = tuple((index, tuple(range(len(group[0])))) for index, group in enumerate(inputs))
    # Where an input is no batch of samples, its group is one batch.
    whole = frozenset(group for group, feeds in enumerate(inputs) if not are_batches(feeds))
    samples = Samples(
        groups=inputs,
        outputs=References(truth=truth, noisy={kind: answers(kind) for kind in sorted(kinds)}),
        arrangement=arrangement,
        whole=whole,
    )
    if any(group not in whole and max(batch, default=0) >= len(inputs[group][0]) for group, batch in arrangement):
        raise ValueError("its batches contain samples that it does not have")
    return Golden(about=about, inputs=about.inputs, outputs=about.outputs, samples=samples, layers=layers)


def _expected(arrays: Npz, number: int, layer: _Layer) -> Expected:
    exact, noise = (arrays.numbers(f"layer/{number}/{kind}").astype(np.float64) for kind in ("exact", "noise"))
    count, channels, rest = canonical_shape(layer.shape)
    if exact.shape != (count, channels, min(rest, PROJECTIONS)) or noise.shape != (channels,):
        raise ValueError(f"layer {number} has arrays of other shapes than its tensor")
    return Expected(exact=Sketch(shape=layer.shape, values=exact), noise=noise)
