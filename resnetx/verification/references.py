"""The references: PyTorch in float64, a golden bundle, another ONNX file, or the file's own graph in float64.

torch is imported only when it is used, because golden bundles are for machines without it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx

from resnetx.base.optional_torch import require_torch
from resnetx.base.precisions import SUBSTITUTES
from resnetx.base.text import readable
from resnetx.errors import UsageError
from resnetx.graph.card import ModelCard, read_card
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.inputs.batch_dimension import batched_shape
from resnetx.inputs.sampling import Sampling
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.runner import Runner
from resnetx.verification.card_check import Origin
from resnetx.verification.checks import run_batches
from resnetx.verification.evaluation.unsupported import UnsupportedGraph
from resnetx.verification.exact_graph import ExactGraph
from resnetx.verification.feeds import card_feeds, foreign_feeds, grouped, probe_batches
from resnetx.verification.golden import Golden, read_golden
from resnetx.verification.reference_outputs import Feeds, Outputs, References, Samples, Trace


class Original(Protocol):
    """What a file should compute, in float64: a torch module, or another graph."""

    def exact(self, feeds: Sequence[np.ndarray]) -> Trace:
        """The outputs and inner tensors."""

    def rounded(self, feeds: Sequence[np.ndarray]) -> Trace:
        """The same, computed in float32."""

    def perturbed(self, feeds: Sequence[np.ndarray], precision: str) -> Trace:
        """The same, with each parameter off by up to a rounding of `precision`."""


# The only other number of bits that weights in INT8 have, whatever a card says.
NARROW_BITS = 7


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Samples and the reference's outputs for them.

    `probes` are batches that contain each distinct sample once, for the comparison of inner tensors with `original`,
    if that is known; `fixed`: the file takes batches of one size only. `module` is the torch module, typed as Any
    because torch is optional. `bundle` is the golden bundle that all this was read from, `origin` what
    the network's checkpoint says itself, `file` the reference if that is another file. `other_sizes` is the same for
    inputs of other sizes, with words for these.
    """

    description: str
    outputs: tuple[str, ...]
    samples: Samples
    probes: Feeds
    original: Original | None = None
    module: Any = None
    bundle: Golden | None = None
    fixed: bool = False
    origin: Origin | None = None
    file: onnx.ModelProto | None = None
    other_sizes: tuple[tuple[str, "Truth"], ...] = ()

    @property
    def feeds(self) -> Feeds:
        return self.samples.feeds

    @property
    def references(self) -> References:
        return self.samples.references


def torch_truth(
    card: ModelCard,
    sampling: Sampling,
    *,
    weights: str | None,
    precisions: Sequence[str],
    dtype: np.dtype[Any] | None = None,
) -> Truth:
    """The network that the card describes, rebuilt and run in PyTorch. `dtype` is that of the file's input."""
    require_torch(
        f"The card names {readable(card.architecture, 60)}, and comparing the file with that network",
        instead="give the golden bundle that was written at export with --golden",
    )
    from resnetx.verification.rebuild import rebuild_with_origin

    deployed, origin = rebuild_with_origin(card, weights=weights)
    truth = deployed_truth(deployed, card, sampling, precisions=precisions, dtype=dtype)
    return replace(truth, origin=origin)


def deployed_truth(
    deployed: Any, card: ModelCard, sampling: Sampling, *, precisions: Sequence[str], dtype: np.dtype[Any] | None = None
) -> Truth:
    """A network of the residual family with its preprocessing."""
    from resnetx.verification.pytorch_reference import Network

    network = Network(deployed.with_logits(), wrapper="network", weight_bits=_weight_bits(card))
    feeds = card_feeds(card, sampling, precisions, network, dtype=dtype)
    # Its own networks treat samples independently.
    samples = grouped(feeds, sampling, None, _torch_references(network, precisions))
    return Truth(
        description="PyTorch in float64",
        outputs=("logits",),
        samples=samples,
        probes=probe_batches(samples, sampling),
        original=network,
        module=deployed,
        fixed=len(set(sampling.sizes)) == 1,
    )


