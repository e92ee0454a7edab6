"""Small networks whose outputs are unusual and right: infinities, flips at ties, long sums, other types."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

Tail = Callable[[Tensor], Tensor | tuple[Tensor, ...]]


class Small(nn.Module):
    """A convolution, a ReLU, a global average and a classifier, with something of its own before or behind."""

    def __init__(
        self, tail: Tail | None = None, *, head: Tail | None = None, body: nn.Module | None = None, classes: int = 6
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, stride=2)
        self.body = body or nn.Identity()
        self.relu = nn.ReLU()
        self.fc = nn.Linear(8, classes)
        self.head, self.tail = head, tail

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        x = x if self.head is None else self.head(x)  # type: ignore[assignment]
        y = self.fc(self.relu(self.body(self.conv(x))).mean((2, 3)))
        return y if self.tail is None else self.tail(y)


def softmax_spelled_out(y: Tensor) -> Tensor:
    powers = torch.exp(y - y.amax(1, keepdim=True))
    return powers / powers.sum(1, keepdim=True)


def softmax_without_shift(y: Tensor) -> Tensor:
    powers = torch.exp(y)
    return powers / powers.sum(1, keepdim=True)


def log_of_zero(y: Tensor) -> Tensor:
    return torch.log(functional.relu(y))


def some_classes_masked(y: Tensor) -> Tensor:
    mask = torch.arange(y.shape[1]) % 2 == 0
    return y.masked_fill(mask, float("-inf"))


def root_of_negatives(y: Tensor) -> Tensor:
    return torch.sqrt(y)


def normalized(y: Tensor) -> Tensor:
    return functional.normalize(y, dim=1)


def rounded_halves(y: Tensor) -> Tensor:
    """Eighths of the pixels' tenths: many values lie at a tie, and a rounding of float32 decides them."""
    return torch.round(y * 0.1)


def best_and_score(y: Tensor) -> tuple[Tensor, Tensor]:
    return y.argmax(1), y.amax(1)


def three_best(y: Tensor) -> tuple[Tensor, Tensor]:
    scores, indices = torch.topk(torch.softmax(y, 1), 3, dim=1)
    return indices, scores


def with_quarter(x: Tensor) -> Tensor:
    return torch.round(x * 4) / 4


class FromPixels(nn.Module):
    """Raw pixels in the layout of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Small()
        self.register_buffer("scale", torch.tensor(1 / 255))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.network(x.to(self.scale.dtype) * self.scale)
        return result


class Wide(nn.Module):
    """A sum of so many terms that its order shows."""

    def __init__(self, features: int, outputs: int = 1) -> None:
        super().__init__()
        self.fc = nn.Linear(features, outputs)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.fc(x.flatten(1))
        return result


@dataclass(frozen=True)
class Odd:
    """A module with the size of its images; `dtype` is that of its input."""

    build: Callable[[], nn.Module]
    size: int = 32
    dtype: torch.dtype = torch.float32


ODD: dict[str, Odd] = {
    "softmax spelled out": Odd(lambda: Small(softmax_spelled_out)),
    "softmax spelled out, unshifted": Odd(lambda: Small(softmax_without_shift)),
    "softmax": Odd(lambda: Small(lambda y: torch.softmax(y, 1))),
    "log softmax": Odd(lambda: Small(lambda y: torch.log_softmax(y, 1))),
    "sigmoid": Odd(lambda: Small(torch.sigmoid)),
    "one output": Odd(lambda: Small(classes=1)),
    "one output, sigmoid": Odd(lambda: Small(torch.sigmoid, classes=1)),
    "one number a sample": Odd(lambda: Small(lambda y: y[:, 0])),
    "logarithm of zero": Odd(lambda: Small(log_of_zero)),
    "masked classes": Odd(lambda: Small(some_classes_masked)),
    "NaN of PyTorch's own": Odd(lambda: Small(root_of_negatives)),
    "L2 normalization": Odd(lambda: Small(normalized)),
    "the best class": Odd(lambda: Small(best_and_score)),
    "the three best": Odd(lambda: Small(three_best)),
    "rounding at ties": Odd(lambda: Small(rounded_halves)),
    "input rounded to quarters": Odd(lambda: Small(head=with_quarter)),
    "a module of pixels": Odd(FromPixels, dtype=torch.uint8),
    "GroupNorm over 128x128": Odd(lambda: Small(body=nn.GroupNorm(2, 8)), size=256),
    "GroupNorm over 16x16": Odd(lambda: Small(body=nn.GroupNorm(4, 8))),
    "InstanceNorm over 64x64": Odd(lambda: Small(body=nn.InstanceNorm2d(8, affine=True)), size=128),
    "LayerNorm over 32x32": Odd(lambda: Small(body=nn.LayerNorm([8, 32, 32])), size=64),
    "global average over 24x24": Odd(Small, size=48),
    "global average over 96x96": Odd(Small, size=192),
    "global average over 256x256": Odd(Small, size=512),
    "a sum of 12288 terms": Odd(lambda: Wide(3 * 64 * 64), size=64),
    "two sums of 49152 terms": Odd(lambda: Wide(3 * 128 * 128, 2), size=128),
    "SiLU": Odd(lambda: Small(body=nn.SiLU())),
    "Softsign": Odd(lambda: Small(body=nn.Softsign())),
    "GLU": Odd(lambda: Small(lambda y: functional.glu(y, 1))),
    "GELU": Odd(lambda: Small(body=nn.GELU())),
    "hard swish": Odd(lambda: Small(body=nn.Hardswish())),
    "softplus": Odd(lambda: Small(body=nn.Softplus())),
    "adaptive average to 4x4": Odd(lambda: Small(body=nn.AdaptiveAvgPool2d(4))),
    "average pooling, padded": Odd(lambda: Small(body=nn.AvgPool2d(3, 2, 1))),
    "average pooling, padding not counted": Odd(lambda: Small(body=nn.AvgPool2d(3, 2, 1, count_include_pad=False))),
}


@torch.no_grad()
def odd_module(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = ODD[name].build().eval()
        for each in module.modules():
            if isinstance(each, nn.GroupNorm | nn.InstanceNorm2d) and each.weight is not None:
                each.weight.uniform_(0.5, 1.5)
                each.bias.uniform_(-0.5, 0.5)
    return module
