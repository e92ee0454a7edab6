"""Quantizes a file in a process with limits, and keeps the result if it holds the user's limit on the drop."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from resnetx.base.files import require_writable
from resnetx.base.isolation import PYTHON
from resnetx.base.progress import OnProgress, Steps, ignore
from resnetx.base.text import readable
from resnetx.base.vocabulary import AUTO
from resnetx.conversion.overwriting import made_from, require_target, whole_model
from resnetx.conversion.quantization.messages import Quantized, QuantizeOrder
from resnetx.conversion.quantization.ranges import METHODS
from resnetx.errors import UsageError
from resnetx.graph.card import read_card
from resnetx.graph.quantization.presets import PRESETS
from resnetx.graph.reading.onnx_file import read_onnx_file
from resnetx.inputs.calibration import SAMPLES, SYNTHETIC
from resnetx.runtime.catalog import best_provider, engine_of, find_provider
from resnetx.verification.isolated import LARGEST_BATCH, IsolationOptions, answer_of, memory_for, time_for

SCHEMA = "resnetx.quantize/1"
CHILD: tuple[str, ...] = (*PYTHON, "resnetx.conversion.quantization.worker")
# Where the target's own runtime does not work, this one computes the file's integers.
ALWAYS = "cpu"
MOST_SAMPLES = 10_000
# The float file and the INT8 file run on hundreds of samples, several times.
TIMES_A_VERIFICATION = 10
# Reading the file and the calibration data, ranges, the method, and measuring; with a limit on the drop, one more.
STEPS = 5
# Samples and labelled images are in memory at once.
COUNTED_BATCH = 512


@dataclass(frozen=True, kw_only=True)
class QuantizeOptions:
    """`calibrate` is a folder of images, an .npz file, or `synthetic`; `max_drop` a share of samples, such as 0.005.

    `evaluate` is a folder with a folder for each class, or a CSV file; with it, the drop is that of labelled accuracy.
    `force`: replace an existing file, whatever network it is of.
    """

    calibrate: str | Path | None = None
    target: str = AUTO
    method: str = AUTO
    samples: int = SAMPLES
    exclude: Sequence[str] = ()
    evaluate: Path | None = None
    max_drop: float | None = None
    force: bool = False
    limits: IsolationOptions = field(default_factory=IsolationOptions)


@dataclass(frozen=True, kw_only=True)
class Quantizing:
    """The result: `written` unless the limit on the drop could not be held."""

    source: Path
    target_file: Path
    target: str
    provider: str
    bytes_before: int
    bytes_after: int | None
    max_drop: float | None
    made: Quantized

    @property
    def written(self) -> bool:
        return self.made.held

    def __repr__(self) -> str:
        files = f"{readable(str(self.source), 60)} to {readable(str(self.target_file), 60)}"
        verdict = "written" if self.written else "FAILED the limit and not written"
        kept = f"{len(self.made.kept)} of {self.made.n_layers} layers in float"
        return f"<Quantizing of {files}: {verdict}, top-1 agreement {self.made.agreement.top1:.1%}, {kept}>"

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "source": str(self.source),
            "out": str(self.target_file),
            "written": self.written,
            "target": self.target,
            "provider": self.provider,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "max_drop": self.max_drop,
            **asdict(self.made),
        }


def quantize_file(source: Path, target: Path, options: QuantizeOptions, *, progress: OnProgress = ignore) -> Quantizing:
    """Write the INT8 file to `target`, measured on samples that calibration did not see."""
    chosen = _checked(options)
    require_writable(target)
    steps = Steps(progress, STEPS + (options.max_drop is not None))
    steps.begin(f"reading {source}")
    file = read_onnx_file(source)
    card = read_card(file.model)
    origin = made_from(file)
    require_target(target, card, source=origin, force=options.force)
    provider = chosen if engine_of(find_provider(chosen)).why_not() is None else ALWAYS
    memory_mb = options.limits.memory_mb or memory_for([file, file], batch=COUNTED_BATCH, providers=[provider])
    timeout_s = options.limits.timeout_s or TIMES_A_VERIFICATION * time_for(
        file, batch=LARGEST_BATCH, providers=[provider]
    )
    with whole_model(target, card, source=origin, force=options.force) as temporary:
        order = QuantizeOrder(
            path=str(source.absolute()),
            made_from=origin,
            out=str(temporary.absolute()),
            calibrate=_absolute(options.calibrate),
            target=chosen,
            provider=provider,
            method=options.method,
            samples=options.samples,
            exclude=list(options.exclude),
            evaluate=None if options.evaluate is None else str(options.evaluate.absolute()),
            max_drop=options.max_drop,
        )
        result = answer_of(
            CHILD,
            {"order": asdict(order)},
            Quantized,
            path=source,
            done="quantized",
            timeout_s=timeout_s,
            memory_mb=memory_mb,
            progress=steps.follow,
        )
        size = temporary.stat().st_size if result.held else None
        if not result.held:
            temporary.unlink()
    return Quantizing(
        source=source,
        target_file=target,
        target=chosen,
        provider=provider,
        bytes_before=file.file_bytes + file.external_bytes,
        bytes_after=size,
        max_drop=options.max_drop,
        made=result,
    )


def _checked(options: QuantizeOptions) -> str:
    """The preset; an error for options that cannot be."""
    if options.calibrate is None:
        raise UsageError(
            "--calibrate is missing: the range of every tensor is measured on samples of what the model is used on, "
            "and random numbers have other ranges than photographs. Give a folder of images (some hundred of the "
            f"training set) or an .npz file with prepared inputs; --calibrate {SYNTHETIC} insists on made-up images, "
            "for tests."
        )
    for option, value, known in (
        ("--target", options.target, (*PRESETS, AUTO)),
        ("--method", options.method, (*METHODS, AUTO)),
    ):
        if value not in known:
            raise UsageError(f"{option} is one of {', '.join(known)}; found {readable(value, 40)!r}.")
    if not 1 <= options.samples <= MOST_SAMPLES:
        raise UsageError(f"--samples takes 1 to {MOST_SAMPLES:,}; found {options.samples}.")
    if options.max_drop is not None and not 0 <= options.max_drop <= 1:
        raise UsageError(f"--max-drop takes 0 to 100%, such as 0.5%; found {100 * options.max_drop:g}%.")
    if options.target != AUTO:
        return options.target
    best = best_provider("int8").name
    return best if best in PRESETS else ALWAYS


def _absolute(calibrate: str | Path | None) -> str:
    return SYNTHETIC if calibrate == SYNTHETIC else os.path.abspath(str(calibrate))  # noqa: PTH100  # of text
