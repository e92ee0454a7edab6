"""The cases of a benchmark: every combination of model, batch size and provider."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resnetx.base.text import readable
from resnetx.benchmark.loadgen.options import DEFAULT_BATCHES, check_batches
from resnetx.benchmark.options import BenchOptions
from resnetx.errors import GraphError, UsageError
from resnetx.graph.card import ModelCard, read_card
from resnetx.graph.inspection.inspect import Inspection, ValueInfo, inspect_model
from resnetx.graph.reading.onnx_file import read_onnx_file
from resnetx.inputs.batch_dimension import batched_shape
from resnetx.runtime.catalog import find_provider, provider_names, scoped_options
from resnetx.runtime.file_precision import stored_precision
from resnetx.runtime.memory_limit import float_bytes
from resnetx.runtime.tuned_model import model_file, read_tuned
from resnetx.verification.golden import read_golden


@dataclass(frozen=True, kw_only=True)
class BenchModel:
    """What a benchmark needs to know about a model file. `fixed_batch` is None if the batch size is dynamic.

    `sha256` is None if weights are stored in other files, because the hash of this file alone does not identify the
    model; `digest` includes those files. `float_bytes` is its size if its weights were float32.
    """

    path: Path
    sha256: str | None = None
    digest: str | None = None
    card: ModelCard | None
    macs: int | None
    precision: str = "fp32"
    float_bytes: int
    fixed_batch: int | None
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]

    @property
    def has_reference(self) -> bool:
        return self.card is not None and self.card.config is not None


@dataclass(frozen=True, kw_only=True)
class PlannedCase:
    """`options` are the provider's. With `settings`, the case has options of its own instead of the benchmark's."""

    model: BenchModel
    provider: str
    batch: int
    options: Mapping[str, str]
    settings: BenchOptions | None = None


def plan_cases(models: Sequence[Path], options: BenchOptions) -> list[PlannedCase]:
    """Every file on every provider with every batch size, and every tuned model as it was tuned.

    Raises an error for invalid options before anything runs.
    """
    files = [path for path in models if not path.is_dir()]
    if not files and models:
        _refuse_how_to_run(models[0], options)
    providers = provider_names(options.providers)
    _refuse_twice("provider", providers)
    _refuse_twice("batch", options.batches or ())
    _refuse_twice("model", [os.path.realpath(path) for path in models])
    chosen = scoped_options(options.provider_options, providers)
    tuned = {path: _tuned_case(path, options) for path in models if path.is_dir()}
    looked = {path: look_into(path) for path in files}
    _check_reference(options, [*looked.values(), *(case.model for case in tuned.values())])
    return [
        case
        for path in models
        for case in ([tuned[path]] if path in tuned else _cases(looked[path], providers, chosen, options))
    ]


def _cases(
    model: BenchModel, providers: Sequence[str], chosen: Mapping[str, Mapping[str, str]], options: BenchOptions
) -> list[PlannedCase]:
    return [
        PlannedCase(model=model, provider=provider, batch=batch, options=chosen[provider])
        for batch in _batches(model, options)
        for provider in providers
    ]


def _tuned_case(folder: Path, options: BenchOptions) -> PlannedCase:
    tuned = read_tuned(folder)
    settings = replace(options, threads=tuned.threads, precision=tuned.precision, concurrency=tuned.streams)
    return PlannedCase(
        model=look_into(model_file(folder)),
        provider=find_provider(tuned.provider).name,
        batch=tuned.batch,
        options=tuned.options,
        settings=settings,
    )


def _refuse_how_to_run(folder: Path, options: BenchOptions) -> None:
    """Only tuned models are to run, each of which says how: options that say the same would have no effect."""
    default = BenchOptions()
    names = {
        "providers": "--provider",
        "batches": "--batch",
        "precision": "--precision",
        "concurrency": "--concurrency",
        "provider_options": "--provider-option",
    }
    given = [option for name, option in names.items() if getattr(options, name) != getattr(default, name)]
    if given:
        raise UsageError(
            f"{folder} is a tuned model, which runs as it was tuned, so {', '.join(given)} would have no effect. Leave "
            f"that out, or give the file itself: {model_file(folder)}."
        )


def _check_reference(options: BenchOptions, models: Sequence[BenchModel]) -> None:
    """Read the reference, so that one that cannot be read, or is of other inputs, is an error before minutes pass."""
    if options.reference is not None:
        inputs = [value.name for value in inspect_model(read_onnx_file(Path(options.reference)).model).inputs]
    elif options.golden is not None:
        inputs = list(read_golden(Path(options.golden)).inputs)
    else:
        return
    for model in models:
        own = [value.name for value in model.inputs]
        if own != inputs:
            raise UsageError(
                f"{options.reference or options.golden} cannot be the reference of {model.path}: its inputs are "
                f"{readable(', '.join(inputs))}, and the model's are {readable(', '.join(own))}."
            )


def look_into(path: Path) -> BenchModel:
    """Read a model file; a model without inputs is refused."""
    file = read_onnx_file(path)
    model = file.model
    inspection = inspect_model(model)
    if not inspection.inputs:
        raise UsageError(f"{path} has no inputs, so its outputs are constants: there is nothing to measure.")
    return BenchModel(
        path=path,
        sha256=None if file.external_bytes else file.sha256,
        digest=file.digest,
        card=read_card(model),
        macs=inspection.macs,
        precision=stored_precision(model.graph),
        float_bytes=float_bytes(file),
        fixed_batch=_fixed_batch(path, inspection),
        inputs=inspection.inputs,
        outputs=inspection.outputs,
    )


def _fixed_batch(path: Path, inspection: Inspection) -> int | None:
    shapes = [value.shape for value in inspection.inputs]
    if not any(shape is None or shape for shape in shapes):
        raise GraphError(f"The inputs of {path} are scalars; bench needs a model with batches as inputs.")
    shape = batched_shape([shape or () for shape in shapes])
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
