"""A module of which the time of every operator is recorded, under the path of the module that calls it."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from resnetx.errors import GraphError, RuntimeUnavailableError, UsageError
from resnetx.runtime.pytorch.provider import TorchProvider
from resnetx.runtime.pytorch.runner import DTYPES, TorchOptions, TorchRunner, torch_options
from resnetx.runtime.runner import Feeds, LayerTimes, Opening

PRECISIONS = {dtype: name for name, dtype in DTYPES.items()}
# Operators that multiply matrices, and are not counted here: the total must not look complete.
UNCOUNTED = frozenset({"matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "scaled_dot_product_attention"})


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One call of an operator, and how long it took."""

    path: str
    operator: str
    kernel: str
    precision: str
    moved_bytes: int
    macs: int | None
    time_ms: float


class OperatorClock(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Times every operator that is called while it is active. PyTorch names this module as if it were private."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self._paths: list[str] = []
        self._leaves = set()
        for path, child in module.named_modules():
            child.register_forward_pre_hook(partial(self._enter, path))
            child.register_forward_hook(self._leave, always_call=True)
            if not any(True for _ in child.children()):
                self._leaves.add(path)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        begin = time.perf_counter_ns()
        result = func(*args, **(kwargs or {}))
        time_ms = (time.perf_counter_ns() - begin) / 1e6
        inputs, outputs = _tensors((args, kwargs)), _tensors(result)
        operator = str(func).split(".")[1]
        moved_bytes = _moved_bytes(operator, inputs, outputs)
        if not moved_bytes:
            return result  # a view, which computes nothing
        path = self._paths[-1] if self._paths else ""
        self.operations.append(
            Operation(
                path=path if path in self._leaves else f"{path}.{operator}".lstrip("."),
                operator=operator,
                kernel=str(func).removesuffix(".default"),
                precision=next((PRECISIONS.get(each.dtype, str(each.dtype)) for each in inputs), ""),
                moved_bytes=moved_bytes,
                macs=_macs(operator, inputs, outputs),
                time_ms=time_ms,
            )
        )
        return result

    def _enter(self, path: str, module: nn.Module, args: object) -> None:
        self._paths.append(path)

    def _leave(self, module: nn.Module, args: object, result: object) -> None:
        self._paths.pop()


class ProfiledRunner(TorchRunner):
    """A runner that records the operators of every run."""

    def __init__(self, module: nn.Module, provider: TorchProvider, options: TorchOptions, opening: Opening) -> None:
        super().__init__(module, provider, options, opening, time.perf_counter())
        self._clock = OperatorClock(module)
        self._recorded: list[list[Operation]] = []

    def start_profile(self) -> None:
        self._recorded.clear()

    def layer_times(self) -> tuple[LayerTimes, ...]:
        return layers_of(self._recorded)

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        """Also timed are the operators that convert inputs and outputs, which no module calls."""
        with self._clock:
            results = super().run(feeds)
        self._recorded.append(self._clock.operations[:])
        self._clock.operations.clear()
        return results


def open_profiled(build: Callable[[], nn.Module], provider: TorchProvider, opening: Opening) -> ProfiledRunner:
    """A runner for the module that `build` makes, which records the time of every operator."""
    options = torch_options(provider, opening)
    if not provider.times_layers:
        raise UsageError(f"The provider {provider.name} does not tell the time of its layers.")
    if options.device != "cpu":
        raise RuntimeUnavailableError(
            f"The operators of {provider.name} are timed on the processor only: a GPU computes them later than they "
            "are called. Leave device=cuda out."
        )
    return ProfiledRunner(build(), provider, options, opening)


def layers_of(runs: Sequence[Sequence[Operation]]) -> tuple[LayerTimes, ...]:
    """The operators in order, each with its time in every run; a module's second call is named as in a file."""
    if len({tuple((each.path, each.kernel) for each in run) for run in runs}) != 1:
        raise GraphError("The network does not call the same operators in every run, so that they cannot be compared.")
    calls: Counter[str] = Counter()
    layers = []
    for place, operation in enumerate(runs[0]):
        number = calls[operation.path]
        calls[operation.path] += 1
        layers.append(
            LayerTimes(
                name=f"{operation.path}_{number}" if number else operation.path,
                operator=operation.operator,
                kernel=operation.kernel,
                precision=operation.precision,
                moved_bytes=operation.moved_bytes,
                macs=operation.macs,
                times_ms=tuple(run[place].time_ms for run in runs),
            )
        )
    return tuple(layers)


def _tensors(values: object) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(values) if isinstance(leaf, Tensor)]


def _moved_bytes(operator: str, inputs: Iterable[Tensor], outputs: Iterable[Tensor]) -> int:
    """The bytes of all tensors; none for a view, which has the memory of its input, and is not changed in place."""
    memory = {each.untyped_storage().data_ptr() for each in inputs}
    if not operator.endswith("_") and all(each.untyped_storage().data_ptr() in memory for each in outputs):
        return 0
    return sum(each.numel() * each.element_size() for each in (*inputs, *outputs))


def _macs(operator: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> int | None:
    if operator in ("conv2d", "linear"):
        # Each element of the output sums up one filter, or one row.
        return outputs[0].numel() * inputs[1][0].numel()
    return None if operator in UNCOUNTED else 0
