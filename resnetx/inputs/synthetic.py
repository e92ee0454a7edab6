"""Smooth synthetic images, and images as inputs of a network."""

import numpy as np

from resnetx.graph.card import ModelCard
from resnetx.inputs.patterns import smooth, to_pixels
from resnetx.model.preprocessing import Preprocessing


def smooth_images(count: int, size: int, seed: int = 0) -> np.ndarray:
    """`count` smooth images, like photographs."""
    generator = np.random.default_rng(seed)
    return np.stack([_smooth(size, 3 + 2 * (index % 4), generator) for index in range(count)])


def card_inputs(card: ModelCard, images: np.ndarray) -> np.ndarray:
    """Images in the input form of the card: raw pixels or normalized floats."""
    assert card.preprocessing is not None
    return images if card.input == "uint8" else network_input(images, card.preprocessing)


def network_input(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Raw pixels (N, H, W, 3) as inputs of the network: float32 (N, 3, H, W)."""
    return channels_first(normalized(images, preprocessing))


def normalized(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Pixels (..., 3) in the range of the network's input, in float64."""
    pixels = images[..., ::-1] if preprocessing.order == "BGR" else images
    mean, std = np.array(preprocessing.mean), np.array(preprocessing.std)
    values: np.ndarray = (pixels * preprocessing.scale - mean) / std
    return values


def channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)


def _smooth(size: int, cells: int, generator: np.random.Generator) -> np.ndarray:
    return to_pixels(smooth((size, size, 3), generator, cells=cells))
