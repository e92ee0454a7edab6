"""The one training loop of the studies: stochastic gradient descent with momentum, the same for every network."""

import math
from collections.abc import Callable, Iterable, Iterator
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
    optimizer = torch.optim.SGD(trained, lr=rate, momentum=MOMENTUM)
    for images, targets in batches:
        value = loss(network(images), targets)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        if clip is not None:
            nn.utils.clip_grad_norm_(trained, clip)
        optimizer.step()
        yield value.item()
        if not math.isfinite(value.item()):
            return


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
