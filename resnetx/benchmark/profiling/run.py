"""Profiles a file of unknown origin in a child process with limits, and attributes its nodes to the engine's layers."""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from resnetx.base.isolation import PYTHON
from resnetx.base.progress import OnProgress, Steps, ignore
from resnetx.base.text import shorten
from resnetx.base.validation import LONGEST_NAME
from resnetx.base.vocabulary import AUTO
from resnetx.benchmark.profiling.attribution import multiplies, nodes_of_layers
from resnetx.benchmark.profiling.layer import ProfiledLayer
from resnetx.benchmark.profiling.messages import ProfileDone, ProfileOrder
from resnetx.benchmark.profiling.options import ProfileOptions, resolved
from resnetx.benchmark.profiling.result import Profile
from resnetx.benchmark.run import Peaks
from resnetx.errors import UsageError
from resnetx.graph.card import read_card
from resnetx.graph.counts import dimensions, required_inputs
from resnetx.graph.inspection.node_macs import node_macs
from resnetx.graph.inspection.untrusted_card import card_text, original_namer
from resnetx.graph.reading.onnx_file import OnnxFile, read_onnx_file
from resnetx.machine.facts import read_machine
from resnetx.machine.threads import default_threads
from resnetx.runtime.catalog import BY_NAME, pinned_environment, provider_names, scoped_options
from resnetx.runtime.numbered_nodes import names_for_numbers
from resnetx.runtime.runner import LayerTimes
from resnetx.verification.isolated import answer_of, memory_for, time_for

if TYPE_CHECKING:
    from onnx import ModelProto

CHILD = (*PYTHON, "resnetx.benchmark.profiling.worker")
# Each may be disturbed.
PEAK_MEASUREMENTS = 2
# In a network that is rebuilt from a card, the module that a file's names begin in.
WRAPPER = "network."


def profile_file(path: Path, options: ProfileOptions, *, progress: OnProgress = ignore) -> Profile:
    """Where the time of one run goes. Raises an error for a provider that does not tell the time of its layers."""
    options = resolved(options)
    name, *others = provider_names([options.provider])
    if others:
        raise UsageError(
            f"One provider is profiled at a time, because each has layers of its own; found {name} and "
            f"{', '.join(others)}. Give --provider one of them."
        )
    _require_times(name)
    steps = Steps(progress, 4)
    steps.begin(f"reading {path}")
    file = read_onnx_file(path)
    order = ProfileOrder(
        model=str(path.absolute()),
        provider=name,
        batch=_batch(path, file.model, options.batch),
        threads=options.threads or default_threads(),
        precision=options.precision,
        options=scoped_options(options.provider_options, [name])[name],
        duration_s=options.duration_s or 0.0,
    )
    _require_card(path, file, name)
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    done = _ask(path, file, order, options, steps.follow)
    steps.begin("measuring the limits of the machine")
    peaks = Peaks(order.threads)
    for _ in range(PEAK_MEASUREMENTS):
        peaks.measure(gpu=False)
    return Profile(
        created=created,
        machine=read_machine().to_json(),
        model=str(path),
        model_sha256=None if file.external_bytes else file.sha256,
        provider=done.provider,
        batch=order.batch,
        threads=order.threads,
        effective_precision=done.effective_precision,
        options=done.options,
        notes=tuple(done.notes),
        limits=peaks.limits,
        limits_problem=peaks.problem,
        plain_ms=tuple(map(tuple, done.plain_ms)),
        profiled_ms=tuple(map(tuple, done.profiled_ms)),
        layers=tuple(_layers(done, file.model)),
        settings=options,
    )


def _require_times(name: str) -> None:
    if name != AUTO and not BY_NAME[name].times_layers:
        able = ", ".join(row.name for row in BY_NAME.values() if row.times_layers)
        raise UsageError(
            f"The provider {name} does not tell the time of its layers; choose one of {able}, or {AUTO} for the first "
            "of them that works."
        )


