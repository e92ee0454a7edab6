"""Exports a network to a verified file: all stages of an export in order."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from resnetx.base.files import require_writable, whole_file
from resnetx.base.precisions import EXPORT_PRECISIONS, ExportPrecision
from resnetx.base.vocabulary import Exporter
from resnetx.conversion.checked_simplify import simplify_checked
from resnetx.conversion.result import Export, SimplifyOutcome
from resnetx.conversion.subject import Subject
from resnetx.errors import GraphError, UsageError
from resnetx.graph.card import embed_card, parity_suffix
from resnetx.graph.export import DEFAULT_OPSET, Signature, choose_exporter, export_module
from resnetx.graph.float16 import convert_precision
from resnetx.graph.layers import check_structure, softmax_input
from resnetx.inputs.synthetic import card_inputs, extreme_images, synthetic_images
from resnetx.model.deploy import Deployed
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.ort.engine import newest_opset
from resnetx.verification.checks import batch_sizes, example_feeds, image_batches
from resnetx.verification.golden import GoldenAbout, write_golden
from resnetx.verification.judge import file_logits, judge
from resnetx.verification.parity import Parity
from resnetx.verification.pytorch_reference import run_references
from resnetx.verification.references import Truth

Step = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The options of an export; None is the default, resolved when the export begins."""

    batch: int | None = None
    opset: int | None = None
    exporter: Exporter | None = None
    precision: ExportPrecision = "fp32"
    simplify: bool = True
    verify: bool = True
    golden: Path | None = None


def export_subject(subject: Subject, path: Path, options: ExportOptions, *, step: Step = lambda _: None) -> Export:
    """Trace, simplify, convert, verify and write. The file gets its name only after it is verified."""
    opset = DEFAULT_OPSET if options.opset is None else options.opset
    exporter = choose_exporter(options.exporter, opset, newest_opset())
    if options.precision not in EXPORT_PRECISIONS:
        raise UsageError(
            f"There is no precision {options.precision!r} to export in; choose {' or '.join(EXPORT_PRECISIONS)}."
        )
    if options.batch is not None and not 1 <= options.batch <= 4096:
        raise UsageError(f"A batch of {options.batch} cannot be exported: choose 1 to 4096, or leave it dynamic.")
    for target in filter(None, (path, options.golden)):
        require_writable(target)
    example = tuple(_of_batch(tensor, options.batch or 2) for tensor in subject.example)
    outputs = subject.outputs or _output_names(subject.module, example)

    step(f"exporting {subject.card.architecture} (opset {opset}, {exporter})")
    signature = Signature(inputs=subject.inputs, outputs=outputs, dynamic_batch=options.batch is None)
    model = export_module(subject.module, example, signature=signature, opset=opset, exporter=exporter)
    outcome = None
    if options.simplify:
        step("simplifying")
        result = simplify_checked(model)
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
    with whole_file(path) as temporary:
        data = model.SerializeToString(deterministic=True)
        temporary.write_bytes(data)
        parity = None
        if options.verify or options.golden:
            step("verifying against PyTorch in float64")
            parity = _verify(temporary, model, checked, options)
            suffix = parity_suffix(parity.to_json())
            data += suffix
            with temporary.open("ab") as stream:
                stream.write(suffix)
        written = parity is None or parity.passed
        if not written:
            temporary.unlink()
    return Export(
        path=path,
        written=written,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        nodes=len(model.graph.node),
        ir_version=model.ir_version,
        card=card,
        simplification=outcome,
        parity=parity,
    )


def _verify(path: Path, model: onnx.ModelProto, subject: Subject, options: ExportOptions) -> Parity:
    """Run the file that was just written, and compare it with the module; write the golden bundle if it passes."""
    card = subject.card
    if card.output == "probabilities" and softmax_input(model) is None:
        raise GraphError("Probabilities were requested, but the exported graph has no Softmax.")
    truth, extremes = _truth(subject, options)
    logits = file_logits(model, open_runner)
    parity, _ = judge(open_runner(path), truth, card, precision=options.precision, hidden_logits=logits)
    if options.golden and parity.passed:
        write_golden(
            options.golden,
            inputs=subject.inputs,
            outputs=truth.outputs,
            feeds=truth.feeds,
            references=truth.references,
            about=GoldenAbout(
                architecture=card.architecture,
                weights_sha256=card.weights.sha256,
                input=card.input,
                extreme_batches=tuple(extremes),
            ),
        )
    return parity


def _truth(subject: Subject, options: ExportOptions) -> tuple[Truth, list[int]]:
    """The module's outputs, and which batches are extreme: only a golden bundle contains those."""
    card, module = subject.card, subject.module
    sizes = batch_sizes(options.batch)
    precisions = sorted({options.precision, "fp32", "int8"} if options.golden else {options.precision})
    extremes: list[int] = []
    if isinstance(module, Deployed):
        assert card.image_size is not None
        outputs: tuple[str, ...] = ("logits",)
        images = card_inputs(card, synthetic_images(max(*sizes, 2), card.image_size))
        batches = image_batches(sizes)
        feeds = [[images[batch]] for batch in batches]
        network = module.with_logits()
        references = run_references(network, [[images]], precisions=precisions).rearranged(batches)
        if options.golden:
            extreme = card_inputs(card, extreme_images(max(sizes), card.image_size))
            extremes.append(len(feeds))
            feeds.append([extreme])
            references = references.followed_by(run_references(network, [[extreme]], precisions=precisions))
    else:
        assert subject.outputs is not None
        outputs = subject.outputs
        feeds = example_feeds(sizes, [tensor.numpy() for tensor in subject.example])
        references = run_references(module, feeds, precisions=precisions)
    return Truth(description="PyTorch in float64", outputs=outputs, feeds=feeds, references=references), extremes


def _of_batch(tensor: Tensor, batch: int) -> Tensor:
    """The example repeated to `batch`; tracing with a single image would fix the batch to one."""
    repeats = -(-batch // max(len(tensor), 1))
    return tensor.repeat(repeats, *[1] * (tensor.dim() - 1))[:batch].contiguous()


def _output_names(module: nn.Module, example: Sequence[Tensor]) -> tuple[str, ...]:
    with torch.no_grad():
        result = module(*example)
    count = sum(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(result))
    return ("output",) if count == 1 else tuple(f"output{index}" for index in range(count))
