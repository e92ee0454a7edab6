"""The messages between a profile and the process that runs the file, validated on arrival."""

from dataclasses import dataclass, field

from resnetx.base.precisions import SessionPrecision
from resnetx.base.validation import Number, Positive
from resnetx.runtime.runner import LayerTimes


@dataclass(frozen=True, kw_only=True)
class ProfileOrder:
    model: str
    provider: str
    batch: Positive
    threads: Positive
    precision: SessionPrecision
    options: dict[str, str]
    duration_s: Number


@dataclass(frozen=True, kw_only=True)
class ProfileDone:
    """What ran, and the times of runs without and with profiling, in rounds, and of the layers in all of these.

    `input_shape` is that of the first input; None if there is none, or if it has no size.
    """

    provider: str
    effective_precision: str
    options: dict[str, str]
    notes: list[str]
    plain_ms: list[list[Number]]
    profiled_ms: list[list[Number]]
    layers: list[LayerTimes] = field(default_factory=list)
    input_shape: list[Positive] | None = None
