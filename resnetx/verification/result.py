"""The result of a verification: whether the file is the network, and whether each provider computes it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from resnetx.base.text import readable
from resnetx.verification.coverage_result import Coverage
from resnetx.verification.float_agreement import FloatAgreement
from resnetx.verification.layers import LayerParity, first_fault
from resnetx.verification.parity import Check, Parity, json_safe
from resnetx.verification.structure.result import StructureComparison

# Version 2 adds `file`, and `graph` and layers to every verdict.
SCHEMA = "resnetx.verify/2"


@dataclass(frozen=True, kw_only=True)
class FileVerdict:
    """Whether the file is the network: its weights and graph, and its outputs and inner tensors in float64.

    `coverage` says which channels of the network no input reaches.
    `left_out` are nodes whose tensors were not compared, and why. `problems` are claims of the card that the file
    contradicts, `unshown` those that it can neither show nor contradict; `notes` say what could not be compared.
    `wrong_layer` is the first that is wrong by its numbers, its weights or its place.
    """

    structure: StructureComparison | None = None
    coverage: Coverage | None = None
    parity: Parity | None = None
    layers: tuple[LayerParity, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    unshown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    wrong_layer: str | None = None

    @property
    def passed(self) -> bool:
        parts = (self.structure, self.parity)
        equal = all(part is None or part.passed for part in parts)
        return equal and not self.problems and all(layer.passed for layer in self.layers)

    @property
    def first_fault(self) -> LayerParity | None:
        return first_fault(self.layers)


@dataclass(frozen=True, kw_only=True)
class ProviderVerdict:
    """One provider: `parity` with the reference, and `graph` and `layers` with the file's own graph in float64.

    `agreement` is that of an INT8 file with the float network. `notes` are remarks for the user.
    """

    provider: str
    precision: str
    placement: tuple[tuple[str, int], ...]
    options: dict[str, str]
    parity: Parity
    deterministic: bool
    graph: Parity | None = None
    agreement: FloatAgreement | None = None
    layers: tuple[LayerParity, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        parts = (self.graph, self.agreement)
        equal = all(part is None or part.passed for part in parts)
        return self.parity.passed and equal and all(layer.passed for layer in self.layers)

    @property
    def first_fault(self) -> LayerParity | None:
        return first_fault(self.layers)

    @property
    def wrong_layer(self) -> str | None:
        return None if self.first_fault is None else self.first_fault.name


@dataclass(frozen=True, kw_only=True)
class Verification:
    """A file compared with its reference, on every requested provider. `file` is None if no network is known."""

    model: str
    model_sha256: str
    architecture: str
    reference: str
    seed: int
    samples: int
    file: FileVerdict | None
    verdicts: tuple[ProviderVerdict, ...]

    @property
    def passed(self) -> bool:
        file = self.file is None or self.file.passed
        return file and bool(self.verdicts) and all(verdict.passed for verdict in self.verdicts)

    def __repr__(self) -> str:
        model, on = readable(self.model, 60), " and ".join(verdict.provider for verdict in self.verdicts)
        if self.passed:
            largest = max(
                (check for each in self.verdicts if (check := each.parity.largest)),
                key=lambda check: check.multiple or 0.0,
                default=None,
            )
            figure = "" if largest is None else f", {error_words(largest)}"
            return f"<Verification of {model}: passed on {on}{figure}>"
        failed = next((check for each in self.verdicts if (check := each.parity.first_failed)), None)
        what = "" if failed is None else f", {failed.output}: {readable(failed.reason or '', 120)}"
        layer = f", first wrong layer {readable(self.wrong_layer, 60)}" if self.wrong_layer else ""
        return f"<Verification of {model}: FAILED{what}{layer}>"

    @property
    def wrong_layer(self) -> str | None:
        """The first wrong layer of the file or, if that is right, of a provider."""
        parts = (*(() if self.file is None else (self.file,)), *self.verdicts)
        return next((part.wrong_layer for part in parts if part.wrong_layer is not None), None)

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        parts: list[tuple[dict[str, Any], FileVerdict | ProviderVerdict]]
        parts = list(zip(data["verdicts"], self.verdicts, strict=True))
        for row, verdict in [*parts, (data["file"], self.file)] if self.file else parts:
            row["passed"] = verdict.passed
            row["first_fault"] = verdict.wrong_layer
        result: dict[str, Any] = json_safe({"schema": SCHEMA, "passed": self.passed, **data})
        return result


def error_words(check: Check) -> str:
    """The main figure of a check whose noise is known."""
    return f"error at most {check.multiple:.2g} of {check.allowed:g} times the reference's own"
