"""The result of a verification: each provider's placement, its errors, and the first wrong layer."""

from dataclasses import asdict, dataclass
from typing import Any

from resnetx.verification.layers import LayerParity, first_fault
from resnetx.verification.parity import Parity, json_safe

SCHEMA = "resnetx.verify/1"


@dataclass(frozen=True, kw_only=True)
class ProviderVerdict:
    """One provider. `layers` is empty unless requested; `notes` are remarks for the user."""

    provider: str
    precision: str
    placement: tuple[tuple[str, int], ...]
    options: dict[str, str]
    parity: Parity
    deterministic: bool
    layers: tuple[LayerParity, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.parity.passed

    @property
    def first_fault(self) -> LayerParity | None:
        return first_fault(self.layers)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """A file compared with its reference, on every requested provider."""

    model: str
    model_sha256: str
    architecture: str
    reference: str
    seed: int
    samples: int
    verdicts: tuple[ProviderVerdict, ...]

    @property
    def passed(self) -> bool:
        return bool(self.verdicts) and all(verdict.passed for verdict in self.verdicts)

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        for row, verdict in zip(data["verdicts"], self.verdicts, strict=True):
            fault = verdict.first_fault
            row["passed"] = verdict.passed
            row["first_fault"] = None if fault is None else fault.name
        result: dict[str, Any] = json_safe({"schema": SCHEMA, "passed": self.passed, **data})
        return result
