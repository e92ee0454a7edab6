"""The results of exports and conversions: the file, what it is, and the verdict on it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resnetx.base.text import file_size, readable
from resnetx.graph.card import ModelCard
from resnetx.graph.counts import GraphCounts
from resnetx.verification.parity import Parity
from resnetx.verification.result import FileVerdict, ProviderVerdict, Verification, error_words, shows_anything

# Version 2 adds `unproven`.
SCHEMA = "resnetx.export/2"
CONVERT_SCHEMA = "resnetx.convert/1"


@dataclass(frozen=True, kw_only=True)
class SimplifyOutcome:
    applied: bool
    reason: str | None
    before: GraphCounts
    after: GraphCounts


@dataclass(frozen=True, kw_only=True)
class Export:
    """An exported file, which was not written if the verification failed.

    `file` says whether it is the network, `verdict` whether the cpu provider computes it; both are None without one.
    `unproven` is why the outputs prove nothing; such a file is written only if it was compared inside.
    """

    path: Path
    written: bool
    size_bytes: int
    sha256: str
    nodes: int
    ir_version: int
    card: ModelCard
    simplification: SimplifyOutcome | None
    file: FileVerdict | None
    verdict: ProviderVerdict | None
    unproven: str | None = None

    @property
    def parity(self) -> Parity | None:
        return None if self.verdict is None else self.verdict.parity

    @property
    def passed(self) -> bool:
        return self.agrees and shows_anything(self.file, self.unproven)

    @property
    def agrees(self) -> bool:
        """Whether nothing is wrong, even if that proves nothing."""
        return all(part is None or part.passed for part in (self.file, self.verdict))

    def __repr__(self) -> str:
        what = f"{self.card.architecture} to {readable(str(self.path), 60)}"
        if not self.passed:
            failed = self.parity and self.parity.first_failed
            why = f", {failed.output}: {readable(failed.reason or '', 120)}" if failed else ""
            verdict = "nothing could be proven" if self.agrees else "FAILED"
            return f"<Export of {what}: {verdict} and not written{why}>"
        largest = self.parity and self.parity.largest
        figure = f", {error_words(largest)}" if largest else ""
        verdict = "not verified" if self.parity is None else "passed"
        return f"<Export of {what}: {verdict}, {file_size(self.size_bytes)}{figure}>"

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
            "unproven": self.unproven,
        }


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A converted file, which was not written if the verification against its source failed.

    `kept` are the nodes in float32, and why; `undefined` the tensors that held NaN or infinity on one of the `samples`.
    """

    source: Path
    target: Path
    written: bool
    kept: dict[str, str]
    undefined: tuple[str, ...]
    samples: int
    before: GraphCounts
    after: GraphCounts
    verification: Verification

    def __repr__(self) -> str:
        verdict = "passed" if self.written else "FAILED and not written"
        files = f"{readable(str(self.source), 60)} to {readable(str(self.target), 60)}"
        return f"<Conversion of {files}: {verdict}, {len(self.kept)} nodes in float32>"

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": CONVERT_SCHEMA,
            "source": str(self.source),
            "target": str(self.target),
            "written": self.written,
            "kept_in_float32": self.kept,
            "undefined": list(self.undefined),
            "samples": self.samples,
            "before": asdict(self.before),
            "after": asdict(self.after),
            "verification": self.verification.to_json(),
        }
