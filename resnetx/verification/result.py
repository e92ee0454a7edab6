"""The result of a verification: whether the file is the network, and whether each provider computes it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from resnetx.verification.layers import LayerParity, first_fault
from resnetx.verification.parity import Parity, json_safe

# Version 2 adds `file`, and `graph` and layers to every verdict.
SCHEMA = "resnetx.verify/2"


@dataclass(frozen=True, kw_only=True)
class FileVerdict:
    """Whether the file is the network: its outputs and inner tensors in float64, and what else differs.

    `left_out` are nodes whose tensors were not compared, and why. `problems` are differences that were found without
    running anything; `notes` say what could not be compared.
    """

    parity: Parity | None = None
    layers: tuple[LayerParity, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        outputs = self.parity is None or self.parity.passed
        return outputs and not self.problems and all(layer.passed for layer in self.layers)

    @property
    def first_fault(self) -> LayerParity | None:
        return first_fault(self.layers)


@dataclass(frozen=True, kw_only=True)
class ProviderVerdict:
    """One provider: `parity` with the reference, and `graph` and `layers` with the file's own graph in float64.

    `notes` are remarks for the user.
    """

    provider: str
    precision: str
    placement: tuple[tuple[str, int], ...]
    options: dict[str, str]
    parity: Parity
    deterministic: bool
    graph: Parity | None = None
    layers: tuple[LayerParity, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        graph = self.graph is None or self.graph.passed
        return self.parity.passed and graph and all(layer.passed for layer in self.layers)

    @property
    def first_fault(self) -> LayerParity | None:
        return first_fault(self.layers)


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

    @property
    def first_fault(self) -> LayerParity | None:
        """The first wrong layer of the file or, if that is right, of a provider."""
        own = None if self.file is None else self.file.first_fault
        return own or next((fault for verdict in self.verdicts if (fault := verdict.first_fault)), None)

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        parts: list[tuple[dict[str, Any], FileVerdict | ProviderVerdict]]
        parts = list(zip(data["verdicts"], self.verdicts, strict=True))
        for row, verdict in [*parts, (data["file"], self.file)] if self.file else parts:
            fault = verdict.first_fault
            row["passed"] = verdict.passed
            row["first_fault"] = None if fault is None else fault.name
        result: dict[str, Any] = json_safe({"schema": SCHEMA, "passed": self.passed, **data})
        return result
