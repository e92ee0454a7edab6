"""A network's structure and weights in a few hundred kB, for machines without torch: read, written and compared.

A weight is kept as two random projections of each filter, in float64: unlike a digest, they know by how much a filter
differs, so that roundings are allowed for. Everything else (biases, attributes, wiring, shapes) is kept as it is.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from onnx import ModelProto

from resnetx.base.precisions import Precision
from resnetx.base.validation import Count, object_of, parse_json, validated
from resnetx.errors import FileError
from resnetx.verification.structure.compare import compare_for_batches
from resnetx.verification.structure.graph import Graph, Op, Shape
from resnetx.verification.structure.parameters import (
    FLOAT32,
    FOLDING_ROUNDINGS,
    OWN_ROUNDINGS,
    SMALLEST,
    Mismatch,
    NetworkParameter,
    Parameter,
    constant,
    full,
)
from resnetx.verification.structure.result import StructureComparison

SCHEMA = "resnetx.structure-sketch/1"
PROJECTIONS = 2
# Vectors and small tensors are kept whole.
KEPT_WHOLE = 4096
# Roundings are independent of each other: their sum stays under so many standard deviations.
DEVIATIONS = 6.0
INFINITY = {math.inf: "inf", -math.inf: "-inf"}


@dataclass(frozen=True, kw_only=True)
class StructureSketch:
    """Plain data (`structure`) and arrays, by name; no pickles, so that an .npz of it can be read from anywhere."""

    structure: dict[str, Any]
    arrays: Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Projected:
    """What is kept of a weight: `projections` and root sums of squares (`norms`), both with a row for each filter."""

    name: str
    shape: tuple[int, ...]
    projections: np.ndarray
    norms: np.ndarray
    foldings: int
    from_shape: bool = False

    def mismatch(self, found: Parameter) -> Mismatch | None:
        """The filter whose projections differ most; its place in the weight is not known."""
        signs = coefficients(math.prod(self.shape[1:]))
        relative = (OWN_ROUNDINGS + FOLDING_ROUNDINGS * self.foldings) * FLOAT32
        worst: Mismatch | None = None
        count = 0
        for start, values, error in found.rows():
            rows = values.reshape(len(values), -1)
            part = slice(start, start + len(rows))
            with np.errstate(all="ignore"):
                noise = np.broadcast_to(np.asarray(error), values.shape).reshape(rows.shape)
                expected, other = self.projections[part], rows @ signs
                spread = np.sqrt((noise**2).sum(1, keepdims=True) / 3) + relative / 4 * self.norms[part, None]
                # Folding rounds a filter's factor once for all its weights.
                allowed = DEVIATIONS * spread + relative * np.abs(expected) + SMALLEST * rows.shape[1]
                difference = np.abs(expected - other)
                same = (difference <= allowed) | (np.isnan(expected) & np.isnan(other))
            wrong = ~same.all(1)
            count += int(np.count_nonzero(wrong))
            if not wrong.any():
                continue
            with np.errstate(all="ignore"):
                excess = np.nan_to_num(difference / allowed, nan=np.inf, posinf=np.inf).max(1)
            filter_number = int(np.argmax(np.where(wrong, excess, -1)))
            if worst is None or excess[filter_number] > worst.roundings:
                column = int(np.argmax(np.nan_to_num(difference[filter_number], nan=np.inf)))
                worst = Mismatch(
                    index=(start + filter_number,),
                    expected=float(expected[filter_number, column]),
                    found=float(other[filter_number, column]),
                    roundings=float(excess[filter_number]),
                    unit=found.storage,
                    count=0,
                    total=self.shape[0],
                )
        if worst is None:
            return None
        return Mismatch(**(vars(worst) | {"count": count}))

    def same(self, found: Parameter) -> bool:
        return self.shape == found.shape and self.mismatch(found) is None


def coefficients(length: int) -> np.ndarray:
    """Random factors between 2/3 and 4/3 with random signs, the same on every machine: (length, PROJECTIONS)."""
    raw = np.frombuffer(hashlib.shake_128(b"resnetx.structure-sketch/1").digest(length * PROJECTIONS), np.uint8)
    size = (raw >> 1).astype(np.float64) / 127 * (2 / 3) + 2 / 3
    return np.where(raw & 1, size, -size).reshape(length, PROJECTIONS)


def sketch_graphs(one: Graph, two: Graph) -> StructureSketch:
    """`one` and `two` are the same network on one and on two samples: every dimension grows evenly with them."""
    if len(one.ops) != len(two.ops) or any(a.kind != b.kind for a, b in zip(one.ops, two.ops, strict=True)):
        raise ValueError("the network does something else for two samples than for one")
    arrays: dict[str, np.ndarray] = {}
    ops = []
    for number, (op, again) in enumerate(zip(two.ops, one.ops, strict=True)):
        ops.append(
            {
                "kind": op.kind,
                "layer": op.layer,
                "inputs": list(op.inputs),
                "outputs": list(op.outputs),
                "attributes": _plain(dict(op.attributes)),
                "attributes_one": _plain(dict(again.attributes)),
                "parameters": {
                    name: _kept(full(item), f"{number}/{name}", arrays) for name, item in op.parameters.items()
                },
            }
        )
    names = {*two.inputs, *two.outputs, *(name for op in two.ops for name in (*op.inputs, *op.outputs))}
    pairs = dict(zip(_names(two), _names(one), strict=True))
    structure = {
        "schema": SCHEMA,
        "inputs": list(two.inputs),
        "outputs": list(two.outputs),
        "ops": ops,
        "shapes": {name: _shapes(one.shapes.get(pairs[name]), two.shapes.get(name)) for name in sorted(names)},
    }
    return StructureSketch(structure=structure, arrays=arrays)


def _names(graph: Graph) -> list[str]:
    return [*graph.inputs, *(name for op in graph.ops for name in op.outputs)]


def _shapes(one: Shape | None, two: Shape | None) -> list[list[int]] | None:
    return None if one is None or two is None or len(one) != len(two) else [list(one), list(two)]


def _kept(parameter: Parameter, name: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    about = {"name": parameter.name, "shape": list(parameter.shape), "foldings": parameter.foldings}
    size = math.prod(parameter.shape)
    if size <= KEPT_WHOLE or len(parameter.shape) < 2:
        arrays[f"{name}/value"] = parameter.value()
        if parameter.magnitude is not None:
            arrays[f"{name}/magnitude"] = np.array(parameter.magnitude, np.float32)
        return about | {"kind": "whole"}
    factors = coefficients(math.prod(parameter.shape[1:]))
    projections, norms = [], []
    for _, values, _ in parameter.rows():
        rows = values.reshape(len(values), -1)
        with np.errstate(all="ignore"):
            projections.append(rows @ factors)
            norms.append(np.sqrt((rows**2).sum(1)))
    arrays[f"{name}/projections"] = np.concatenate(projections)
    arrays[f"{name}/norms"] = np.concatenate(norms).astype(np.float32)
    return about | {"kind": "projected"}


def compare_with_sketch(
    model: ModelProto, sketch: StructureSketch, *, precision: Precision | None = None
) -> StructureComparison:
    """Compare a file with what was kept of its network; no torch is needed."""
    return compare_for_batches(lambda batch: _graph(sketch, batch), model, precision=precision)


@dataclass(frozen=True, kw_only=True)
class _KeptParameter:
    kind: Literal["whole", "projected"]
    name: str
    shape: tuple[Count, ...]
    foldings: Count


@dataclass(frozen=True, kw_only=True)
class _KeptOp:
    kind: str
    layer: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    attributes_one: dict[str, Any]
    parameters: dict[str, _KeptParameter]


@dataclass(frozen=True, kw_only=True)
class _KeptStructure:
    schema: Literal["resnetx.structure-sketch/1"]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ops: tuple[_KeptOp, ...]
    shapes: dict[str, tuple[tuple[Count, ...], tuple[Count, ...]] | None]


def _graph(sketch: StructureSketch, batch: int) -> Graph:
    """The network as it is for `batch` samples."""
    try:
        kept = validated(_KeptStructure, sketch.structure)
        ops = [
            Op(
                kind=op.kind,
                layer=op.layer,
                inputs=op.inputs,
                outputs=op.outputs,
                attributes=_attributes(op.attributes_one if batch == 1 else op.attributes),
                parameters={
                    name: _parameter(about, f"{number}/{name}", sketch.arrays) for name, about in op.parameters.items()
                },
            )
            for number, op in enumerate(kept.ops)
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(f"The structure of the network can't be read ({error}); make the golden file again.") from error
    shapes: dict[str, Shape | None] = {
        name: None if pair is None else tuple(a + (batch - 1) * (b - a) for a, b in zip(*pair, strict=True))
        for name, pair in kept.shapes.items()
    }
    return Graph(inputs=kept.inputs, outputs=kept.outputs, ops=ops, shapes=shapes)


def _parameter(about: _KeptParameter, name: str, arrays: Mapping[str, np.ndarray]) -> NetworkParameter:
    if about.kind == "whole":
        value = arrays[f"{name}/value"]
        magnitude = arrays[f"{name}/magnitude"].astype(np.float64) if f"{name}/magnitude" in arrays else None
        if value.shape != about.shape or (magnitude is not None and magnitude.shape != about.shape):
            raise ValueError(f"{name} has the shape {value.shape}, not {about.shape}")
        return constant(about.name, value, magnitude=magnitude, foldings=about.foldings)
    projections, norms = arrays[f"{name}/projections"], arrays[f"{name}/norms"].astype(np.float64)
    if projections.shape != (about.shape[0], PROJECTIONS) or norms.shape != about.shape[:1]:
        raise ValueError(f"{name} has projections of the shape {projections.shape}")
    return Projected(name=about.name, shape=about.shape, projections=projections, norms=norms, foldings=about.foldings)


def _plain(value: Any) -> Any:
    """As JSON has it: no tuples, no infinities."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value in INFINITY:
        return {"number": INFINITY[value]}
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _attributes(values: dict[str, Any]) -> dict[str, Any]:
    def read(value: Any) -> Any:
        if isinstance(value, list):
            return tuple(read(item) for item in value)
        return float(value["number"]) if isinstance(value, dict) else value

    return {key: read(value) for key, value in values.items()}


def to_arrays(sketch: StructureSketch) -> dict[str, np.ndarray]:
    """As the arrays of an .npz."""
    return {**sketch.arrays, "structure": np.array(json.dumps(sketch.structure, sort_keys=True))}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> StructureSketch:
    """From the arrays of an .npz, which may come from anywhere."""
    try:
        structure = dict(object_of(parse_json(str(arrays["structure"]))))
    except (KeyError, ValueError) as error:
        raise FileError(f"The structure of the network can't be read ({error}); make the golden file again.") from error
    return StructureSketch(structure=structure, arrays={name: arrays[name] for name in arrays if name != "structure"})
