"""Converts a float32 file to float16: what would overflow stays in float32, and the result is verified."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx

from resnetx.base.files import require_writable
from resnetx.base.isolation import PYTHON
from resnetx.base.precisions import ExportPrecision
from resnetx.base.progress import OnProgress, Steps, ignore
from resnetx.base.text import readable
from resnetx.conversion.overwriting import made_from, require_target, whole_model
from resnetx.conversion.result import Conversion
from resnetx.conversion.tensor_ranges import Ranges
from resnetx.errors import UsageError
from resnetx.graph.card import embed_card, embed_source, read_card
from resnetx.graph.counts import count_graph
from resnetx.graph.float16 import convert_precision, overflowing_nodes
from resnetx.graph.layers import check_structure
from resnetx.graph.node_names import uniquely_named
from resnetx.graph.reading.onnx_file import OnnxFile, read_onnx_file
from resnetx.graph.simplification.simplify import serialize
from resnetx.runtime.file_precision import stored_precision
from resnetx.verification.isolated import IsolationOptions, answer_of, memory_for, time_for, verify_isolated
from resnetx.verification.verify import VerifyOptions

CHILD: tuple[str, ...] = (*PYTHON, "resnetx.conversion.tensor_ranges")
PROVIDERS = ["cpu"]
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """`exclude` are nodes that stay in float32, besides those that would overflow.

    Ranges are found on synthetic samples, or on the `images` of a folder. With `half_boundary`, inputs and outputs are
    converted too. `force`: replace an existing file, whatever network it is of.
    """

    precision: ExportPrecision = "fp16"
    exclude: Sequence[str] = ()
    images: Path | None = None
    half_boundary: bool = False
    force: bool = False
    limits: IsolationOptions = field(default_factory=IsolationOptions)


def convert_file(source: Path, target: Path, options: ConvertOptions, *, progress: OnProgress = ignore) -> Conversion:
    """The file gets its name only after it was verified against the source."""
    if options.precision != "fp16":
        raise UsageError(f"resnetx convert makes fp16 files; found --precision {readable(options.precision)}.")
    require_writable(target)
    steps = Steps(progress, 4)
    steps.begin(f"reading {source}")
    file = read_onnx_file(source)
    card = read_card(file.model)
    origin = made_from(file)
    require_target(target, card, source=origin, force=options.force)
    model = uniquely_named(file.model)
    _require_float32(source, model)
    _require_names(source, model, options.exclude)
    steps.begin("ranges of the tensors")
    ranges = _ranges(source, file, options, steps.within)
    reasons = overflowing_nodes(model, ranges.magnitudes) | dict.fromkeys(options.exclude, "it was excluded")
    steps.begin("converting")
    before = count_graph(model, size=file.file_bytes + file.external_bytes)
    converted = convert_precision(model, options.precision, keep=reasons, keep_boundary=not options.half_boundary)
    if card is None:
        embed_source(converted, origin)
    else:
        embed_card(converted, replace(card, precision=options.precision))
    check_structure(converted)
    data = serialize(converted)
    with whole_model(target, card, source=origin, force=options.force) as temporary:
        temporary.write_bytes(data)
        against = VerifyOptions(reference=source, images=options.images)
        steps.begin(f"verifying against {source}")
        verification = verify_isolated(temporary, against, options.limits, progress=steps.within)
        if not verification.usable:
            temporary.unlink()
    return Conversion(
        source=source,
        target=target,
        written=verification.usable,
        kept=reasons,
        undefined=tuple(ranges.undefined),
        samples=ranges.samples,
        before=before,
        after=count_graph(converted, size=len(data)),
        verification=replace(verification, model=str(target)),
    )


def _require_float32(source: Path, model: onnx.ModelProto) -> None:
    stored = stored_precision(model.graph)
    if stored != "fp32":
        raise UsageError(f"{source} is in {stored} already; resnetx convert takes a float32 file.")


def _require_names(source: Path, model: onnx.ModelProto, exclude: Sequence[str]) -> None:
    known = dict.fromkeys(node.name for node in model.graph.node)
    missing = [name for name in exclude if name not in known]
    if missing:
        some = ", ".join(readable(name, 60) for name in list(known)[:SHOWN])
        raise UsageError(
            f"{source} has no layer {readable(missing[0], 60)!r} to exclude. Its layers are {some}"
            f"{' and others' if len(known) > SHOWN else ''}; resnetx inspect --layers shows all."
        )


def _ranges(source: Path, file: OnnxFile, options: ConvertOptions, progress: OnProgress) -> Ranges:
    """In a process of its own, because the file may be hostile."""
    memory_mb = options.limits.memory_mb or memory_for([file], batch=1, providers=PROVIDERS)
    timeout_s = options.limits.timeout_s or time_for(file, batch=1, providers=PROVIDERS)
    request = {"path": str(source), "images": None if options.images is None else str(options.images)}
    return answer_of(
        CHILD,
        request,
        Ranges,
        path=source,
        done="converted",
        timeout_s=timeout_s,
        memory_mb=memory_mb,
        progress=progress,
    )
