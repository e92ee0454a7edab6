"""What a benchmark will run: options checked, models looked into, and every combination as a case."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

from resnetx.benchmark.loadgen.options import DEFAULT_BATCHES, check_batches, check_load
from resnetx.benchmark.loadgen.result import DEFAULT_S, LoadOptions
from resnetx.errors import GraphError, UsageError
from resnetx.graph.card import ModelCard, read_card
from resnetx.graph.inspection.inspect import Inspection, ValueInfo, inspect_model
from resnetx.graph.reading.onnx_file import read_onnx_file
from resnetx.machine.threads import default_threads
from resnetx.runtime.ort.providers import AUTO, BY_NAME, LONG_SUFFIX, TORCH_RUNNERS
from resnetx.runtime.ort.session_options import MAX_THREADS

MAX_BATCH, MAX_CONCURRENCY, MAX_ROUNDS, MAX_DURATION_S = 4096, 256, 1000, 86_400.0
Boundary = Literal["host", "device"]


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """How to measure; None is the default. An option of a provider is named `k`, or `provider:k` for that one alone.

    `duration_s` is for each case, over all its rounds; with `load`, for each run of LoadGen. `timeout_s` is for each
    answer of a case: opening it (with the first run and the warm-up), a round or a run of LoadGen, and verifying.
    """

    providers: tuple[str, ...] = (AUTO,)
    batches: tuple[int, ...] | None = None
    threads: int | None = None
    duration_s: float = 5.0
    rounds: int = 20
    warmup: int = 5
    concurrency: int = 1
    percentiles: tuple[float, ...] = (50, 90, 95, 99)
    boundary: Boundary = "host"
    load: LoadOptions | None = None
    verify: bool = True
    provider_options: Mapping[str, str] = field(default_factory=dict)
    allow_fallback: bool = False
    timeout_s: float = 300.0

    def threads_in_force(self) -> int:
        return self.threads or default_threads()


@dataclass(frozen=True, kw_only=True)
class BenchModel:
    """A file, as far as a benchmark must know it; `fixed_batch` is None where any batch may go in.

    `sha256` is None where weights lie in other files, because then these bytes alone don't say what it computes.
    """

    path: Path
    sha256: str | None = None
    card: ModelCard | None
    macs: int | None
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
    """Every model on every provider in every batch; an impossible wish is an error before anything runs."""
    _check_numbers(options)
    if options.load is not None:
        duration_s, concurrency, boundary = options.duration_s, options.concurrency, options.boundary
        check_load(options.load, duration_s=duration_s, concurrency=concurrency, boundary=boundary)
    providers = [_provider(name) for name in options.providers]
    _refuse_twice("provider", providers)
    _refuse_twice("model", [str(path.resolve()) for path in models])
    chosen = _options_by_provider(options.provider_options, providers)
    looked = [look_into(path) for path in models]
    return [
        PlannedCase(model=model, provider=provider, batch=batch, options=chosen[provider])
        for model in looked
        for batch in _batches(model, options.batches, options.load)
        for provider in providers
    ]


def look_into(path: Path) -> BenchModel:
    """The facts of a file; one that takes more than an image is refused."""
    file = read_onnx_file(path)
    model = file.model
    inspection = inspect_model(model)
    if len(inspection.inputs) != 1:
        names = ", ".join(value.name[:60] for value in inspection.inputs) or "none"
        raise UsageError(
            f"{path} takes {len(inspection.inputs)} inputs ({names}), and bench feeds models of one input: the images."
        )
    return BenchModel(
        path=path,
        sha256=None if file.external_bytes else _file_sha256(path),
        card=read_card(model),
        macs=inspection.macs,
        fixed_batch=_fixed_batch(path, inspection),
        inputs=inspection.inputs,
        outputs=inspection.outputs,
    )


def _file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fixed_batch(path: Path, inspection: Inspection) -> int | None:
    shape = inspection.inputs[0].shape
    if shape == ():
        raise GraphError(f"{path} takes a single number, and bench feeds images; there is nothing to batch.")
    return shape[0] if shape and isinstance(shape[0], int) else None


def _batches(model: BenchModel, asked: tuple[int, ...] | None, load: LoadOptions | None) -> tuple[int, ...]:
    fixed = model.fixed_batch
    if asked is None:
        return (fixed or (DEFAULT_BATCHES.get(load.scenario, 1) if load else 1),)
    if load is not None and fixed is None:
        check_batches(load, asked)
    if fixed is not None and set(asked) != {fixed}:
        raise UsageError(
            f"{model.path} takes batches of {fixed} only, and --batch {','.join(map(str, asked))} was asked for; "
            f"say --batch {fixed}, or export it with a dynamic batch."
        )
    return asked


def parse_boundary(text: str) -> Boundary:
    for boundary in get_args(Boundary):
        if text == boundary:
            return cast(Boundary, boundary)
    raise UsageError(f"--boundary is host or device; found {text[:40]!r}.")


def chosen_duration(asked: float | None, load: LoadOptions | None) -> float:
    default = BenchOptions.duration_s if load is None else DEFAULT_S
    return default if asked is None else asked


def chosen_rounds(asked: int | None, load: LoadOptions | None) -> int:
    if asked is not None and load is not None:
        raise UsageError(
            f"--rounds are turns of the scenario latency; {load.scenario} runs for --duration at a stretch, because "
            "traffic that waits for its turn is no traffic. Leave --rounds out."
        )
    return BenchOptions.rounds if asked is None else asked


def _check_numbers(options: BenchOptions) -> None:
    batches = options.batches or ()
    _refuse_twice("batch", batches)
    checks: list[tuple[str, Sequence[float], float, float]] = [
        ("--batch", batches, 1, MAX_BATCH),
        ("--threads", [] if options.threads is None else [options.threads], 1, MAX_THREADS),
        ("--duration", [options.duration_s], 0, MAX_DURATION_S),
        ("--rounds", [options.rounds], 1, MAX_ROUNDS),
        ("--warmup", [options.warmup], 1, 1_000_000),
        ("--concurrency", [options.concurrency], 1, MAX_CONCURRENCY),
        ("--percentile", options.percentiles, 0, 100),
        ("--timeout", [options.timeout_s], 0.001, MAX_DURATION_S),
    ]
    for name, values, low, high in checks:
        wrong = next((value for value in values if not low <= value <= high), None)
        if wrong is not None:
            raise UsageError(f"{name} takes {low:g} to {high:g}, and {wrong:g} was asked for.")
    if options.batches == () or not options.providers:
        raise UsageError("There is nothing to run: give at least one --batch and one --provider.")


def _provider(name: str) -> str:
    short = name.strip().lower().removesuffix(LONG_SUFFIX)
    if short not in (AUTO, *BY_NAME, *TORCH_RUNNERS):
        known = ", ".join((*reversed(BY_NAME), *TORCH_RUNNERS))
        raise UsageError(f"There is no provider {name[:60]!r}; choose of {known}, or {AUTO} for the best that works.")
    return short


def _options_by_provider(options: Mapping[str, str], providers: Sequence[str]) -> dict[str, dict[str, str]]:
    """An option without a provider's name goes to every one of them."""
    chosen: dict[str, dict[str, str]] = {provider: {} for provider in providers}
    for key, value in options.items():
        scope, colon, name = key.partition(":")
        if colon and _provider(scope) not in chosen:
            raise UsageError(
                f"--provider-option {key[:80]} is for {scope}, which is not among the providers asked for."
            )
        for provider in [_provider(scope)] if colon else providers:
            chosen[provider][name if colon else key] = value
    return chosen


def _refuse_twice(what: str, values: Sequence[object]) -> None:
    value, times = next(iter(Counter(values).most_common(1)), ("", 0))
    if times > 1:
        raise UsageError(f"The {what} {str(value)[:200]} was given {times} times; give each once.")
