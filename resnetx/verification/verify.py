"""Verifies a file: the reference, each provider's outputs, the verdict, and the first wrong layer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from resnetx.errors import UsageError
from resnetx.graph.card import ModelCard, read_card
from resnetx.graph.layers import expose, layer_nodes
from resnetx.graph.reading.onnx_file import OnnxFile, read_onnx_file
from resnetx.inputs.image_folder import read_images
from resnetx.inputs.sampling import Sampling
from resnetx.model.layer_names import original_name
from resnetx.runtime.catalog import open_runner, provider_names, scoped_options
from resnetx.runtime.runner import Runner
from resnetx.verification.checks import DYNAMIC_BATCHES, run_batches
from resnetx.verification.judge import Reopen, file_logits, judge, telling_batch
from resnetx.verification.layers import LayerParity, compare_layers
from resnetx.verification.parity import Tolerance
from resnetx.verification.references import (
    Truth,
    golden_truth,
    module_truth,
    onnx_truth,
    require_source,
    torch_truth,
)
from resnetx.verification.result import ProviderVerdict, Verification

Step = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """The reference, the providers, the inputs and the tolerance; None is the default.

    A provider option is named `k`, or `provider:k` for that provider only. `module` is a torch module, typed as Any
    because torch is optional.
    """

    module: Any = None
    weights: str | None = None
    golden: Path | None = None
    reference: Path | None = None
    providers: tuple[str, ...] = ("cpu",)
    provider_options: Mapping[str, str] = field(default_factory=dict)
    batches: tuple[int, ...] | None = None
    samples: int | None = None
    images: np.ndarray | Path | None = None
    seed: int = 0
    tolerance: Tolerance | None = None
    layers: bool = False


def verify_file(path: Path, options: VerifyOptions, *, step: Step = lambda _: None) -> Verification:
    """Verify a file on every provider. An unavailable provider is an error; a wrong output is a result."""
    sources = (options.module, options.weights, options.golden, options.reference)
    if sum(source is not None for source in sources) > 1:
        raise UsageError("Give one of --weights, --golden and --reference: there is one reference at a time.")
    names = provider_names(options.providers)
    scoped = scoped_options(options.provider_options, names)
    step(f"reading {path}")
    file = read_onnx_file(path)
    card = read_card(file.model)
    if isinstance(options.images, Path):
        options = replace(options, images=read_images(options.images, card, path))
    openers: list[Reopen] = [partial(open_runner, provider=name, options=scoped[name]) for name in names]
    runners = [opener(file.source) for opener in openers]
    precisions = [runner.effective_precision for runner in runners]
    step("computing the reference")
    truth = _truth(file, path, card, runners[0], options, precisions)
    verdicts = []
    for runner, reopen in zip(runners, openers, strict=True):
        step(f"verifying on {runner.provider}")
        verdict = verify_on(
            runner, file.model, card, truth, reopen=reopen, layers=options.layers, tolerance=options.tolerance
        )
        verdicts.append(verdict)
    return Verification(
        model=str(path),
        model_sha256=file.sha256,
        architecture=card.architecture if card else file.model.graph.name or "unknown graph",
        reference=truth.description,
        seed=options.seed,
        samples=sum(len(batch[0]) for batch in truth.feeds),
        verdicts=tuple(verdicts),
    )


def _truth(
    file: OnnxFile,
    path: Path,
    card: ModelCard | None,
    runner: Runner,
    options: VerifyOptions,
    precisions: list[str],
) -> Truth:
    if options.golden is not None:
        if options.batches or options.samples or options.images is not None:
            raise UsageError("A golden bundle contains its own inputs; leave --batch, --samples and --images out.")
        return golden_truth(options.golden, file.model, precisions=precisions)
    assert not isinstance(options.images, Path)
    sizes = _sizes(runner, options.batches)
    sampling = Sampling(sizes=sizes, samples=options.samples, images=options.images, seed=options.seed)
    if options.module is not None:
        return module_truth(options.module, runner, sampling, precisions=precisions)
    if options.reference is not None:
        return onnx_truth(options.reference, runner, card, sampling, precisions=precisions)
    return torch_truth(require_source(card, path), sampling, weights=options.weights, precisions=precisions)


def verify_on(
    runner: Runner,
    model: onnx.ModelProto,
    card: ModelCard | None,
    truth: Truth,
    *,
    reopen: Reopen,
    layers: bool = False,
    tolerance: Tolerance | None = None,
    precision: str | None = None,
) -> ProviderVerdict:
    """Compare one provider with the reference; `reopen` opens the model with more outputs.

    `precision` is that of the expected noise, by default the effective precision of the runner.
    """
    precision = precision or runner.effective_precision
    logits = file_logits(model, reopen)
    parity, same = judge(runner, truth, card, precision=precision, hidden_logits=logits, tolerance=tolerance)
    compared: tuple[LayerParity, ...] = ()
    if layers:
        feeds = truth.feeds[telling_batch(parity.checks, [len(batch[0]) for batch in truth.feeds])]
        compared = _layers(model, card, truth, feeds, precision, reopen)
    return ProviderVerdict(
        provider=runner.provider,
        precision=precision,
        placement=runner.placement,
        options=dict(runner.options),
        parity=parity,
        deterministic=same,
        layers=compared,
        notes=() if runner.facts.unpinned is None else (runner.facts.unpinned,),
    )


def _layers(
    model: onnx.ModelProto,
    card: ModelCard | None,
    truth: Truth,
    feeds: Sequence[np.ndarray],
    precision: str,
    reopen: Reopen,
) -> tuple[LayerParity, ...]:
    if truth.layers is None:
        raise UsageError("--layers needs inner tensors, which a golden bundle does not contain; leave one out.")
    nodes = layer_nodes(model)
    inner = reopen(expose(model, *(node.tensor for node in nodes)).SerializeToString())
    run = run_batches(inner, [list(feeds)])[0]
    config = card.config if card else None
    return compare_layers(
        nodes,
        {node.name: run[node.tensor] for node in nodes},
        truth.layers(feeds),
        originals={
            node.name: original_name(node.name, config.stages, config.classes) if config else None for node in nodes
        },
        precision=precision,
    )


def _sizes(runner: Runner, asked: tuple[int, ...] | None) -> tuple[int, ...]:
    if not runner.inputs:
        raise UsageError("The model has no inputs, so there is nothing to vary: its outputs are constants.")
    shape = runner.inputs[0].shape
    fixed = shape[0] if shape and isinstance(shape[0], int) else None
    if asked is None:
        return DYNAMIC_BATCHES if fixed is None else (fixed,)
    if any(size < 1 for size in asked):
        raise UsageError(f"--batch {','.join(map(str, asked))} cannot be run: every size must be 1 or more.")
    if fixed is not None and set(asked) != {fixed}:
        raise UsageError(f"The model takes batches of {fixed} only, but {','.join(map(str, asked))} were requested.")
    return asked
