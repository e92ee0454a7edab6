"""Exports a network to a verified file: all stages of an export in order."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from torch import Tensor

from resnetx.base.precisions import EXPORT_PRECISIONS, ExportPrecision
from resnetx.base.progress import OnProgress, Steps, ignore
from resnetx.base.vocabulary import Exporter
from resnetx.conversion.checked_simplify import simplify_checked
from resnetx.conversion.overwriting import require_golden_target, require_target, whole_model
from resnetx.conversion.own_module import outputs_of_run
from resnetx.conversion.result import Export, SimplifyOutcome
from resnetx.conversion.subject import Subject
from resnetx.errors import GraphError, UsageError
from resnetx.graph.card import embed_card, parity_suffix
from resnetx.graph.export import BATCH, DEFAULT_OPSET, Signature, choose_exporter, export_module
from resnetx.graph.float16 import convert_precision
from resnetx.graph.layers import check_structure, softmax_input
from resnetx.inputs.sampling import Sampling, batch_sizes, natural_samples
from resnetx.inputs.signature_feeds import feeds_like
from resnetx.model.deploy import Deployed
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.ort.engine import newest_opset
from resnetx.runtime.runner import Runner
from resnetx.verification.golden import Golden, GoldenAbout, GoldenLayers, write_golden
from resnetx.verification.movement import movements, why_nothing_is_proven
from resnetx.verification.other_sizes import Sizes, truth_at_sizes
from resnetx.verification.references import Truth, deployed_truth, module_truth, with_precision
from resnetx.verification.result import FileVerdict, ProviderVerdict, shows_anything
from resnetx.verification.runtime_check import GraphAnswers
from resnetx.verification.structure.module_structure import parameter_sketch
from resnetx.verification.verdicts import Verdicts


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The options of an export; None is the default, resolved when the export begins.

    `force`: replace existing files, whatever network they are of.
    """

    batch: int | None = None
    opset: int | None = None
    exporter: Exporter | None = None
    precision: ExportPrecision = "fp32"
    simplify: bool = True
    verify: bool = True
    golden: Path | None = None
    force: bool = False


def export_steps(progress: OnProgress, options: ExportOptions) -> Steps:
    """The steps of an export, of which the first, in which the subject is made, is its caller's."""
    return Steps(progress, 2 + options.simplify + bool(options.verify or options.golden))


def export_subject(subject: Subject, path: Path, options: ExportOptions, *, steps: Steps | None = None) -> Export:
    """Trace, simplify, convert, verify and write. The file gets its name only after it is verified."""
    steps = steps or export_steps(ignore, options)
    opset = DEFAULT_OPSET if options.opset is None else options.opset
    exporter = choose_exporter(options.exporter, opset, newest_opset())
    if options.precision not in EXPORT_PRECISIONS:
        raise UsageError(
            f"There is no precision {options.precision!r} to export in; choose {' or '.join(EXPORT_PRECISIONS)}."
        )
    if options.batch is not None and not 1 <= options.batch <= 4096:
        raise UsageError(f"A batch of {options.batch} cannot be exported: choose 1 to 4096, or leave it dynamic.")
    require_target(path, subject.card, force=options.force)
    if options.golden is not None:
        require_golden_target(options.golden, subject.card, force=options.force)
    example = tuple(_of_batch(tensor, options.batch or 2) for tensor in subject.example)
    outputs = subject.outputs if isinstance(subject.module, Deployed) else outputs_of_run(subject, example)
    assert outputs is not None

    steps.begin(f"exporting {subject.card.architecture} (opset {opset}, {exporter})")
    batch = {0: BATCH} if options.batch is None else {}
    free = tuple({**batch, **own} for own in subject.free or ({} for _ in example))
    signature = Signature(inputs=subject.inputs, outputs=outputs, free=free)
    model = export_module(subject.module, example, signature=signature, opset=opset, exporter=exporter)
    outcome = None
    if options.simplify:
        steps.begin("simplifying")
        result = simplify_checked(model, step=steps.detail)
        model = result.model
        outcome = SimplifyOutcome(
            applied=result.applied, reason=result.reason, before=result.before, after=result.after
        )
    model = convert_precision(model, options.precision)
    card = replace(
        subject.card,
        precision=options.precision,
        opset=opset,
        exporter=exporter,
        simplified=outcome is not None and outcome.applied,
    )
    embed_card(model, card)
    check_structure(model)

    checked = replace(subject, example=example, outputs=outputs, card=card)
    with whole_model(path, card, force=options.force) as temporary:
        data = model.SerializeToString(deterministic=True)
        temporary.write_bytes(data)
        own, verdict, unproven = None, None, None
        if options.verify or options.golden:
            steps.begin("verifying against PyTorch in float64")
            own, verdict, unproven = _verify(temporary, model, checked, options)
            suffix = parity_suffix(verdict.parity.to_json())
            data += suffix
            with temporary.open("ab") as stream:
                stream.write(suffix)
        exported = Export(
            path=path,
            written=True,
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            nodes=len(model.graph.node),
            ir_version=model.ir_version,
            card=card,
            simplification=outcome,
            file=own,
            verdict=verdict,
            unproven=unproven,
        )
        if not exported.passed:
            temporary.unlink()
            exported = replace(exported, written=False)
    return exported


