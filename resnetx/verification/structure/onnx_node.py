"""One node of a file, as the translations of operators see it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto

from resnetx.verification.structure.builder import Builder, Operand, Unknown
from resnetx.verification.structure.graph import Shape
from resnetx.verification.structure.onnx_constants import integers
from resnetx.verification.structure.parameters import Parameter

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
Quantization = tuple[np.ndarray, np.ndarray]
Translation = Callable[["Node"], "Operand | Sequence[Operand]"]


@dataclass(frozen=True, kw_only=True)
class Node:
    """`shapes` are those of the outputs, `types` ONNX's numbers of the inputs' types, `note` records a rounding."""

    builder: Builder
    node: NodeProto
    operands: Sequence[Operand | None]
    attributes: Mapping[str, Any]
    shapes: Sequence[Shape | None]
    types: Sequence[int]
    opset: int
    quantized: dict[str, Quantization]
    note: Callable[..., None]

    @property
    def shape(self) -> Shape | None:
        return self.shapes[0] if self.shapes else None

    def operand(self, place: int) -> Operand | None:
        return self.operands[place] if place < len(self.operands) else None

    def value(self, place: int = 0) -> str:
        """An input that is an activation."""
        operand = self.operand(place)
        if not isinstance(operand, str):
            raise Unknown
        return operand

    def floats(self, place: int = 0) -> str:
        """An activation of floating-point numbers."""
        if self.types[place] not in FLOATS:
            raise Unknown
        return self.value(place)

    def constant(self, place: int) -> Parameter:
        """An input that is a constant, and not computed from a shape."""
        operand = self.optional(place)
        if operand is None:
            raise Unknown
        return operand

    def optional(self, place: int) -> Parameter | None:
        """A constant that may be left out."""
        operand = self.operand(place)
        if isinstance(operand, str) or (operand is not None and operand.from_shape):
            raise Unknown
        if operand is None and place < len(self.node.input) and self.node.input[place]:
            raise Unknown
        return operand

    def number(self, place: int, default: float) -> float:
        operand = self.optional(place)
        if operand is None:
            return default
        if math.prod(operand.shape) != 1:
            raise Unknown
        return float(operand.value().reshape(()))

    def integers(self, name: str, place: int | None = None) -> tuple[int, ...] | None:
        """Whole numbers from an attribute, or (in newer opsets) from an input."""
        if name in self.attributes:
            value = self.attributes[name]
            return (value,) if isinstance(value, int) else tuple(value)
        operand = None if place is None else self.operand(place)
        if isinstance(operand, str):
            raise Unknown
        return None if operand is None else integers(operand)

    def input_shape(self, place: int = 0) -> Shape | None:
        operand = self.operand(place)
        return self.builder.shapes[operand] if isinstance(operand, str) else operand.shape if operand else None

    def known_shape(self, place: int = 0) -> Shape:
        shape = self.input_shape(place)
        if shape is None:
            raise Unknown
        return shape

    def window(self, kernel: Sequence[int]) -> dict[str, Any]:
        """Strides, dilations and pads of a convolution or pooling, with automatic padding computed."""
        rank = len(kernel)
        strides = self.integers("strides") or (1,) * rank
        dilations = self.integers("dilations") or (1,) * rank
        pads = self.integers("pads") or (0,) * (2 * rank)
        auto = self.attributes.get("auto_pad", "NOTSET")
        if auto == "VALID":
            pads = (0,) * (2 * rank)
        elif auto.startswith("SAME"):
            spatial = self.known_shape()[2:]
            begin, end = [], []
            for length, size, step, spread in zip(spatial, kernel, strides, dilations, strict=True):
                total = max(0, (-(-length // step) - 1) * step + (size - 1) * spread + 1 - length)
                small, large = total // 2, total - total // 2
                begin.append(large if auto == "SAME_LOWER" else small)
                end.append(small if auto == "SAME_LOWER" else large)
            pads = (*begin, *end)
        elif auto not in ("NOTSET", ""):
            raise Unknown
        return {"strides": strides, "dilations": dilations, "pads": pads}
