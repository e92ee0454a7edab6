"""The memory limits of a benchmark's processes, which run files of unknown origin."""

from resnetx.benchmark.plan import BenchModel, PlannedCase
from resnetx.inputs.random_feeds import FREE_SIZE
from resnetx.runtime.memory_limit import memory_limit_mb


def case_memory_mb(case: PlannedCase) -> int:
    """The limit for the process of a case."""
    return _memory_mb(case.model, case.batch, [case.provider])


def truth_memory_mb(model: BenchModel, batch: int) -> int:
    """The limit for the process that computes the reference, in PyTorch or from the file itself."""
    return _memory_mb(model, batch, ["torch"] if model.has_reference else [])


def _memory_mb(model: BenchModel, batch: int, providers: list[str]) -> int:
    return memory_limit_mb(
        file_bytes=model.float_bytes,
        inputs=[[dim if isinstance(dim, int) else None for dim in value.shape or ()] for value in model.inputs],
        batch=batch,
        free_size=FREE_SIZE,
        providers=providers,
    )