def _weight_bits(card: ModelCard | None) -> int:
    narrow = card is not None and card.quantization is not None and card.quantization.weight_bits == NARROW_BITS
    return NARROW_BITS if narrow else 8


def module_truth(
    module: Any, outputs: tuple[str, ...], feeds: Feeds, sampling: Sampling, *, precisions: Sequence[str]
) -> Truth:
    """A torch module of the user, in evaluation mode."""
    import copy

    from resnetx.verification.pytorch_reference import Network

    own = copy.deepcopy(module).cpu().float().eval()
    network = Network(own)
    samples = grouped(feeds, sampling, network.outputs, _torch_references(network, precisions))
    return Truth(
        description=f"{type(module).__name__} in PyTorch, float64",
        outputs=outputs,
        samples=samples,
        probes=probe_batches(samples, sampling),
        original=network,
        module=own,
        fixed=len(set(sampling.sizes)) == 1,
    )


def with_precision(truth: Truth, precision: str, rows: Sequence[int]) -> Samples:
    """The samples with PyTorch's outputs in one more precision, computed only for some rows of the first group.

    The other rows have the float32 outputs: INT8 chooses its ranges by the whole batch, and extremes would spoil them.
    """
    samples, network = truth.samples, truth.original
    count = len(samples.groups[0][0])
    rows = [row for row in rows if row < count]
    noisy = [list(outputs) for outputs in samples.outputs.noisy["fp32"]]
    answers = network.outputs([each[rows] for each in samples.groups[0]], precision)  # type: ignore[union-attr]
    for index, answer in enumerate(answers):
        if answer.ndim and noisy[0][index].shape == (count, *answer.shape[1:]) and answer.dtype.kind == "f":
            noisy[0][index] = noisy[0][index].copy()
            noisy[0][index][rows] = answer
    outputs = replace(samples.outputs, noisy=samples.outputs.noisy | {precision: noisy})
    return replace(samples, outputs=outputs)


def golden_truth(path: Path, model: onnx.ModelProto, *, precisions: Sequence[str]) -> Truth:
    """A bundle's inputs and outputs, if they are of the model's network.

    INT8 correctly clips what it was not calibrated on, so the extremes are left out for it.
    """
    golden = read_golden(path)
    card = read_card(model)
    digest = golden.about.weights_sha256
    if card is not None and digest != card.weights.sha256:
        spelled = "no digest" if digest is None else f"the digest {digest[:12]}..."
        raise UsageError(
            f"The golden file {path} is of another network: its weights have {spelled}, but the "
            f"model's have {card.weights.sha256[:12]}.... Use the bundle that was made with this model."
        )
    names = tuple(value.name for value in model.graph.input)
    if names != golden.inputs:
        raise UsageError(
            f"The golden file {path} has the inputs {readable(', '.join(golden.inputs))}, but the model takes "
            f"{readable(', '.join(names))}. Use the bundle that was made with this model."
        )
    samples = golden.samples
    if "int8" in precisions:
        samples = _without_extremes(golden)
    return Truth(
        description=f"golden bundle ({golden.about.architecture or 'unknown network'}, PyTorch in float64)",
        outputs=golden.outputs,
        samples=samples,
        probes=samples.feeds[:1],
        bundle=golden,
    )


def _without_extremes(golden: Golden) -> Samples:
    extremes, natural = golden.about.extreme_batches or (), golden.about.natural
    samples = golden.samples
    if natural and all(group == 0 for group, _ in samples.arrangement):
        batches = tuple((0, tuple(natural[each % len(natural)] for each in batch)) for _, batch in samples.arrangement)
        return replace(samples, arrangement=batches)
    return samples.only([index for index in range(len(samples.arrangement)) if index not in extremes])


