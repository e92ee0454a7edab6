"""Work for a benchmark in a process of its own: whatever crashes or fills memory there leaves the benchmark alive."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from resnetx.base.isolation import PYTHON
from resnetx.base.worker_process import Child, ChildError
from resnetx.benchmark.case import case_environment
from resnetx.benchmark.result import Limits
from resnetx.errors import RuntimeUnavailableError
from resnetx.graph.card import ModelCard

WORKER = (*PYTHON, "resnetx.benchmark.worker")
# Several times what these take on a slow machine: PyTorch's answers in float64 are the longest.
TIMEOUT_S = 1800.0


def ask_helper(request: Mapping[str, Any], *, threads: int) -> dict[str, Any]:
    """One answer of a worker that ends with it; ChildError says why there is none."""
    with tempfile.TemporaryDirectory(prefix="resnetx-bench-") as name:
        child = Child(WORKER, folder=Path(name), environment=case_environment(Path(name), threads))
        try:
            return child.ask(request, timeout_s=TIMEOUT_S)
        finally:
            child.close()


def measured_limits(threads: int, *, gpu: bool = False) -> Limits | None:
    """The machine's peaks, the GPU's too if asked; ChildError where measuring them failed as a whole."""
    return Limits(**ask_helper({"do": "limits", "threads": threads, "gpu": gpu}, threads=threads)["limits"])


def computed_truths(
    card: ModelCard, batches: Sequence[int], precisions: Sequence[str], folder: Path, *, input_name: str, threads: int
) -> dict[int, Path] | str:
    """A golden file in `folder` for each batch size, or why there is none."""
    request = {"do": "truths", "card": card.to_json(), "folder": str(folder), "input_name": input_name}
    try:
        answer = ask_helper({**request, "batches": batches, "precisions": precisions}, threads=threads)["truths"]
    except ChildError as error:
        return f"PyTorch could not compute the truth: {error}"
    return answer if isinstance(answer, str) else {int(batch): Path(file) for batch, file in answer.items()}


def best_provider_here(*, threads: int) -> str:
    """What `auto` means on this machine."""
    try:
        return str(ask_helper({"do": "best provider"}, threads=threads)["provider"])
    except ChildError as error:
        raise RuntimeUnavailableError(f"Which provider works here could not be found out: {error}.") from error


def answer_limits(request: Mapping[str, Any]) -> dict[str, Any]:
    """This and the following are the worker's side."""
    from resnetx.benchmark.limits import measure_limits, with_gpu_limits

    limits = measure_limits(int(request["threads"]))
    return {"limits": asdict(with_gpu_limits(limits) if request["gpu"] else limits)}


def answer_truths(request: Mapping[str, Any]) -> dict[str, Any]:
    from resnetx.benchmark.reference_files import write_truths

    files = write_truths(
        ModelCard.from_json(request["card"]),
        request["batches"],
        request["precisions"],
        Path(request["folder"]),
        input_name=request["input_name"],
    )
    return {"truths": files if isinstance(files, str) else {batch: str(file) for batch, file in files.items()}}


def answer_best_provider(request: Mapping[str, Any]) -> dict[str, Any]:
    from resnetx.runtime.ort.provider_probe import best_provider

    return {"provider": best_provider().name}


HELPS = {"limits": answer_limits, "truths": answer_truths, "best provider": answer_best_provider}
