"""Figures derived from raw samples: medians, bootstrap intervals over rounds, percentiles where there are enough."""

from dataclasses import dataclass
from typing import Any

from resnetx.measure.benched import BenchCase, Limits


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A case's figures; None where there are too few samples for one."""

    median_ms: float | None = None
    ci95_ms: tuple[float, float] | None = None
    percentiles_ms: dict[str, float | None] | None = None
    images_per_s: float | None = None
    limit_fraction: float | None = None

    def to_json(self) -> dict[str, Any]:
        latency = {"median": self.median_ms, "ci95": self.ci95_ms, **(self.percentiles_ms or {})}
        return {"latency_ms": latency, "images_per_s": self.images_per_s, "limit_fraction": self.limit_fraction}


def summarize(case: BenchCase, limits: Limits | None) -> Summary:
    """(being written)"""
    return Summary()
