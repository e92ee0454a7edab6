"""Compares one operation of the network with one of the file: attributes, parameters and shapes."""

import math
from typing import Any

from resnetx.verification.structure.graph import Graph, Op
from resnetx.verification.structure.parameters import Mismatch, Parameter, full, zeros
from resnetx.verification.structure.result import Difference

COMMUTATIVE = ("add", "mul", "max", "min")
# Attributes are float32 in a file.
ATTRIBUTE_ROUNDING = 1e-6
NAMES = {
    "kernel": "kernel size",
    "min": "lower limit",
    "max": "upper limit",
    "ceil": "ceil mode",
    "perm": "axes' order",
}


class Pairs:
    """Remembers what was compared, because weights are large."""

    def __init__(self, network: Graph, file: Graph) -> None:
        self.network, self.file = network, file
        self._mismatches: dict[tuple[int, int], dict[str, Mismatch]] = {}
        # Whether the weights alone are the same.
        self._weights: dict[tuple[int, int], bool] = {}
        self._kept: list[tuple[Op, Op]] = []

    def comparable(self, op: Op, other: Op) -> bool:
        """Whether their parameters have the same shapes; a bias that is missing is a bias of zeros."""
        if op.kind != other.kind:
            return False
        names = {*op.parameters, *other.parameters} - {"bias", "shift", "scale"}
        if not all(name in op.parameters and name in other.parameters for name in names):
            return False
        shared = op.parameters.keys() & other.parameters.keys()
        return all(op.parameters[name].shape == other.parameters[name].shape for name in shared)

    def mismatches(self, op: Op, other: Op) -> dict[str, Mismatch]:
        """By name, the parameters that differ, of operations that are comparable."""
        key = id(op), id(other)
        if key not in self._mismatches:
            found = {}
            for name in {**op.parameters, **other.parameters}:
                same = name == "weight" and self._weights.get(key, False)
                mismatch = None if same else self._mismatch(op, other, name)
                if mismatch is not None:
                    found[name] = mismatch
            self._mismatches[key] = found
            self._kept.append((op, other))
        return self._mismatches[key]

    def _mismatch(self, op: Op, other: Op, name: str) -> Mismatch | None:
        expected = op.parameters.get(name)
        found = other.parameters.get(name)
        neutral = 1.0 if name == "scale" else 0.0
        if expected is None:
            assert found is not None
            return _neutral(full(found), neutral).mismatch(full(found))
        return expected.mismatch(full(found) if found is not None else _neutral_of(expected.shape, name, neutral))

    def same_parameters(self, op: Op, other: Op) -> bool:
        if not self.comparable(op, other):
            return False
        key = id(op), id(other)
        if key not in self._mismatches and key not in self._weights:
            weight, found = op.parameters.get("weight"), other.parameters.get("weight")
            if weight is not None and found is not None:
                self._weights[key] = weight.same(full(found))
                self._kept.append((op, other))
        return self._weights.get(key, True) and not self.mismatches(op, other)

    def exact(self, op: Op, other: Op) -> bool:
        """Whether they are the same but for their inputs."""
        if op.kind != other.kind or op.opaque or len(op.outputs) != len(other.outputs):
            return False
        if different_attributes(op, other):
            return False
        shape, found = self.network.shapes.get(op.output), self.file.shapes.get(other.output)
        if shape is not None and (found is None if op.kind == "reshape" else found is not None) and shape != found:
            return False
        return self.same_parameters(op, other)

    def differences(self, op: Op, other: Op) -> list[Difference]:
        """All that differs between two operations that stand in the same place."""
        rows = [
            Difference(layer=op.layer, what=NAMES.get(name, name), expected=text(expected), found=text(found))
            for name, (expected, found) in different_attributes(op, other).items()
        ]
        if not self.comparable(op, other):
            for name in op.parameters.keys() & other.parameters.keys():
                expected, found = op.parameters[name].shape, other.parameters[name].shape
                if expected != found:
                    what = f"shape of the {name}"
                    rows.append(Difference(layer=op.layer, what=what, expected=text(expected), found=text(found)))
            return rows
        for name, mismatch in self.mismatches(op, other).items():
            rows.append(of_parameter(op.layer, name, mismatch))
        if not rows and op.kind == "reshape":
            shapes = text(self.network.shapes.get(op.output)), text(self.file.shapes.get(other.output))
            rows.append(Difference(layer=op.layer, what="shape", expected=shapes[0], found=shapes[1]))
        return rows


def of_parameter(layer: str, name: str, mismatch: Mismatch) -> Difference:
    expected, found = f"{mismatch.expected:.6g}", f"{mismatch.found:.6g}"
    if expected == found:
        expected, found = f"{mismatch.expected:.9g}", f"{mismatch.found:.9g}"
    return Difference(
        layer=layer,
        what=name,
        place=mismatch.index,
        expected=expected,
        found=found,
        roundings=mismatch.roundings,
        unit=mismatch.unit,
        count=mismatch.count,
        total=mismatch.total,
        ratio=mismatch.ratio,
    )


def different_attributes(op: Op, other: Op) -> dict[str, tuple[Any, Any]]:
    """By name, the attributes that differ: the first's value and the second's."""
    names = {**op.attributes, **other.attributes}
    values = {name: (op.attributes.get(name), other.attributes.get(name)) for name in names}
    return {name: pair for name, pair in values.items() if not _same(*pair)}


def _same(first: Any, second: Any) -> bool:
    numbers = isinstance(first, int | float) and isinstance(second, int | float)
    if numbers and (isinstance(first, float) or isinstance(second, float)):
        return math.isclose(first, second, rel_tol=ATTRIBUTE_ROUNDING, abs_tol=1e-12)
    if isinstance(first, tuple | list) and isinstance(second, tuple | list):
        return len(first) == len(second) and all(map(_same, first, second))
    return bool(first == second)


def text(value: object) -> str:
    """An attribute for people."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(text, value)) + "]"
    return "unknown" if value is None else str(value)


def _neutral_of(shape: tuple[int, ...], name: str, value: float) -> Parameter:
    return _filled(zeros(name, shape), value)


def _neutral(like: Parameter, value: float) -> Parameter:
    return _filled(zeros(like.name, like.shape), value)


def _filled(parameter: Parameter, value: float) -> Parameter:
    from dataclasses import replace

    return replace(parameter, read=lambda: zeros("", parameter.shape).read() + value)
