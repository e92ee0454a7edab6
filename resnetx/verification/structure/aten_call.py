"""The arguments of one call of a PyTorch operator, as the translations of operators read them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from resnetx.verification.structure.builder import Builder, Operand, Unknown
from resnetx.verification.structure.parameters import Parameter, constant

FLOATS = ("float32", "float64", "float16", "bfloat16")


class Arguments:
    """The arguments of one call, each read in the form that is needed."""

    def __init__(self, call: Any) -> None:
        self.builder: Builder = call.builder
        self.given: dict[str, Any] = dict(call.arguments)
        self.shapes: Sequence[tuple[int, ...]] = call.shapes
        self.dtypes: Sequence[str] = call.dtypes
        self.name: str = call.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shapes[0]

    def __getitem__(self, name: str) -> Any:
        return self.given[name]

    def value(self, name: str = "self") -> str:
        operand = self.given[name]
        if not isinstance(operand, str):
            raise Unknown
        return operand

    def constant(self, name: str) -> Parameter:
        operand = self.optional(name)
        if operand is None:
            raise Unknown
        return operand

    def optional(self, name: str) -> Parameter | None:
        operand = self.given.get(name)
        if operand is not None and not isinstance(operand, Parameter):
            raise Unknown
        return operand

    def operand(self, name: str) -> Operand:
        """A tensor or a number."""
        operand = self.given[name]
        if isinstance(operand, bool) or operand is None:
            raise Unknown
        return constant("number", np.asarray(float(operand))) if isinstance(operand, int | float) else operand

    def floats(self) -> None:
        if self.dtypes[0] not in FLOATS:
            raise Unknown


Handler = Callable[[Any], "Operand | Sequence[Operand]"]


def many(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """One number for all axes, or one for each."""
    numbers = (value,) if isinstance(value, int) else tuple(value)
    return numbers * rank if len(numbers) == 1 else numbers


def handler(function: Callable[..., Any], **fixed: Any) -> Handler:
    return lambda call: function(Arguments(call), **fixed)
