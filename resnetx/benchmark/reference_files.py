"""The reference outputs for the cases of a benchmark, computed once and stored as golden files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resnetx.base.optional_torch import has_torch
from resnetx.benchmark.messages import TruthOrder
from resnetx.errors import ResnetxError, UsageError
from resnetx.graph.card import ModelCard
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.inputs.sampling import Sampling
from resnetx.inputs.timed import POOL
from resnetx.runtime.catalog import open_runner
from resnetx.verification.golden import Golden, GoldenAbout, write_golden
from resnetx.verification.reference_outputs import References, Samples
from resnetx.verification.references import Truth, golden_truth, onnx_truth, torch_truth


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
        own = [index for index, (_, rows) in enumerate(truth.samples.arrangement) if len(rows) == size]
        files[size] = Path(order.folder) / f"{size}.npz"
        golden = Golden(
            about=GoldenAbout(reference=truth.description),
            inputs=tuple(order.inputs),
            outputs=truth.outputs,
            samples=_used(truth.samples.only(own)),
        )
        write_golden(files[size], golden)
    return files


def _truth(order: TruthOrder, sampling: Sampling) -> Truth:
    model, card = Path(order.model), None if order.card is None else ModelCard.from_json(order.card)
    if order.golden is not None:
        truth = golden_truth(Path(order.golden), read_onnx(model), precisions=order.precisions)
        return replace(truth, samples=_arranged(truth.samples, order.batches))
    if order.reference is not None:
        return onnx_truth(Path(order.reference), open_runner(model), card, sampling, precisions=order.precisions)
    if card is not None and has_torch():
        return torch_truth(card, sampling, weights=None, precisions=order.precisions)
    # Without PyTorch, or its word on the file, this is compared with its own outputs on the CPU, without graph
    # optimization.
    truth = onnx_truth(model, open_runner(model), None, sampling, precisions=order.precisions)
    return replace(truth, description="the file itself, not optimized, on ONNX Runtime's cpu provider")


def _used(samples: Samples) -> Samples:
    """Without the groups that no batch is of."""
    used = sorted({group for group, _ in samples.arrangement})
    outputs, place = samples.outputs.complete(), {group: number for number, group in enumerate(used)}
    noisy = {name: [runs[group] for group in used] for name, runs in outputs.noisy.items()}
    return Samples(
        groups=[samples.groups[group] for group in used],
        outputs=References(truth=[outputs.truth[group] for group in used], noisy=noisy),
        arrangement=tuple((place[group], rows) for group, rows in samples.arrangement),
        whole=frozenset(place[group] for group in samples.whole if group in place),
    )


def _arranged(samples: Samples, sizes: Sequence[int]) -> Samples:
    """A bundle's samples in two batches of each size; its own batches, where samples depend on each other."""
    known = [len(rows) for _, rows in samples.arrangement]
    group = samples.arrangement[0][0]
    rows = sorted({row for own, rows in samples.arrangement if own == group for row in rows})
    if group not in samples.whole and sum(own == group for own, _ in samples.arrangement) > 1:
        batches = [[rows[(first + place) % len(rows)] for place in range(size)] for size in sizes for first in (0, 1)]
        return replace(samples, arrangement=tuple((group, tuple(batch)) for batch in batches))
    if missing := set(sizes) - set(known):
        raise UsageError(
            f"the golden bundle has batches of {', '.join(map(str, sorted(set(known))))} and none of "
            f"{', '.join(map(str, sorted(missing)))}; give one of these as --batch"
        )
    return samples
