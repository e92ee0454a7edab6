"""Observes the channels of a PyTorch network while it runs: what enters activations and what leaves weighted layers."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# An interval of an activation's input in which its output is one formula.
Piece: TypeAlias = tuple[float, float]

ABOVE: Piece = (0.0, math.inf)
BELOW: Piece = (-math.inf, 0.0)
# The pieces whose output is not zero: a piece of zeros carries nothing on, so an error behind it cannot be seen there.
PIECES: dict[str, tuple[Piece, ...]] = {
    "relu": (ABOVE,),
    "relu6": ((0.0, 6.0), (6.0, math.inf)),
    "hardswish": ((-3.0, 3.0), (3.0, math.inf)),
    "hardsigmoid": ((-3.0, 3.0), (3.0, math.inf)),
    **dict.fromkeys(
        ("leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus"), (BELOW, ABOVE)
    ),
}
WEIGHTED = {f"conv{transposed}{n}d" for transposed in ("", "_transpose") for n in (1, 2, 3)} | {"linear"}


@dataclass(frozen=True)
class Layer:
    """One call of an activation (its `pieces`) or of a convolution or linear layer (none)."""

    name: str
    pieces: tuple[Piece, ...]


# A layer and its tensor as (samples, channels, places).
See: TypeAlias = Callable[[Layer, Tensor], None]


@contextmanager
def observed(module: nn.Module, samples: int, see: See, *, wrapper: str = "") -> Iterator[None]:
    """Call `see` for each layer of a forward run of so many samples: modules and calls of functions alike.

    `wrapper` is a path prefix that the names of layers don't have.
    """
    path: list[str] = []
    prefix = f"{wrapper}." if wrapper else ""
    with ExitStack() as stack:
        for name, child in module.named_modules():
            shown = name.removeprefix(prefix) if name != wrapper else ""
            enter = child.register_forward_pre_hook(lambda *_, shown=shown: path.append(shown))
            leave = child.register_forward_hook(lambda *_: _drop(path), always_call=True)
            stack.callback(enter.remove)
            stack.callback(leave.remove)
        stack.enter_context(_Observer(module, samples, see, path, prefix))
        yield


def _drop(path: list[str]) -> None:
    path.pop()


class _Observer(TorchFunctionMode):
    """Sees the calls of torch's functions, those within modules included."""

    def __init__(self, module: nn.Module, samples: int, see: See, path: Sequence[str], prefix: str) -> None:
        super().__init__()
        self.samples = samples
        self.see = see
        self.path = path
        self.leaves = {
            name.removeprefix(prefix)
            for name, child in module.named_modules()
            if not any(True for _ in child.children())
        }
        self.calls: Counter[str] = Counter()
        # The channels are the last dimension behind a linear layer, the second behind a convolution.
        self.last = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").strip("_")  # relu_ and F._threshold too
        pieces = _pieces(name, args, kwargs)
        if pieces:
            self._show(name, pieces, args[0] if args else kwargs.get("input"))  # before it is changed in place
        result = func(*args, **kwargs)
        if name in WEIGHTED:
            self.last = name == "linear"
            self._show(name, (), result)
        return result

    def _show(self, function: str, pieces: tuple[Piece, ...], tensor: Any) -> None:
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or tensor.dim() < 2 or not tensor.numel():
            return
        path = self.path[-1] if self.path else ""
        name = path if path in self.leaves else ".".join(filter(None, (path, function)))
        number = self.calls[name]
        self.calls[name] += 1
        channels = tensor.movedim(-1 if self.last else 1, 1)
        if len(channels) % self.samples == 0:  # windows of an image are a batch of their own, sample by sample
            channels = channels.reshape(self.samples, -1, *channels.shape[1:]).movedim(1, 2)
        else:
            channels = channels.unsqueeze(0).movedim(1, 2).expand(self.samples, *([-1] * channels.dim()))
        self.see(Layer(f"{name}_{number}" if number else name, pieces), channels.flatten(2))


def _pieces(function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Piece, ...]:
    """The pieces of an activation that are not zero; none if the function is not one."""

    def argument(place: int, *names: str, default: Any = None) -> Any:
        return args[place] if len(args) > place else next((kwargs[name] for name in names if name in kwargs), default)

    if function == "hardtanh":
        return _clip_pieces(argument(1, "min_val", default=-1.0), argument(2, "max_val", default=1.0))
    if function == "threshold":
        limit, value = argument(1, "threshold"), argument(2, "value")
        return ((limit, math.inf), *([(-math.inf, limit)] if value else []))
    if function in ("clamp", "clip", "clamp_min"):
        low, high = argument(1, "min"), argument(2, "max")
        # Other limits guard against overflow or division by zero, and are not meant to be reached.
        return _clip_pieces(0.0, math.inf if high is None else high) if _is_zero(low) and _is_number(high) else ()
    return PIECES.get(function, ())


def _clip_pieces(low: float, high: float) -> tuple[Piece, ...]:
    pieces = ((-math.inf, low), (low, high), (high, math.inf))
    constants = (low, None, high)
    return tuple(
        piece for piece, constant in zip(pieces, constants, strict=True) if constant != 0 and piece[0] < piece[1]
    )


def _is_zero(value: object) -> bool:
    return isinstance(value, int | float) and value == 0


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, int | float)
