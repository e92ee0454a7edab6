"""One node being evaluated, as an operator's function sees it: its attributes, types and the settings of the run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from onnx import AttributeProto, NodeProto
from torch import Tensor

from resnetx.verification.evaluation.rounding import FloatFormat

Steps = Literal["kept", "ignored", "declared", "fitted"]
Arithmetic = Literal["float64", "float32", "bf16", "fp16", "tf32"]
Result = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How numbers are held and rounded in a run."""

    dtype: torch.dtype = torch.float64
    steps: Steps = "kept"
    one_by_one: bool = False
    """Long sums are added one number after the other, as ONNX Runtime does."""
    operands: FloatFormat | None = None
    """Both operands of matrix products and convolutions are rounded to this format."""
    outputs: FloatFormat | None = None
    """What operators compute from the inputs' data is rounded to this format."""

    @property
    def rounds_steps(self) -> bool:
        return self.steps != "ignored"

    @property
    def steps_in_floats(self) -> bool:
        """Whether floats stand for integers behind a QuantizeLinear."""
        return self.steps in ("ignored", "fitted")


@dataclass(frozen=True, kw_only=True)
class Call:
    node: NodeProto
    opset: int
    """Of the node's domain."""
    settings: Settings
    types: tuple[int, ...] = field(default=())
    """The declared ONNX types of the inputs; 0 for one that is left out."""

    @cached_property
    def _attributes(self) -> dict[str, AttributeProto]:
        return {attribute.name: attribute for attribute in self.node.attribute}

    def has(self, name: str) -> bool:
        return name in self._attributes

    def attribute(self, name: str) -> AttributeProto:
        return self._attributes[name]

    def integer(self, name: str, default: int) -> int:
        return self._attributes[name].i if name in self._attributes else default

    def number(self, name: str, default: float) -> float:
        return self._attributes[name].f if name in self._attributes else default

    def text(self, name: str, default: str) -> str:
        return self._attributes[name].s.decode("utf-8", "replace") if name in self._attributes else default

    def integers(self, name: str) -> list[int] | None:
        return list(self._attributes[name].ints) if name in self._attributes else None

    def numbers(self, name: str) -> list[float] | None:
        return list(self._attributes[name].floats) if name in self._attributes else None

    def type_of(self, index: int) -> int:
        return self.types[index] if index < len(self.types) else 0

    @property
    def output_count(self) -> int:
        return len(self.node.output)

    def wants(self, index: int) -> bool:
        """Whether the node names its output of this index."""
        return index < len(self.node.output) and bool(self.node.output[index])


# A function takes the call and the inputs in order, None for one that is left out.
Operator = Callable[..., Result]
Table = dict[str, Operator]
MICROSOFT = "com.microsoft"


def given(inputs: Sequence[Tensor | None], index: int) -> Tensor | None:
    """The optional input of this index."""
    return inputs[index] if index < len(inputs) else None


def integers_in(tensor: Tensor) -> list[int]:
    """The numbers of a tensor that describes shapes, axes or pads."""
    return [int(value) for value in tensor.flatten().tolist()]


def normal_axis(axis: int, rank: int) -> int:
    if not -rank <= axis < max(rank, 1):
        raise ValueError(f"axis {axis} of a tensor with {rank} dimensions")
    return axis + rank if axis < 0 else axis
