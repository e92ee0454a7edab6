"""A verification from beginning to end: the truth, each provider's answers, the verdict, and the layer to blame."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from resnetx.errors import UsageError
from resnetx.graph.card import ModelCard, read_card
from resnetx.graph.layers import expose, layer_nodes, softmax_input
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.inputs.sampling import Sampling
from resnetx.model.layer_names import original_name
from resnetx.runtime.ort.session import Session, open_session
from resnetx.verification.checks import DYNAMIC_BATCHES, run_batches, verify_classifier, verify_module
from resnetx.verification.layers import LayerParity, compare_layers
from resnetx.verification.parity import Check, Parity, Tolerance
from resnetx.verification.references import Truth, golden_truth, module_truth, onnx_truth, require_source, torch_truth
from resnetx.verification.result import ProviderVerdict, Verification

Step = Callable[[str], None]
QUANTIZERS = {"QuantizeLinear", "QLinearConv", "ConvInteger", "DynamicQuantizeLinear"}


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """What to hold the file against, on what, and how strictly; None is the default.

    `module` is a torch module, typed loosely because verifying needs no torch where nobody brings one.
    """

    module: Any = None
    weights: str | None = None
    golden: Path | None = None
    reference: Path | None = None
    providers: tuple[str, ...] = ("cpu",)
    provider_options: Mapping[str, str] = field(default_factory=dict)
    batches: tuple[int, ...] | None = None
    samples: int | None = None
    images: np.ndarray | None = None
    seed: int = 0
    tolerance: Tolerance | None = None
    layers: bool = False


def verify_file(path: Path, options: VerifyOptions, *, step: Step = lambda _: None) -> Verification:
    """Verify a file on every provider. A provider that is not there is an error; a wrong number is a result."""
    sources = (options.module, options.weights, options.golden, options.reference)
    if sum(source is not None for source in sources) > 1:
        raise UsageError("Give one of --weights, --golden and --reference: there is one truth at a time.")
    step(f"reading {path}")
    model = read_onnx(path)
    card = read_card(model)
    sessions = [
        open_session(path, provider=provider, options=options.provider_options) for provider in options.providers
    ]
    precisions = [file_precision(model) or session.effective_precision for session in sessions]
    sampling = Sampling(
        sizes=_sizes(sessions[0], options.batches), samples=options.samples, images=options.images, seed=options.seed
    )
    step("computing the truth")
    truth = _truth(path, model, card, sessions[0], options, sampling, precisions)
    verdicts = []
    for session, precision in zip(sessions, precisions, strict=True):
        step(f"verifying on {session.provider}")
        verdicts.append(verify_on(session, model, card, truth, precision=precision, options=options))
    return Verification(
        model=str(path),
        model_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        architecture=card.architecture if card else model.graph.name or "a foreign graph",
        reference=truth.description,
        seed=options.seed,
        samples=sum(len(batch[0]) for batch in truth.feeds),
        verdicts=tuple(verdicts),
    )


def _truth(
    path: Path,
    model: onnx.ModelProto,
    card: ModelCard | None,
    session: Session,
    options: VerifyOptions,
    sampling: Sampling,
    precisions: list[str],
) -> Truth:
    if options.golden is not None:
        if options.batches or options.samples or options.images is not None:
            raise UsageError("A golden bundle brings its own inputs; leave --batch, --samples and --images out.")
        return golden_truth(options.golden, model, precisions=precisions)
    if options.module is not None:
        return module_truth(options.module, session, sampling, precisions=precisions)
    if options.reference is not None:
        return onnx_truth(options.reference, session, card, sampling, precisions=precisions)
    return torch_truth(require_source(card, path), sampling, weights=options.weights, precisions=precisions)


def verify_on(
    session: Session,
    model: onnx.ModelProto,
    card: ModelCard | None,
    truth: Truth,
    *,
    precision: str,
    options: VerifyOptions,
) -> ProviderVerdict:
    """One provider against the truth: every batch, then the last one again."""
    runs = run_batches(session, truth.feeds)
    again = run_batches(session, truth.feeds[-1:])
    checks = _checks(session, runs, model, card, truth, precision, options)
    layers: tuple[LayerParity, ...] = ()
    if options.layers:
        feeds = truth.feeds[_telling_batch(checks, [len(batch[0]) for batch in truth.feeds])]
        layers = _layers(session, model, card, truth, feeds, precision, options)
    return ProviderVerdict(
        provider=session.provider,
        precision=precision,
        placement=session.placement,
        options=dict(session.options),
        parity=Parity(precision=precision, checks=(*checks, *_repeated(runs[-1], again[0]))),
        deterministic=all(np.array_equal(runs[-1][name], again[0][name], equal_nan=True) for name in again[0]),
        layers=layers,
    )


def _checks(
    session: Session,
    runs: list[dict[str, np.ndarray]],
    model: onnx.ModelProto,
    card: ModelCard | None,
    truth: Truth,
    precision: str,
    options: VerifyOptions,
) -> tuple[Check, ...]:
    outputs = tuple(output.name for output in session.outputs)
    if truth.outputs == ("logits",) and card is not None and card.config is not None:
        return verify_classifier(
            runs,
            _logits(session, runs, model, card, truth, options),
            truth.references,
            output=card.output,
            precision=precision,
            tolerance=options.tolerance,
        )
    if set(truth.outputs) != set(outputs):
        raise UsageError(f"The reference has the outputs {truth.outputs}, and the model has {outputs}.")
    return verify_module(runs, truth.references, names=truth.outputs, precision=precision, tolerance=options.tolerance)


def _logits(
    session: Session,
    runs: list[dict[str, np.ndarray]],
    model: onnx.ModelProto,
    card: ModelCard,
    truth: Truth,
    options: VerifyOptions,
) -> list[np.ndarray]:
    """The logits that the file puts out, or those inside it; nothing where it has no softmax to find them by."""
    if card.output == "logits":
        return [run[session.outputs[0].name] for run in runs]
    name = softmax_input(model)
    if name is None:
        return [np.empty(0) for _ in runs]
    shown = expose(model, name).SerializeToString()
    inner = open_session(shown, provider=session.provider, options=options.provider_options)
    return [run[name] for run in run_batches(inner, truth.feeds)]


def _telling_batch(checks: Sequence[Check], sizes: Sequence[int]) -> int:
    """The batch to look into: the smallest that failed, because interior tensors fill memory; else the first."""
    numbers = [index % len(sizes) for index in range(len(checks))]
    failed = [number for number, check in zip(numbers, checks, strict=True) if not check.passed]
    return min(failed, key=lambda number: sizes[number], default=0)


def _repeated(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> list[Check]:
    """The same input twice: rounding may differ, by a little; a stale or uninitialized buffer differs by more."""
    checks = []
    for name, before in first.items():
        scale = float(np.abs(before[np.isfinite(before)]).max(initial=0.0)) or 1.0
        same = before.shape == second[name].shape and np.allclose(
            second[name], before, rtol=0, atol=1e-3 * scale, equal_nan=True
        )
        if not same:
            reason = "the same input twice gave different answers"
            checks.append(Check(output=name, batch=len(before) if before.ndim else 1, passed=False, reason=reason))
    return checks


def _layers(
    session: Session,
    model: onnx.ModelProto,
    card: ModelCard | None,
    truth: Truth,
    feeds: Sequence[np.ndarray],
    precision: str,
    options: VerifyOptions,
) -> tuple[LayerParity, ...]:
    if truth.layers is None:
        raise UsageError("--layers needs the reference's interior, which a golden bundle does not hold; leave one out.")
    nodes = layer_nodes(model)
    shown = expose(model, *(node.tensor for node in nodes)).SerializeToString()
    inner = open_session(shown, provider=session.provider, options=options.provider_options)
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


def _sizes(session: Session, asked: tuple[int, ...] | None) -> tuple[int, ...]:
    shape = session.inputs[0].shape
    fixed = shape[0] if shape and isinstance(shape[0], int) else None
    if asked is None:
        return DYNAMIC_BATCHES if fixed is None else (fixed,)
    if any(size < 1 for size in asked):
        raise UsageError(f"--batch {','.join(map(str, asked))} cannot be run: every size must be 1 or more.")
    if fixed is not None and set(asked) != {fixed}:
        raise UsageError(f"The model takes batches of {fixed} only, and {','.join(map(str, asked))} were asked for.")
    return asked


def file_precision(model: onnx.ModelProto) -> str | None:
    """What the file itself computes in, where that is not float32 for the provider to decide on."""
    if any(node.op_type in QUANTIZERS for node in model.graph.node):
        return "int8"
    weights = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    kinds = {weights.get(node.input[1]) for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")}
    if onnx.TensorProto.FLOAT16 in kinds:
        return "fp16"
    return "bf16" if onnx.TensorProto.BFLOAT16 in kinds else None
