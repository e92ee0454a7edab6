"""The process of one benchmark case: opens its runner, times rounds on request, and verifies what it timed.

It exchanges the messages of `messages.py` with its parent, `run.py`, as one line of JSON each.
"""

import hashlib
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from resnetx.base.answers import teller
from resnetx.base.progress import OnProgress, Progress, ignore
from resnetx.base.validation import validated
from resnetx.base.vocabulary import AUTO
from resnetx.benchmark.child_tasks import answer_best_provider, answer_limits, answer_truths
from resnetx.benchmark.loadgen.system_under_test import run_in_pieces, takes_any_size
from resnetx.benchmark.messages import (
    BestProviderOrder,
    CaseOrder,
    LimitsOrder,
    LoadDone,
    LoadReady,
    Opened,
    RoundDone,
    Tensor,
    TruthOrder,
    Verified,
)
from resnetx.benchmark.meters import Meters
from resnetx.benchmark.result import Verdict
from resnetx.benchmark.stopwatch import Stopwatch
from resnetx.errors import ResnetxError
from resnetx.graph.card import ModelCard
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.inputs.timed import timed_feeds
from resnetx.runtime.catalog import engine_of, find_provider, open_best
from resnetx.runtime.runner import Feeds, Opening, Runner, Source, TensorInfo
from resnetx.verification.checks import run_batches
from resnetx.verification.golden import read_golden
from resnetx.verification.judge import HiddenLogits, file_logits, judge
from resnetx.verification.movement import movements, why_nothing_is_proven
from resnetx.verification.references import Truth

Opener = Callable[[CaseOrder, ModelCard | None], Runner]


def open_case(order: CaseOrder, card: ModelCard | None) -> Runner:
    if order.provider == AUTO:
        return open_best(Path(order.model), opening_of(order))
    provider = find_provider(order.provider)
    source: Source = partial(_module, card) if provider.needs_card else Path(order.model)
    return engine_of(provider).open(source, opening_of(order))


def opening_of(order: CaseOrder) -> Opening:
    settings = order.settings
    return Opening(
        precision=settings.precision,
        options=order.options,
        threads=settings.threads,
        # A server runs all waiting samples, up to the batch size.
        batch=None if settings.scenario == "server" else order.batch,
        callers=2 if settings.traffic else settings.concurrency,
        on_device=settings.boundary == "device",
        allow_fallback=settings.allow_fallback,
        digest=order.digest,
        inputs=_infos(order.inputs),
        outputs=_infos(order.outputs),
    )


def _module(card: ModelCard | None, *, logits: bool = False) -> Any:
    from resnetx.verification.rebuild import rebuild

    assert card is not None
    deployed = rebuild(card)
    return deployed.with_logits() if logits else deployed


def _infos(tensors: Sequence[Tensor]) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo(name, np.dtype(dtype), tuple(shape)) for name, dtype, shape in tensors)


