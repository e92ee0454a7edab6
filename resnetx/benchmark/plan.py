"""The cases of a benchmark: every combination of model, batch size and provider."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnetx.benchmark.loadgen.options import DEFAULT_BATCHES, check_batches
from resnetx.benchmark.options import BenchOptions
from resnetx.errors import GraphError, UsageError
from resnetx.graph.card import ModelCard, read_card
from resnetx.graph.inspection.inspect import Inspection, ValueInfo, inspect_model
from resnetx.graph.reading.onnx_file import read_onnx_file
from resnetx.runtime.catalog import provider_names, scoped_options
from resnetx.runtime.file_precision import stored_precision


@dataclass(frozen=True, kw_only=True)
class BenchModel:
    """What a benchmark needs to know about a model file. `fixed_batch` is None if the batch size is dynamic.

    `sha256` is None if weights are stored in other files, because the hash of this file alone does not identify the
    model; `digest` includes those files.
    """

    path: Path
    sha256: str | None = None
    digest: str | None = None
    card: ModelCard | None
    macs: int | None
    precision: str = "fp32"
    fixed_batch: int | None
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]

    @property
    def has_reference(self) -> bool:
        return self.card is not None and self.card.config is not None


@dataclass(frozen=True, kw_only=True)
class PlannedCase:
    model: BenchModel
    provider: str
    batch: int
    options: Mapping[str, str]


def plan_cases(models: Sequence[Path], options: BenchOptions) -> list[PlannedCase]:
    """Every model on every provider with every batch size. Raises an error for invalid options before anything runs."""
    providers = provider_names(options.providers)
    _refuse_twice("provider", providers)
    _refuse_twice("batch", options.batches or ())
    _refuse_twice("model", [os.path.realpath(path) for path in models])
    chosen = scoped_options(options.provider_options, providers)
    looked = [look_into(path) for path in models]
    return [
        PlannedCase(model=model, provider=provider, batch=batch, options=chosen[provider])
        for model in looked
        for batch in _batches(model, options)
        for provider in providers
    ]


def look_into(path: Path) -> BenchModel:
    """Read a model file; a model that does not have exactly one input is refused."""
    file = read_onnx_file(path)
    model = file.model
    inspection = inspect_model(model)
    if len(inspection.inputs) != 1:
        names = ", ".join(value.name[:60] for value in inspection.inputs) or "none"
        raise UsageError(
            f"{path} has {len(inspection.inputs)} inputs ({names}); bench needs a model with one input, the images."
        )
    return BenchModel(
        path=path,
        sha256=None if file.external_bytes else file.sha256,
        digest=file.digest,
        card=read_card(model),
        macs=inspection.macs,
        precision=stored_precision(model.graph),
        fixed_batch=_fixed_batch(path, inspection),
        inputs=inspection.inputs,
        outputs=inspection.outputs,
    )


def _fixed_batch(path: Path, inspection: Inspection) -> int | None:
    shape = inspection.inputs[0].shape
    if shape == ():
        raise GraphError(f"The input of {path} is a scalar; bench needs a model whose input is a batch of images.")
    return shape[0] if shape and isinstance(shape[0], int) else None


def _batches(model: BenchModel, options: BenchOptions) -> tuple[int, ...]:
    fixed, asked = model.fixed_batch, options.batches
    if asked is None:
        return (fixed or DEFAULT_BATCHES.get(options.scenario, 1),)
    if options.traffic and fixed is None:
        check_batches(options.scenario, asked)
    if fixed is not None and set(asked) != {fixed}:
        raise UsageError(
            f"{model.path} takes batches of {fixed} only, but --batch {','.join(map(str, asked))} was specified; "
            f"use --batch {fixed}, or export the model with a dynamic batch."
        )
    return asked


def _refuse_twice(what: str, values: Sequence[object]) -> None:
    value, times = next(iter(Counter(values).most_common(1)), ("", 0))
    if times > 1:
        raise UsageError(f"The {what} {str(value)[:200]} was given {times} times; give each once.")
