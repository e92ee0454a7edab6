"""The order to the process that quantizes, and its answer."""

from collections.abc import Mapping
from dataclasses import dataclass

from resnetx.base.validation import Count, Flag, Number, Positive
from resnetx.conversion.quantization.agreement import Accuracy, Agreement


@dataclass(frozen=True, kw_only=True)
class QuantizeOrder:
    """`target` is a preset; `provider` runs the result here. `max_drop` is a share, None for no limit.

    `made_from` is written into the result if it gets no card.
    """

    path: str
    made_from: str
    out: str
    calibrate: str
    target: str
    provider: str
    method: str
    samples: Positive
    exclude: list[str]
    evaluate: str | None
    max_drop: float | None


@dataclass(frozen=True, kw_only=True)
class GateStep:
    """The file with some layers in float: its drop, and how fast it is beside the float file."""

    kept: Count
    added: str | None
    drop: float
    top1: float
    speedup: Number


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """What was made: `harm` are the layers' signal to error at the scores if nothing else is quantized, worst first;
    `layers` are the signal to error of what each layer writes. `tried` is that of the scores for each method. `shifted`
    are the layers whose weights are stored one lower, for a faster kernel."""

    method: str
    tried: Mapping[str, float | None]
    source: str
    digest: str
    samples: Positive
    skipped: Count
    weight_bits: Count
    shifted: list[str]
    n_layers: Positive
    kept: list[str]
    agreement: Agreement
    accuracy: Accuracy | None
    layers: Mapping[str, float | None]
    harm: Mapping[str, float | None]
    steps: list[GateStep]
    held: Flag
    float_ms: Number
    int8_ms: Number

    @property
    def drop(self) -> float:
        """The drop that the limit is on: of labelled accuracy, or else of agreement."""
        return self.accuracy.drop if self.accuracy else 1 - self.agreement.top1
