"""The result of an export: the file, its card, and the verdict on it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resnetx.graph.card import ModelCard
from resnetx.graph.counts import GraphCounts
from resnetx.verification.parity import Parity

SCHEMA = "resnetx.export/1"


@dataclass(frozen=True, kw_only=True)
class SimplifyOutcome:
    applied: bool
    reason: str | None
    before: GraphCounts
    after: GraphCounts


@dataclass(frozen=True, kw_only=True)
class Export:
    """An exported file, which was not written if `parity` failed."""

    path: Path
    written: bool
    size_bytes: int
    sha256: str
    nodes: int
    ir_version: int
    card: ModelCard
    simplification: SimplifyOutcome | None
    parity: Parity | None

    @property
    def passed(self) -> bool:
        return self.parity is None or self.parity.passed

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "path": str(self.path),
            "written": self.written,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "nodes": self.nodes,
            "ir_version": self.ir_version,
            "card": json.loads(self.card.to_json()),
            "simplification": self.simplification and asdict(self.simplification),
            "parity": self.parity and self.parity.to_json(),
        }