def _verify(
    path: Path, model: onnx.ModelProto, subject: Subject, options: ExportOptions
) -> tuple[FileVerdict | None, ProviderVerdict, str | None]:
    """Compare the file that was just written with the module; write the golden bundle if it passes.

    The third is why the outputs prove nothing, if they do not.
    """
    card = subject.card
    if card.output == "probabilities" and softmax_input(model) is None:
        raise GraphError("Probabilities were requested, but the exported graph has no Softmax.")
    runner = open_runner(path)
    truth, sampling = _truth(subject, runner, options)
    verdicts = Verdicts(model=model, card=card, truth=truth, precision=options.precision)
    verdict = verdicts.provider(runner, open_runner, options.precision)
    own = verdicts.file_after([verdict])
    unproven = why_nothing_is_proven(movements(truth.samples, truth.outputs))
    if options.golden and verdict.passed and (own is None or own.passed) and shows_anything(own, unproven):
        require_golden_target(options.golden, card, force=options.force)
        write_golden(options.golden, _bundle(verdicts, subject, sampling))
    return own, verdict, unproven


def _truth(subject: Subject, runner: Runner, options: ExportOptions) -> tuple[Truth, Sampling]:
    card, module = subject.card, subject.module
    pixels = sum(tensor[0].numel() for tensor in subject.example) // 3
    sampling = Sampling(sizes=batch_sizes(options.batch, pixels=pixels))
    if isinstance(module, Deployed):
        return deployed_truth(module, card, sampling, precisions=[options.precision]), sampling
    outputs = subject.outputs
    assert outputs is not None

    def truth_at(sampling: Sampling, sizes: Sizes) -> Truth:
        feeds = feeds_like([tensor.numpy() for tensor in subject.example], runner.inputs, sampling, sizes=sizes)
        return module_truth(module, outputs, feeds, sampling, precisions=[options.precision])

    sizes = {
        name: tensor.shape[axis]
        for tensor, free in zip(subject.example, subject.free, strict=False)
        for axis, name in free.items()
    }
    return truth_at_sizes(truth_at, sampling, sizes, required=True), sampling


def _bundle(verdicts: Verdicts, subject: Subject, sampling: Sampling) -> Golden:
    """What another machine needs to verify the file, in every precision."""
    truth, answers = verdicts.truth, verdicts.answers
    about = GoldenAbout(
        architecture=subject.card.architecture,
        weights_sha256=subject.card.weights.sha256,
        input=None if subject.card.config is None else subject.card.input,
        natural=natural_samples(sampling),
    )
    layers = None
    if isinstance(answers, GraphAnswers):
        layers = GoldenLayers(feeds=answers.feeds[0], tensors=answers.expected("fp32")[1])
    samples = with_precision(truth, "int8", natural_samples(sampling))
    return Golden(
        about=about,
        inputs=subject.inputs,
        outputs=truth.outputs,
        samples=samples,
        layers=layers,
        structure=parameter_sketch(subject.module, subject.example),
    )


def _of_batch(tensor: Tensor, batch: int) -> Tensor:
    """The example repeated to `batch`; tracing with a single image would fix the batch to one."""
    repeats = -(-batch // max(len(tensor), 1))
    return tensor.repeat(repeats, *[1] * (tensor.dim() - 1))[:batch].contiguous()
