"""The process of one benchmark case: opens its runner, times rounds when told to, and verifies what it timed.

Its parent is `run.py`; they speak JSON, a line a message.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from resnetx.benchmark.child_tasks import HELPS
from resnetx.benchmark.loadgen.result import Scenario
from resnetx.benchmark.loadgen.system_under_test import run_in_pieces, takes_any_size
from resnetx.benchmark.meters import Meters
from resnetx.benchmark.stopwatch import Stopwatch, runner_calls
from resnetx.errors import GraphError, ResnetxError
from resnetx.graph.card import ModelCard
from resnetx.inputs.timed import timed_feeds
from resnetx.runtime.ort.providers import AUTO, TORCH_RUNNERS
from resnetx.runtime.ort.session import Session, open_session
from resnetx.runtime.ort.tensorrt_cache import engine_origin, named_folders, with_engine_cache
from resnetx.runtime.runner import Runner, TensorInfo
from resnetx.verification.checks import verify_classifier, verify_module
from resnetx.verification.golden import read_golden
from resnetx.verification.parity import Check, Parity
from resnetx.verification.reference_outputs import References


@dataclass(frozen=True, kw_only=True)
class CaseOrder:
    """What the parent wants run. Tensors are (name, type, shape), for PyTorch, which has no file to read them from."""

    model: str
    provider: str
    batch: int
    threads: int
    options: dict[str, str]
    allow_fallback: bool
    boundary: str
    concurrency: int
    scenario: Scenario | None
    warmup: int
    card: str | None
    inputs: list[tuple[str, str, list[int | str]]]
    outputs: list[tuple[str, str, list[int | str]]]


Opener = Callable[[CaseOrder, ModelCard | None], tuple[Runner, float]]


def open_runner(order: CaseOrder, card: ModelCard | None) -> tuple[Runner, float]:
    """The runner, and the seconds that building it took; importing libraries is not counted."""
    if order.provider in TORCH_RUNNERS:
        return _open_torch(order, card)
    from resnetx.runtime.ort.device_session import DeviceSession, graph_options
    from resnetx.runtime.ort.provider_probe import best_provider

    provider = best_provider().name if order.provider == AUTO else order.provider
    options = order.options
    if provider == "tensorrt":
        options = with_engine_cache(Path(order.model), options, inputs=_tensors(order.inputs), batch=order.batch)
    bound = order.boundary == "device"
    one_caller = order.concurrency == 1 and order.scenario is None
    graph = graph_options(provider, options, bound=bound, one_caller=one_caller)
    try:
        begin = time.perf_counter()
        session = _open_session(order, provider, graph | options)
    except GraphError:
        # A model of which a node must run elsewhere has no graph, and that is no reason not to run it.
        if not graph.keys() - options.keys():
            raise
        begin = time.perf_counter()
        session = _open_session(order, provider, options)
    runner: Runner = DeviceSession(session) if bound else session
    return runner, time.perf_counter() - begin


def _open_session(order: CaseOrder, provider: str, options: Mapping[str, str]) -> Session:
    return open_session(
        Path(order.model),
        provider=provider,
        precision="default",
        options=options,
        threads=order.threads,
        dimensions=fixed_dimensions(order),
        allow_fallback=order.allow_fallback,
    )


def fixed_dimensions(order: CaseOrder) -> dict[str, int]:
    """The batch, where its dimension is free and has a name of its own: providers are faster where they know it."""
    shapes = [tuple(shape) for _, _, shape in order.inputs]
    batch = shapes[0][0] if shapes[0] else None
    if order.scenario == "server":
        return {}  # runs whatever waits, up to the batch
    named = isinstance(batch, str) and batch and shapes[0].count(batch) == 1
    return {str(batch): order.batch} if named else {}


def _open_torch(order: CaseOrder, card: ModelCard | None) -> tuple[Runner, float]:
    from resnetx.runtime.pytorch.runner import open_torch
    from resnetx.verification.rebuild import rebuild

    assert card is not None
    begin = time.perf_counter()
    runner = open_torch(
        rebuild(card),
        provider=order.provider,
        inputs=_tensors(order.inputs),
        outputs=_tensors(order.outputs),
        options=order.options,
        threads=order.threads,
    )
    return runner, time.perf_counter() - begin


def _tensors(tensors: Sequence[tuple[str, str, list[int | str]]]) -> list[TensorInfo]:
    return [TensorInfo(name, np.dtype(dtype), tuple(shape)) for name, dtype, shape in tensors]


class Worker:
    """One case: `open` first, then `round` and `verify` as often as the parent likes."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener

    def open(self, request: Mapping[str, Any]) -> dict[str, Any]:
        order = CaseOrder(**request["case"])
        self._order = order
        opened_at = time.time()
        self._meters = Meters(order.provider, order.options)
        self._card = None if order.card is None else ModelCard.from_json(order.card)
        self._runner, session_s = self._opener(order, self._card)
        feeds = timed_feeds(self._runner.inputs, self._card, batch=order.batch)
        if isinstance(self._runner, Session):
            feeds = [self._runner.place(feed) for feed in feeds]
        bound = getattr(self._runner, "bind", None) if order.boundary == "device" else None
        calls = [bound(feed) for feed in feeds] if bound else runner_calls(self._runner, feeds)
        self._stopwatch = Stopwatch(calls, concurrency=order.concurrency)
        first_run_ms = self._stopwatch.first_ms()
        self._stopwatch.warm_up(order.warmup)
        self._meters.settle(self._runner)
        return {
            "provider": self._runner.provider,
            "effective_precision": self._runner.effective_precision,
            "placement": [list(pair) for pair in self._runner.placement],
            "options": named_folders(self._runner.options),
            "engine": engine_origin(self._runner.options, opened_at),
            "fallback": getattr(self._runner, "fallback", None),
            "session_s": session_s,
            "first_run_ms": first_run_ms,
        }

    def round(self, request: Mapping[str, Any]) -> dict[str, Any]:
        taken = self._meters.watch()
        samples = self._stopwatch.round_ms(float(request["seconds"]))
        return {"samples_ms": samples, **taken(sum(samples) / 1e3 / self._order.concurrency)}

    def prepare(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ready for traffic; how many samples a second it may bear, rather too many."""
        assert self._order.scenario is not None
        from resnetx.benchmark.loadgen.session import Load

        self._load = Load(
            self._runner,
            self._card,
            scenario=self._order.scenario,
            batch=self._order.batch,
            concurrency=self._order.concurrency,
        )
        return {"samples_per_s": self._load.guess(self._stopwatch, float(request["seconds"]))}

    def load(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One run of LoadGen."""
        taken, begin = self._meters.watch(), time.perf_counter()
        run = self._load.run(seconds=request["seconds"], rate=request["rate"], bound_ms=request["bound_ms"])
        return {"run": asdict(run), **taken(time.perf_counter() - begin)}

    def verify(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The very runner that was timed, on inputs that it has not seen, against the answers of the reference.

        A server ran batches of every size: there every other batch goes in by pieces.
        """
        golden = read_golden(Path(request["golden"]))
        names = [info.name for info in self._runner.inputs]
        batches = [dict(zip(names, feeds, strict=True)) for feeds in golden.feeds]
        pieces = self._order.scenario == "server" and self._order.batch > 1 and takes_any_size(self._runner)
        runs = [
            run_in_pieces(self._runner, feeds) if pieces and number % 2 else self._runner.run(feeds)
            for number, feeds in enumerate(batches)
        ]
        precision = self._runner.effective_precision
        checks = output_checks(runs, golden.references, card=self._card, outputs=golden.outputs, precision=precision)
        return {"parity": Parity(precision=precision, checks=checks).to_json()}


def output_checks(
    runs: Sequence[dict[str, np.ndarray]],
    references: References,
    *,
    card: ModelCard | None,
    outputs: Sequence[str],
    precision: str,
) -> tuple[Check, ...]:
    """What a runner puts out against the truth; logits that it keeps to itself are not opened for this."""
    if card is None or card.config is None or tuple(outputs) != ("logits",):
        return verify_module(runs, references, names=outputs, precision=precision)
    if card.output == "logits":
        logits = [next(iter(run.values())) for run in runs]
        return verify_classifier(runs, logits, references, output="logits", precision=precision)
    hidden = [batch[0] for batch in references.truth]
    checks = verify_classifier(runs, hidden, references, output=card.output, precision=precision)
    return tuple(check for check in checks if check.output != "logits")


def serve(opener: Opener, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer each request until there are no more. Between them the process waits, and takes no processor time."""
    worker = Worker(opener)
    steps = {
        "open": worker.open,
        "round": worker.round,
        "prepare": worker.prepare,
        "load": worker.load,
        "verify": worker.verify,
        **HELPS,
    }
    for line in requests:
        request = json.loads(line)
        if hasattr(signal, "alarm"):
            signal.alarm(int(request.get("lifetime_s", 0)))  # ends even a call that never returns
        try:
            answer = steps[request["do"]](request)
        except ResnetxError as error:
            answer = {"error": str(error), "deliberate": True}
        except MemoryError as error:
            answer = {"error": f"it ran out of memory: {error}"}
        except Exception as error:  # whatever a runner raises is this case's failure, in one line
            answer = {"error": f"{type(error).__name__}: {str(error).strip()[:300]}"}
        if hasattr(signal, "alarm"):
            signal.alarm(0)
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def main(opener: Opener = open_runner) -> None:
    # Libraries write to the standard output when they please: it becomes another standard error.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(opener, sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