class Worker:
    """One case: `open` first, then `round` and `verify` any number of times."""

    def __init__(self, opener: Opener, progress: OnProgress = ignore) -> None:
        self._opener = opener
        self._progress = progress

    def open(self, request: Mapping[str, Any]) -> Opened:
        order = self._order = validated(CaseOrder, request["order"])
        self._meters = Meters(order.provider, order.options)
        self._card = None if order.card is None else ModelCard.from_json(order.card)
        runner = self._runner = self._opener(order, self._card)
        feeds = timed_feeds(runner.inputs, self._card, batch=order.batch)
        calls = [runner.bind(feed) for feed in feeds]
        self._stopwatch = Stopwatch(calls, concurrency=order.settings.concurrency)
        first_run_ms = self._stopwatch.first_ms()
        # Not before the first run, which is timed: what is drawn meanwhile would disturb it.
        self._progress(Progress(text="warming up"))
        self._stopwatch.warm_up(order.settings.warmup)
        self._meters.settle(runner)
        return Opened(
            provider=runner.provider,
            effective_precision=runner.effective_precision,
            placement=list(runner.placement),
            options=runner.options,
            engine=runner.facts.engine,
            fallback=runner.fallback,
            kernels=list(runner.facts.kernels),
            notes=list(runner.facts.notes),
            session_s=runner.facts.opened_s,
            first_run_ms=first_run_ms,
            answers=_digest([runner.run(feed) for feed in feeds]),
        )

    def round(self, request: Mapping[str, Any]) -> RoundDone:
        taken = self._meters.watch()
        samples = self._stopwatch.round_ms(float(request["seconds"]))
        return RoundDone(samples_ms=samples, usage=taken(sum(samples) / 1e3 / self._order.settings.concurrency))

    def prepare(self, request: Mapping[str, Any]) -> LoadReady:
        from resnetx.benchmark.loadgen.session import Load

        self._load = Load(
            self._runner,
            self._card,
            scenario=self._order.settings.scenario,
            batch=self._order.batch,
            concurrency=self._order.settings.concurrency,
        )
        return LoadReady(samples_per_s=self._load.guess(self._stopwatch, float(request["seconds"])))

    def load(self, request: Mapping[str, Any]) -> LoadDone:
        """One run of LoadGen."""
        taken, begin = self._meters.watch(), time.perf_counter()
        run = self._load.run(seconds=request["seconds"], rate=request["rate"], bound_ms=request["bound_ms"])
        return LoadDone(run=run, usage=taken(time.perf_counter() - begin))

    def verify(self, request: Mapping[str, Any]) -> Verified:
        """Verify the timed runner on new inputs, as `resnetx verify` does."""
        golden = read_golden(Path(request["golden"]))
        reference = golden.about.reference or "a golden file"
        truth = Truth(description=reference, outputs=golden.outputs, samples=golden.samples, probes=[])
        precision = self._runner.effective_precision
        parity, _, _ = judge(
            self._runner, truth, self._card, precision=precision, hidden_logits=self._hidden_logits, run=self._run()
        )
        unproven = why_nothing_is_proven(movements(truth.samples, truth.outputs)) if parity.passed else None
        if unproven is not None:
            reason = f"nothing could be proven: {unproven}"
            return Verified(verdict=Verdict(reference=reference, precision=precision, reason=reason))
        return Verified(verdict=Verdict(reference=reference, precision=precision, checks=parity.checks))

    def _run(self) -> Callable[[Feeds], dict[str, np.ndarray]]:
        """Run as when timed: a server ran batches of every size, so every other batch is split."""
        runner, server = self._runner, self._order.settings.scenario == "server"
        if not (server and self._order.batch > 1 and takes_any_size(runner)):
            return runner.run
        ways: Iterator[Callable[[Feeds], dict[str, np.ndarray]]] = itertools.cycle(
            (runner.run, partial(run_in_pieces, runner))
        )
        return lambda feeds: next(ways)(feeds)

    def _hidden_logits(self, batches: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
        """The logits that the file's outputs are computed from, with the case's options; for PyTorch, the module's."""
        # Not from an engine's cache, which holds the file without this output.
        opening = replace(opening_of(self._order), on_device=False, digest=None)
        provider = find_provider(self._runner.provider)
        engine = engine_of(provider)
        feeds = [list(batch) for batch in batches]
        if provider.needs_card:
            logits = replace(opening, outputs=(TensorInfo("logits", np.dtype(np.float32), ()),))
            runner = engine.open(partial(_module, self._card, logits=True), logits)
            return [run["logits"] for run in run_batches(runner, feeds)]
        model = read_onnx(Path(self._order.model))
        found: HiddenLogits = file_logits(model, lambda data: engine.open(data, opening))
        return found(feeds)


def _digest(answers: Sequence[Feeds]) -> str:
    digest = hashlib.sha256()
    for answer in answers:
        for name, array in answer.items():
            digest.update(f"{name} {array.dtype} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def serve(opener: Opener, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are no more. Between requests the process blocks and uses no processor time."""
    worker = Worker(opener, teller(answers))
    steps: dict[str, Callable[[Mapping[str, Any]], Any]] = {
        "open": worker.open,
        "round": worker.round,
        "prepare": worker.prepare,
        "load": worker.load,
        "verify": worker.verify,
        "limits": lambda request: answer_limits(validated(LimitsOrder, request["order"])),
        "truths": lambda request: answer_truths(validated(TruthOrder, request["order"])),
        "best provider": lambda request: answer_best_provider(validated(BestProviderOrder, request["order"])),
    }
    for line in requests:
        request = json.loads(line)
        if hasattr(signal, "alarm"):
            signal.alarm(int(request.get("lifetime_s", 0)))  # ends the process even if a call never returns
        try:
            answer = asdict(steps[request["do"]](request))
        except ResnetxError as error:
            answer = {"error": str(error), "deliberate": True}
        except MemoryError as error:
            answer = {"error": f"it ran out of memory: {error}"}
        except Exception as error:  # any error of a runner fails the case, in one line
            answer = {"error": f"{type(error).__name__}: {str(error).strip()[:300]}"}
        if hasattr(signal, "alarm"):
            signal.alarm(0)
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def main(opener: Opener = open_case) -> None:
    # Libraries may write to standard output at any time, so it is redirected to standard error.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(opener, sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
