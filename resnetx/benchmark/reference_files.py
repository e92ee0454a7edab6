"""PyTorch's answers for the cases of a benchmark, computed once and handed over as golden files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnetx.errors import ResnetxError
from resnetx.graph.card import ModelCard
from resnetx.inputs.sampling import Sampling
from resnetx.inputs.timed import POOL
from resnetx.verification.golden import write_golden
from resnetx.verification.references import torch_truth

NO_REFERENCE = "the file has no card of a network that PyTorch could rebuild"


@dataclass(frozen=True, kw_only=True)
class _TwiceEach(Sampling):
    """Two batches of every size, which differ in every place."""

    def batches(self) -> list[list[int]]:
        return [[(first + place) % self.count for place in range(size)] for size in self.sizes for first in (0, 1)]


def write_truths(
    card: ModelCard, batches: Sequence[int], precisions: Sequence[str], folder: Path, *, input_name: str
) -> dict[int, Path] | str:
    """A golden file for each batch size, or why PyTorch could not say."""
    sampling = _TwiceEach(sizes=tuple(batches), samples=max(2, min(max(batches), POOL)))
    try:
        truth = torch_truth(card, sampling, weights=None, precisions=precisions)
    except (ResnetxError, ImportError, MemoryError, RuntimeError) as error:
        return f"PyTorch could not compute the truth: {error}"
    files = {}
    for size in batches:
        own = [index for index, feeds in enumerate(truth.feeds) if len(feeds[0]) == size]
        files[size] = folder / f"{size}.npz"
        write_golden(
            files[size],
            inputs=(input_name,),
            outputs=truth.outputs,
            feeds=[truth.feeds[index] for index in own],
            references=truth.references.only(own),
            about={"weights_sha256": card.weights.sha256},
        )
    return files
