"""The references: PyTorch in float64, a golden bundle, or another ONNX file.

torch is imported only for a PyTorch reference, because golden bundles are for machines without it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from resnetx.base.precisions import SUBSTITUTES
from resnetx.errors import GraphError, UsageError
from resnetx.graph.card import ModelCard, read_card
from resnetx.graph.layers import expose, layer_nodes
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.inputs.sampling import Sampling, natural_samples, network_inputs
from resnetx.inputs.signature_feeds import signature_feeds
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.runner import Runner, TensorInfo
from resnetx.verification.checks import Feeds, run_batches
from resnetx.verification.golden import read_golden
from resnetx.verification.reference_outputs import LayerAnswers, References


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Inputs and the reference's outputs for them; `layers` traces the reference on any inputs."""

    description: str
    outputs: tuple[str, ...]
    feeds: Feeds
    references: References
    layers: Callable[[Sequence[np.ndarray]], LayerAnswers] | None = None


def torch_truth(card: ModelCard, sampling: Sampling, *, weights: str | None, precisions: Sequence[str]) -> Truth:
    """The network that the card describes, rebuilt and run in PyTorch."""
    from resnetx.verification.pytorch_reference import run_references, trace_layers
    from resnetx.verification.rebuild import rebuild

    deployed = rebuild(card, weights=weights)
    inputs = _samples(card, sampling, precisions)
    batches = sampling.batches()
    needed = sorted({SUBSTITUTES.get(name, name) for name in precisions} | {"fp32"})
    references = run_references(deployed.with_logits(), [[inputs]], precisions=needed).rearranged(batches)
    return Truth(
        description="PyTorch in float64",
        outputs=("logits",),
        feeds=[[inputs[batch]] for batch in batches],
        references=references,
        layers=lambda feeds: trace_layers(deployed, feeds, wrapper="network"),
    )


def module_truth(module: Any, runner: Runner, sampling: Sampling, *, precisions: Sequence[str]) -> Truth:
    """A torch module of the user, in evaluation mode, on inputs like the file's."""
    import copy

    from resnetx.verification.pytorch_reference import run_references, trace_layers

    own = copy.deepcopy(module).cpu().float().eval()
    feeds = _feeds_for(runner.inputs, None, sampling, precisions)
    needed = sorted({SUBSTITUTES.get(name, name) for name in precisions} | {"fp32"})
    return Truth(
        description=f"{type(module).__name__} in PyTorch, float64",
        outputs=tuple(output.name for output in runner.outputs),
        feeds=feeds,
        references=run_references(own, feeds, precisions=needed),
        layers=lambda inputs: trace_layers(own, inputs),
    )


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
        raise UsageError(f"The golden file {path} has the inputs {golden.inputs}, but the model takes {names}.")
    extremes = (golden.about.extreme_batches or ()) if "int8" in precisions else ()
    batches = [index for index in range(len(golden.feeds)) if index not in extremes]
    return Truth(
        description=f"golden bundle ({golden.about.architecture or 'unknown network'}, PyTorch in float64)",
        outputs=golden.outputs,
        feeds=[golden.feeds[index] for index in batches],
        references=golden.references.only(batches),
    )


def onnx_truth(
    path: Path, runner: Runner, card: ModelCard | None, sampling: Sampling, *, precisions: Sequence[str]
) -> Truth:
    """Another file's outputs. Its noise is measured by running it without and with graph optimizations."""
    reference = read_onnx(path)
    plain, rewritten = (open_runner(reference.SerializeToString(), optimize=optimize) for optimize in (False, True))
    _check_signature(path, plain, runner)
    feeds = _feeds_for(runner.inputs, card, sampling, precisions)
    outputs = tuple(output.name for output in plain.outputs)
    truth, noisy = (_by_position(run_batches(one, feeds), outputs) for one in (plain, rewritten))

    def layers(inputs: Sequence[np.ndarray]) -> LayerAnswers:
        nodes = layer_nodes(reference)
        shown = expose(reference, *(node.tensor for node in nodes)).SerializeToString()
        sides = []
        for optimize in (False, True):
            run = run_batches(open_runner(shown, optimize=optimize), [list(inputs)])[0]
            sides.append({node.name: [_double(run[node.tensor])] for node in nodes})
        return LayerAnswers(truth=sides[0], noisy=sides[1], folded={})

    return Truth(
        description=f"{path.name} on ONNX Runtime's cpu provider",
        outputs=outputs,
        feeds=feeds,
        references=References(truth=truth, noisy={"fp32": noisy}),
        layers=layers,
    )


def _feeds_for(
    inputs: Sequence[TensorInfo], card: ModelCard | None, sampling: Sampling, precisions: Sequence[str]
) -> Feeds:
    if card is not None and card.image_size is not None and card.preprocessing is not None:
        samples = _samples(card, sampling, precisions)
        return [[samples[batch]] for batch in sampling.batches()]
    if sampling.images is not None:
        raise UsageError("--images needs a model card, which specifies the preprocessing; this model has none.")
    return [[feed[info.name] for info in inputs] for feed in signature_feeds(inputs, sampling)]


def _samples(card: ModelCard, sampling: Sampling, precisions: Sequence[str]) -> np.ndarray:
    """Every sample; for INT8 only natural ones, because INT8 correctly clips what it was not calibrated on."""
    samples = network_inputs(card, sampling)
    natural = natural_samples(sampling)
    if "int8" in precisions:
        samples = samples[[natural[index % len(natural)] for index in range(len(samples))]]
    return samples


def _check_signature(path: Path, reference: Runner, runner: Runner) -> None:
    pairs = {"inputs": (runner.inputs, reference.inputs), "outputs": (runner.outputs, reference.outputs)}
    for kind, infos in pairs.items():
        ours, theirs = ([(info.name, str(info.dtype)) for info in side] for side in infos)
        if ours != theirs:
            raise UsageError(f"{path} cannot be the reference: its {kind} are {theirs}, and the model's are {ours}.")


def _by_position(runs: Sequence[dict[str, np.ndarray]], outputs: Sequence[str]) -> list[list[np.ndarray]]:
    return [[_double(run[name]) for name in outputs] for run in runs]


def _double(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if np.issubdtype(array.dtype, np.floating) else array


def require_source(card: ModelCard | None, path: Path) -> ModelCard:
    """The card, if it describes a network that can be rebuilt; an error otherwise."""
    if card is None or card.config is None:
        what = "no model card" if card is None else f"a card of {card.architecture}, which resnetx cannot rebuild"
        raise GraphError(
            f"{path} has {what}, so there is no reference for its outputs. Give --golden g.npz or "
            "--reference OTHER.onnx, or verify it from Python with resnetx.testing.assert_parity(path, module)."
        )
    return card
