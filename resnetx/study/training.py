"""The one training loop of the studies: stochastic gradient descent with momentum, the same for every network."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

MOMENTUM = 0.9
Loss = Callable[[Tensor, Tensor], Tensor]


def train(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    rate: float,
    clip: float | None = None,
    parameters: Iterable[nn.Parameter] | None = None,
    loss: Loss = functional.cross_entropy,
) -> Iterator[float]:
    """Take a step with each batch, and yield the loss that the batch had before it; ends with one that is not finite.

    The caller takes as many as it wants. Only `parameters` are trained; all of the network's if they are None. Where
    the norm of the whole gradient is above `clip`, the gradient is scaled down to it.
    """
    trained = list(network.parameters() if parameters is None else parameters)
    velocities = [torch.zeros_like(each) for each in trained]
    for images, targets in batches:
        value = loss(network(images), targets)
        network.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        if clip is not None:
            nn.utils.clip_grad_norm_(trained, clip)
        _step(trained, velocities, rate)
        yield value.item()
        if not math.isfinite(value.item()):
            return


@torch.no_grad()
def _step(trained: Sequence[nn.Parameter], velocities: Sequence[Tensor], rate: float) -> None:
    """As `torch.optim.SGD`, which would load torch's compiler: seconds, and a variable in the environment."""
    for parameter, velocity in zip(trained, velocities, strict=True):
        if parameter.grad is not None:
            velocity.mul_(MOMENTUM).add_(parameter.grad)
            parameter.add_(velocity, alpha=-rate)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread: the numbers then do not depend on how many there are, and small layers are faster."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def training_settings(*, rate: float, batch: int, clip: float | None = None) -> dict[str, str]:
    """What determines a training, for a result."""
    clipped = "" if clip is None else f", gradients clipped to a norm of {clip:g}"
    words = f"SGD, batches of {batch}, learning rate {rate:g}, momentum {MOMENTUM:g}{clipped}"
    return {"training": f"{words}; the same for all networks"}
