"""Test images: smooth ones with increasing detail, and extreme ones."""

import numpy as np

from resnetx.inputs.patterns import smooth, to_pixels


def synthetic_images(count: int, size: int, seed: int = 0) -> np.ndarray:
    """`count` different images (N, H, W, 3) in uint8: smooth ones with increasing detail, every fourth extreme."""
    generator = np.random.default_rng(seed)
    extremes = (_hot_pixel, _black, _white)
    images = [
        extremes[index // 4 % len(extremes)](size)
        if index % 4 == 3
        else to_pixels(smooth((size, size, 3), generator, cells=3 + 2 * (index % 4)))
        for index in range(count)
    ]
    return np.stack(images)


def _black(size: int) -> np.ndarray:
    return np.zeros((size, size, 3), np.uint8)


def _white(size: int) -> np.ndarray:
    return np.full((size, size, 3), 255, np.uint8)


def _hot_pixel(size: int) -> np.ndarray:
    image = _black(size)
    image[size // 3, size // 2] = 255
    return image