def _require_card(path: Path, file: OnnxFile, name: str) -> None:
    if name == AUTO or not BY_NAME[name].needs_card:
        return
    card = read_card(file.model)
    if card is None or card.config is None:
        raise UsageError(
            f"{name} runs the network that a model card describes, and {path} has none that resnetx can rebuild; "
            "choose another --provider."
        )


def _batch(path: Path, model: "ModelProto", asked: int | None) -> int:
    """The batch size of the runs: the fixed one of the first input, the one that was asked for, or 1."""
    inputs = required_inputs(model)
    shape = (dimensions(inputs[0].type) if inputs else None) or ()
    fixed = shape[0] if shape and isinstance(shape[0], int) and shape[0] > 0 else None
    if fixed is not None and asked not in (None, fixed):
        raise UsageError(
            f"{path} takes batches of {fixed} only, but --batch {asked} was specified; use --batch {fixed}, or export "
            "the model with a dynamic batch."
        )
    return fixed or asked or 1


def _ask(path: Path, file: OnnxFile, order: ProfileOrder, options: ProfileOptions, progress: OnProgress) -> ProfileDone:
    """What the child measured, or the error that it raised."""
    names = [order.provider]
    # The model is open twice, without profiling and with it.
    memory_mb = options.memory_mb or memory_for([file, file], batch=order.batch, providers=names)
    timeout_s = options.timeout_s or 2 * order.duration_s + time_for(file, batch=order.batch, providers=names)
    return answer_of(
        CHILD,
        {"order": asdict(order)},
        ProfileDone,
        path=path,
        done="profiled",
        timeout_s=timeout_s,
        memory_mb=memory_mb,
        progress=progress,
        variables={
            "OMP_NUM_THREADS": str(order.threads),
            **pinned_environment(names, order.options, order.precision),
        },
    )


def _layers(done: ProfileDone, model: "ModelProto") -> list[ProfiledLayer]:
    original = original_namer(card_text(model).card)
    if BY_NAME[done.provider].needs_card:
        return [_module_layer(layer, original) for layer in done.layers]
    macs = node_macs(model, input_shape=done.input_shape)
    names = [node.name or next(filter(None, node.output), node.op_type) for node in model.graph.node]
    homes = nodes_of_layers(done.layers, model.graph)
    found = {number for numbers in homes for number in numbers}
    # Nodes that multiply, of which it is unknown which layer computes them.
    lost = any(count != 0 for number, count in enumerate(macs) if number not in found)
    layers = []
    for layer, numbers in zip(done.layers, homes, strict=True):
        counts = [macs[number] for number in numbers]
        known = [count for count in counts if count is not None]
        complete = len(known) == len(counts) and (any(known) or not (lost and multiplies(layer)))
        main = max(numbers, key=lambda number: (macs[number] is None, macs[number] or 0), default=None)
        title = names_for_numbers(layer.name, names) if main is None else names[main]
        layers.append(
            _profiled(
                layer,
                name=title,
                original_name=None if main is None else original(names[main]),
                nodes=[names[number] for number in numbers],
                macs=sum(known) if complete else None,
            )
        )
    return layers


def _module_layer(layer: LayerTimes, original: Callable[[str], str | None]) -> ProfiledLayer:
    """A layer of a provider that runs modules, whose names are their paths."""
    path = layer.name.removeprefix(WRAPPER)
    return _profiled(layer, name=path, original_name=original(path), nodes=[], macs=layer.macs)


def _profiled(
    layer: LayerTimes, *, name: str, original_name: str | None, nodes: Sequence[str], macs: int | None
) -> ProfiledLayer:
    def short(text: str) -> str:
        return shorten(text, LONGEST_NAME)

    return ProfiledLayer(
        name=short(name),
        original_name=original_name,
        nodes=tuple(map(short, nodes)),
        operator=short(layer.operator),
        kernel=short(layer.kernel),
        precision=short(layer.precision),
        macs=macs,
        moved_bytes=layer.moved_bytes,
        times_ms=layer.times_ms,
    )
