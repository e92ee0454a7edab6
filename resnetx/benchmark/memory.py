"""The memory limits of a benchmark's processes, which run files of unknown origin."""

from pathlib import Path

from resnetx.benchmark.plan import BenchModel, PlannedCase
from resnetx.graph.reading.onnx_file import read_onnx_file
from resnetx.inputs.random_feeds import FREE_SIZE
from resnetx.runtime.memory_limit import float_bytes, memory_limit_mb


def case_memory_mb(case: PlannedCase) -> int:
    """The limit for the process of a case."""
    return _memory_mb(case.model, case.batch, [case.provider])


def truth_memory_mb(model: BenchModel, batch: int, reference: str | None = None) -> int:
    """The limit for the process that computes the reference, in PyTorch or from a file."""
    other = 0 if reference is None else float_bytes(read_onnx_file(Path(reference)))
    return _memory_mb(model, batch, ["torch"] if model.has_reference else [], more_bytes=other)


def _memory_mb(model: BenchModel, batch: int, providers: list[str], *, more_bytes: int = 0) -> int:
    return memory_limit_mb(
        file_bytes=model.float_bytes + more_bytes,
        inputs=[[dim if isinstance(dim, int) else None for dim in value.shape or ()] for value in model.inputs],
        batch=batch,
        free_size=FREE_SIZE,
        providers=providers,
    )
