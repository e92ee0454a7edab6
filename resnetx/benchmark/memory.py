"""The memory limits of a benchmark's processes, which run files of unknown origin."""

from resnetx.benchmark.plan import BenchModel, PlannedCase
from resnetx.graph.reading.onnx_file import read_onnx_file
from resnetx.inputs.random_feeds import FREE_SIZE
from resnetx.runtime.memory_limit import memory_limit_mb


def case_memory_mb(case: PlannedCase) -> int:
    """The limit for the process of a case."""
    return _memory_mb(case.model, case.batch, [case.provider])


def truth_memory_mb(model: BenchModel, batch: int) -> int:
    """The limit for the process that computes the reference, in PyTorch or from the file itself."""
    return _memory_mb(model, batch, ["torch"] if model.has_reference else [])


def _memory_mb(model: BenchModel, batch: int, providers: list[str]) -> int:
    # Without a hash of the whole model, its weights are stored in other files.
    beside = 0 if model.sha256 else read_onnx_file(model.path).external_bytes
    return memory_limit_mb(
        file_bytes=model.path.stat().st_size + beside,
        inputs=[[dim if isinstance(dim, int) else None for dim in value.shape or ()] for value in model.inputs],
        batch=batch,
        free_size=FREE_SIZE,
        providers=providers,
    )
