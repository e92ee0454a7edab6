"""The process of one profile, whose file may be hostile; `run.py` is its parent.

python -m resnetx.benchmark.profiling.worker
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnetx.base.answers import error_answer, open_answers, read_request, send, teller
from resnetx.base.progress import OnProgress, Steps
from resnetx.base.validation import validated
from resnetx.base.vocabulary import AUTO
from resnetx.benchmark.profiling.messages import ProfileDone, ProfileOrder
from resnetx.benchmark.stopwatch import Stopwatch
from resnetx.errors import GraphError
from resnetx.graph.card import ModelCard, read_card
from resnetx.graph.counts import required_inputs
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.inputs.timed import timed_feeds
from resnetx.machine.cpu_contention import total, watch_processors
from resnetx.runtime.catalog import engine_of, find_provider, open_best
from resnetx.runtime.file_boundary import declared_tensor
from resnetx.runtime.numbered_nodes import numbered
from resnetx.runtime.runner import LayerTimes, Opening, Runner, Source

if TYPE_CHECKING:
    from onnx import ModelProto

# In each, the model is opened again with profiling: a session has a speed of its own, and OpenVINO's counters cannot be
# reset. Between them it runs without.
ROUNDS = 5
# Before each round, of either kind: the first runs allocate, and read weights that the other session displaced.
WARMUP = 3
# For each round: the kernels of a tiny model would fill the memory with records.
MOST_RECORDS = 20_000
Feeds = Mapping[str, np.ndarray]


def measure(order: ProfileOrder, progress: OnProgress) -> ProfileDone:
    """Time runs without profiling and with it in turn, and the layers of the latter."""
    model = read_onnx(Path(order.model))
    card = read_card(model)
    steps = Steps(progress)
    steps.begin(f"opening the model on {order.provider}")
    first, open_profiled = _opened(order, model, card)
    plain_ms, profiled_ms, layers, disturbances = [], [], [], []
    with closing(first) as plain:
        feeds = timed_feeds(plain.inputs, card, batch=order.batch)
        seconds = order.duration_s / (2 * ROUNDS + 1)
        steps.begin(f"timing on {plain.provider}")
        for number in range(ROUNDS):
            steps.detail(f"round {number + 1} of {ROUNDS}", number / ROUNDS)
            disturbance = watch_processors()
            plain_ms.append(_warm(plain, feeds).round_ms(seconds, reheat=False))
            with closing(open_profiled()) as profiled:
                stopwatch = _warm(profiled, feeds)
                profiled.start_profile()
                profiled_ms.append(stopwatch.round_ms(min(seconds, _longest_s(plain, plain_ms)), reheat=False))
                disturbances.append(disturbance())
                layers.append(profiled.layer_times())
        plain_ms.append(_warm(plain, feeds).round_ms(seconds, reheat=False))
        shape = list(feeds[0][plain.inputs[0].name].shape) if plain.inputs else []
        return ProfileDone(
            provider=plain.provider,
            effective_precision=plain.effective_precision,
            options=plain.options,
            notes=[*plain.facts.notes, *total(disturbances).warnings()],
            plain_ms=plain_ms,
            profiled_ms=profiled_ms,
            layers=joined(layers),
            input_shape=shape if shape and all(shape) else None,
        )


def _opened(order: ProfileOrder, model: "ModelProto", card: ModelCard | None) -> tuple[Runner, Callable[[], Runner]]:
    """The model without profiling, and a function that opens it with profiling in the same way."""
    opening = Opening(precision=order.precision, options=order.options, threads=order.threads, batch=order.batch)
    if order.provider != AUTO and find_provider(order.provider).needs_card:
        inputs, outputs = (tuple(map(declared_tensor, each)) for each in (required_inputs(model), model.graph.output))
        opening = replace(opening, inputs=inputs, outputs=outputs)
        source: Source = partial(_module, card)
    else:
        source = numbered(model)
    if order.provider == AUTO:
        plain = open_best(source, opening, times_layers=True)
    else:
        plain = engine_of(find_provider(order.provider)).open(source, opening)
    engine = engine_of(find_provider(plain.provider))
    return plain, lambda: engine.open(source, replace(opening, profile=True))


def joined(rounds: Sequence[Sequence[LayerTimes]]) -> list[LayerTimes]:
    """The layers with their times in all rounds, which must be of the same layers."""
    # Kernels that belong to no node of the file get another number each time.
    found = [[replace(layer, times_ms=(), name="") for layer in layers] for layers in rounds]
    if any(layers != found[0] for layers in found):
        raise GraphError(
            "The engine did not run the same kernels each time that it opened the model; profile it again."
        )
    if not found[0]:
        raise GraphError("The engine runs no kernel for this model, so that there is nothing to profile.")
    together = zip(*rounds, strict=True)
    return [replace(same[0], times_ms=tuple(time for layer in same for time in layer.times_ms)) for same in together]


def _warm(runner: Runner, feeds: Sequence[Feeds]) -> Stopwatch:
    stopwatch = Stopwatch([runner.bind(feed) for feed in feeds])
    stopwatch.warm_up(WARMUP)
    return stopwatch


def _longest_s(runner: Runner, rounds_ms: Sequence[Sequence[float]]) -> float:
    """How long a round with profiling may take, from the runs without and the number of kernels."""
    kernels = sum(count for _, count in runner.placement)
    return MOST_RECORDS / max(kernels, 1) * float(np.median(rounds_ms[-1])) / 1e3


def _module(card: ModelCard | None) -> Any:
    from resnetx.verification.rebuild import rebuild

    assert card is not None
    return rebuild(card)


def main() -> None:
    answers = open_answers()
    try:
        request = read_request()
        order = validated(ProfileOrder, request["order"])
        send(answers, asdict(measure(order, progress=teller(answers))))
    except Exception as error:  # the parent says what it means
        send(answers, error_answer(error))


if __name__ == "__main__":
    main()