def onnx_truth(
    path: Path, runner: Runner, card: ModelCard | None, sampling: Sampling, *, precisions: Sequence[str]
) -> Truth:
    """Another file, or the file itself: its graph in float64 or, if that fails, its outputs without optimizations."""
    model = read_onnx(path)
    plain = open_runner(model.SerializeToString(), optimize=False)
    _check_signature(path, plain, runner)
    outputs = tuple(output.name for output in plain.outputs)
    has_images = card is not None and card.image_size is not None and card.preprocessing is not None
    if sampling.images is not None and not has_images:
        raise UsageError("--images needs a model card, which specifies the preprocessing; this model has none.")
    if has_images:
        assert card is not None
        feeds = card_feeds(card, sampling, precisions, dtype=runner.inputs[0].dtype)
    else:
        # Numbers that the model's own type can hold.
        inputs = [replace(info, dtype=own.dtype) for info, own in zip(plain.inputs, runner.inputs, strict=True)]
        feeds = foreign_feeds(inputs, sampling, precisions)
    graph = ExactGraph(model, weight_bits=_weight_bits(card))
    known: Original | None = graph
    try:
        any_size = any(isinstance(size, str) for size in batched_shape([info.shape for info in plain.inputs])[:1])
        samples = grouped(
            feeds, sampling, lambda batch: graph.exact(batch)[0], _graph_references(graph), any_size=any_size
        )
    except UnsupportedGraph:
        known, rewritten = None, open_runner(model.SerializeToString(), optimize=True)

        def run(feeds: Feeds) -> References:
            own = [[array.astype(info.dtype) for info, array in zip(plain.inputs, feed, strict=True)] for feed in feeds]
            truth, noisy = (_by_position(run_batches(one, own), outputs) for one in (plain, rewritten))
            return References(truth=truth, noisy={"fp32": noisy})

        samples = grouped(feeds, sampling, None, run, any_size=False)
    return Truth(
        description=f"{path.name} {'in float64' if known else 'on the cpu provider of ONNX Runtime'}",
        outputs=outputs,
        samples=samples,
        probes=probe_batches(samples, sampling),
        original=known,
        fixed=len(set(sampling.sizes)) == 1,
        file=model,
    )


def own_truth(
    path: Path, runner: Runner, card: ModelCard | None, sampling: Sampling, *, precisions: Sequence[str]
) -> Truth:
    """The file's own graph: without a known network, only the runtime can be verified."""
    own = onnx_truth(path, runner, card, sampling, precisions=precisions)
    how = "in float64" if own.original else "on the cpu provider of ONNX Runtime, not optimized"
    return replace(own, description=f"the file's own graph {how}; no network is known", original=None, file=None)


def _torch_references(network: Any, precisions: Sequence[str]) -> Callable[[Feeds], References]:
    from resnetx.verification.pytorch_reference import run_references

    needed = sorted({SUBSTITUTES.get(name, name) for name in precisions} | {"fp32"})
    return lambda feeds: run_references(network, feeds, precisions=needed)


def _graph_references(graph: ExactGraph) -> Callable[[Feeds], References]:
    def run(feeds: Feeds) -> References:
        return References(
            truth=[graph.exact(batch)[0] for batch in feeds],
            noisy={"fp32": [graph.rounded(batch)[0] for batch in feeds]},
            perturbed=lambda index: graph.perturbed(feeds[index], "fp32")[0],
        )

    return run


def _check_signature(path: Path, reference: Runner, runner: Runner) -> None:
    pairs = {"inputs": (runner.inputs, reference.inputs), "outputs": (runner.outputs, reference.outputs)}
    for kind, infos in pairs.items():
        ours, theirs = ([(info.name, str(info.dtype)) for info in side] for side in infos)
        # Floats of other widths are the same numbers, rounded.
        kinds = ([(info.name, info.dtype.kind == "f" or info.dtype) for info in side] for side in infos)
        if next(kinds) != next(kinds):
            spelled = (readable(", ".join(f"{name} ({dtype})" for name, dtype in side)) for side in (theirs, ours))
            raise UsageError(
                f"{path} cannot be the reference: its {kind} are {next(spelled)}, and the model's are {next(spelled)}. "
                "Give a file whose inputs and outputs have the same names."
            )


def _by_position(runs: Sequence[dict[str, np.ndarray]], outputs: Sequence[str]) -> list[Outputs]:
    return [[_double(run[name]) for name in outputs] for run in runs]


def _double(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if np.issubdtype(array.dtype, np.floating) else array
