"""The reference outputs for the cases of a benchmark, computed once and stored as golden files."""

from dataclasses import dataclass, replace
from pathlib import Path

from resnetx.base.optional_torch import has_torch
from resnetx.benchmark.messages import TruthOrder
from resnetx.errors import ResnetxError
from resnetx.graph.card import ModelCard
from resnetx.inputs.sampling import Sampling
from resnetx.inputs.timed import POOL
from resnetx.runtime.catalog import open_runner
from resnetx.verification.golden import Golden, GoldenAbout, write_golden
from resnetx.verification.references import Truth, onnx_truth, torch_truth


@dataclass(frozen=True, kw_only=True)
class _TwiceEach(Sampling):
    """Two batches of every size, which differ in every position."""

    def batches(self) -> list[list[int]]:
        return [[(first + place) % self.count for place in range(size)] for size in self.sizes for first in (0, 1)]


def write_truths(order: TruthOrder) -> dict[int, Path] | str:
    """A golden file for each batch size, or why there is none."""
    sampling = _TwiceEach(
        sizes=tuple(order.batches),
        samples=max(2, min(max(order.batches), POOL)),
        # INT8 correctly cuts off what nothing like it was calibrated on.
        natural="int8" in order.precisions,
    )
    try:
        truth = _truth(order, sampling)
    except (ResnetxError, ImportError, MemoryError, RuntimeError) as error:
        return f"the reference could not be computed: {error}"
    files = {}
    for size in order.batches:
        own = [index for index, feeds in enumerate(truth.feeds) if len(feeds[0]) == size]
        files[size] = Path(order.folder) / f"{size}.npz"
        golden = Golden(
            about=GoldenAbout(reference=truth.description),
            inputs=(order.input_name,),
            outputs=truth.outputs,
            samples=truth.samples.only(own),
        )
        write_golden(files[size], golden)
    return files


def _truth(order: TruthOrder, sampling: Sampling) -> Truth:
    if order.card is not None and has_torch():
        return torch_truth(ModelCard.from_json(order.card), sampling, weights=None, precisions=order.precisions)
    # Without PyTorch, or its word on the file, this is compared with its own outputs on the CPU, without graph
    # optimization.
    model = Path(order.model)
    truth = onnx_truth(model, open_runner(model), None, sampling, precisions=order.precisions)
    return replace(truth, description="the file itself, not optimized, on ONNX Runtime's cpu provider")
