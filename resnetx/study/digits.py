"""The images of the studies: scikit-learn's handwritten digits, 8x8, as tensors, and batches of them from a seed."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

TEST = 360
CLASSES = 10
MOST_INK = 16.0


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Images (N, 1, 8, 8) of mean 0 and standard deviation 1 over all training pixels, and their labels."""

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def load_digits(seed: int) -> Digits:
    """The 1,797 digits; which of them are for testing is drawn from the seed."""
    from sklearn.datasets import load_digits as read

    read_digits = read()
    images = torch.tensor(read_digits.images, dtype=torch.float32)[:, None] / MOST_INK
    labels = torch.tensor(read_digits.target, dtype=torch.int64)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    test, training = order[:TEST], order[TEST:]
    mean, deviation = images[training].mean(), images[training].std()
    images = (images - mean) / deviation
    return Digits(images=images[training], labels=labels[training], test_images=images[test], test_labels=labels[test])


def batches(images: Tensor, targets: Tensor, *, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches: each epoch in an order of its own, the last, smaller batch of an epoch left out."""
    generator = torch.Generator().manual_seed(seed)
    size = min(size, len(images))
    while True:
        order = torch.randperm(len(images), generator=generator)
        for start in range(0, len(order) - size + 1, size):
            batch = order[start : start + size]
            yield images[batch], targets[batch]
