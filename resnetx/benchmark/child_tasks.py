"""Tasks of a benchmark in a separate process, so that a crash or lack of memory there does not end the benchmark."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from resnetx.base.isolation import PYTHON
from resnetx.base.optional_torch import has_torch
from resnetx.base.private_folder import private_folder
from resnetx.base.worker_process import Child, ChildError
from resnetx.benchmark.case import case_environment
from resnetx.benchmark.memory import truth_memory_mb
from resnetx.benchmark.messages import BestProvider, BestProviderOrder, LimitsDone, LimitsOrder, TruthDone, TruthOrder
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.plan import BenchModel
from resnetx.benchmark.result import Limits
from resnetx.errors import RuntimeUnavailableError
from resnetx.machine.threads import default_threads

T = TypeVar("T")
WORKER = (*PYTHON, "resnetx.benchmark.worker")
# Several times what the tasks take on a slow machine; PyTorch in float64 takes longest.
TIMEOUT_S = 1800.0


def ask_helper(task: str, order: object, kind: type[T], *, threads: int, memory_mb: int | None = None) -> T:
    """Start a worker, get one answer, and end the worker. Raises ChildError if there is no answer."""
    request: dict[str, Any] = {"do": task, "order": asdict(order)}  # type: ignore[call-overload]
    with private_folder("bench") as folder:
        child = Child(WORKER, folder=folder, environment=case_environment(folder, threads), memory_mb=memory_mb)
        try:
            return child.ask(request, kind, timeout_s=TIMEOUT_S)
        finally:
            child.close()


def measured_limits(threads: int, *, gpu: bool = False) -> Limits | None:
    """The machine's peaks, with `gpu` the GPU's too. Raises ChildError if nothing could be measured."""
    return ask_helper("limits", LimitsOrder(threads=threads, gpu=gpu), LimitsDone, threads=threads).limits


def computed_truths(
    model: BenchModel,
    batches: Sequence[int],
    precisions: Sequence[str],
    folder: Path,
    options: BenchOptions,
) -> dict[int, Path] | str:
    """A golden file in `folder` for each batch size, or why there is none."""
    order = TruthOrder(
        model=str(model.path.absolute()),
        card=model.card.to_json() if model.card is not None and model.has_reference else None,
        inputs=[value.name for value in model.inputs],
        batches=list(batches),
        precisions=list(precisions),
        folder=str(folder),
        golden=options.golden,
        reference=options.reference,
    )
    memory_mb = options.memory_mb or truth_memory_mb(model, max(batches), options.reference)
    try:
        done = ask_helper("truths", order, TruthDone, threads=options.threads or default_threads(), memory_mb=memory_mb)
    except ChildError as error:
        return f"the reference could not be computed: {error}"
    return done.problem or {batch: Path(file) for batch, file in done.files.items()}


def best_provider_here(*, precision: str, threads: int) -> str:
    """The provider that `auto` selects on this machine for files of this precision."""
    try:
        return ask_helper(
            "best provider", BestProviderOrder(precision=precision), BestProvider, threads=threads
        ).provider
    except ChildError as error:
        raise RuntimeUnavailableError(
            f"The provider for `auto` could not be determined: {error}. Choose one with --provider."
        ) from error


def answer_limits(order: LimitsOrder) -> LimitsDone:
    """This function and the following ones run in the worker."""
    from resnetx.benchmark.limits import measure_limits, with_gpu_limits

    limits = measure_limits(order.threads)
    # The GPU's peaks are those of PyTorch.
    return LimitsDone(limits=with_gpu_limits(limits) if order.gpu and has_torch() else limits)


def answer_truths(order: TruthOrder) -> TruthDone:
    from resnetx.benchmark.reference_files import write_truths

    files = write_truths(order)
    if isinstance(files, str):
        return TruthDone(problem=files)
    return TruthDone(files={batch: str(file) for batch, file in files.items()})


def answer_best_provider(order: BestProviderOrder) -> BestProvider:
    from resnetx.runtime.catalog import best_provider

    return BestProvider(provider=best_provider(order.precision).name)
