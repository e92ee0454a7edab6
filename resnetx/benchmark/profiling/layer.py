"""A layer of a profile: its times and its work, its rates, and which of the machine's limits bounds it."""

from dataclasses import asdict, dataclass
from statistics import median
from typing import Annotated, Any, Literal

from pydantic import Field

from resnetx.base.validation import Large, Name, Number
from resnetx.benchmark.peak_share import share_of_peak
from resnetx.benchmark.result import Limits

Bound = Literal["compute", "memory"]


@dataclass(frozen=True, kw_only=True)
class ProfiledLayer:
    """What the engine ran as one kernel: its times in milliseconds, its work in one run, and the names of its nodes.

    `name` is that of its main node, a path of modules in files of resnetx, and `original_name` that of the same layer
    in the original network. `operator`, `kernel` and `precision` are as the engine reports them. `macs` are its
    multiply-accumulates, and `moved_bytes` those of its inputs, weights and outputs, the least that it must read and
    write; None if unknown.
    """

    name: Name
    operator: Name
    kernel: Name
    precision: Name
    times_ms: Annotated[tuple[Number, ...], Field(min_length=1)]
    original_name: Name | None = None
    nodes: tuple[Name, ...] = ()
    macs: Large | None = None
    moved_bytes: Large | None = None

    @property
    def time_ms(self) -> float:
        return median(self.times_ms)


@dataclass(frozen=True, kw_only=True)
class LayerFigures:
    """A layer's figures, derived from its times; None if they are unknown.

    `share` is of the time of a run without profiling. A multiply-accumulate is two operations. `intensity` is the
    number of operations for each byte moved. `bound` is the limit that the layer meets first, by its intensity: the
    peak of its precision, or the memory's bandwidth; `peak_share` is what it reaches of that limit. It is None where
    the layer was faster than the limit, which then isn't one.
    """

    layer: ProfiledLayer
    share: float
    gflops: float | None = None
    gb_s: float | None = None
    intensity: float | None = None
    bound: Bound | None = None
    peak_share: float | None = None
    faster_than_limit: bool = False

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        del data["layer"]
        return {"time_ms": self.layer.time_ms, **data}


def layer_figures(layer: ProfiledLayer, run_ms: float, limits: Limits | None) -> LayerFigures:
    """The figures of a layer of a run that takes `run_ms`."""
    time_ms, macs, moved = layer.time_ms, layer.macs, layer.moved_bytes
    # 10^6 operations in a millisecond are 10^9 in a second.
    gflops = None if macs is None or not time_ms else 2 * macs / time_ms / 1e6
    gb_s = None if moved is None or not time_ms else moved / time_ms / 1e6
    intensity = None if macs is None or not moved else 2 * macs / moved
    peak, bandwidth = peak_gflops(limits, layer.precision), None if limits is None else limits.bandwidth_gb_s
    bound = bound_of(intensity, peak, bandwidth)
    reached, limit = (gflops, peak) if bound == "compute" else (gb_s, bandwidth)
    of_limit = share_of_peak(reached, limit if bound else None)
    return LayerFigures(
        layer=layer,
        share=time_ms / run_ms,
        gflops=gflops,
        gb_s=gb_s,
        intensity=intensity,
        bound=bound,
        peak_share=of_limit.share,
        faster_than_limit=of_limit.faster,
    )


def bound_of(intensity: float | None, peak_gflops: float | None, bandwidth_gb_s: float | None) -> Bound | None:
    """Which limit a layer of this intensity meets first; without multiplication it is the memory."""
    if intensity is None or not bandwidth_gb_s:
        return None
    if intensity == 0:
        return "memory"
    return None if not peak_gflops else "compute" if intensity >= peak_gflops / bandwidth_gb_s else "memory"


def peak_gflops(limits: Limits | None, precision: str) -> float | None:
    """The peak of the processor in a precision, if it was measured."""
    return None if limits is None else limits.peak_gflops(precision)
