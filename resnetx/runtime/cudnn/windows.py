"""How the windows of convolutions and poolings move over an image."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """How the window moves, and whether a ReLU follows."""

    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    groups: int
    relu: bool

    @property
    def window(self) -> tuple[list[int], list[int], list[int], int]:
        """As PyTorch's convolutions take it."""
        return list(self.strides), list(self.pads), list(self.dilations), self.groups

    def shape(self, x: Tensor, weight: Tensor) -> tuple[int, ...]:
        """The shape of the result."""
        sizes = [
            (size + 2 * pad - dilation * (window - 1) - 1) // stride + 1
            for size, window, pad, dilation, stride in zip(
                x.shape[2:], weight.shape[2:], self.pads, self.dilations, self.strides, strict=True
            )
        ]
        return (x.shape[0], weight.shape[0], *sizes)

    def is_product(self, weight: Tensor) -> bool:
        """Is it a product of matrices: the channels of each pixel with the weight?"""
        windows = {*weight.shape[2:], *self.strides}
        return windows == {1} and not any(self.pads) and self.groups == 1


@dataclass(frozen=True, kw_only=True)
class Pooling:
    """How the window of a MaxPool moves."""

    window: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    ceil: bool

    def pooled(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(x, self.window, self.strides, self.pads, self.dilations, ceil_mode=self.ceil)
