"""Patterns that excite different parts of a network, as floats from -1 to 1 of any height, width and channels."""

from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

import numpy as np

# Height, width and channels.
Shape: TypeAlias = tuple[int, int, int]
Pattern: TypeAlias = Callable[[Shape, np.random.Generator], np.ndarray]

# The share of the spread that all colours have in common, as in photographs; the rest is colour.
COMMON = 0.8
SPREAD = 0.4
GRAIN = 0.3
# Frequencies along an axis, in periods a pixel: one half is the highest there is.
HIGH_FREQUENCIES = (1 / 2, 1 / 3, 1 / 4)
TILES = 4
# One hot element in so many.
SPARSITY = 1024


def zeros(shape: Shape, generator: np.random.Generator) -> np.ndarray:
    return np.zeros(shape)


def smooth(shape: Shape, generator: np.random.Generator, *, cells: int = 5) -> np.ndarray:
    """A coarse grid of random colours, interpolated: an image without detail."""
    height, width, channels = shape
    grid = generator.uniform(-1, 1, (cells, cells, channels))
    rows = _between(grid, height)
    return _between(rows.swapaxes(0, 1), width).swapaxes(0, 1)


def _between(grid: np.ndarray, length: int) -> np.ndarray:
    """`length` rows interpolated between those of `grid`."""
    place = np.linspace(0, len(grid) - 1, length)
    low = np.minimum(place.astype(int), len(grid) - 2)
    share = (place - low)[:, None, None]
    rows: np.ndarray = grid[low] * (1 - share) + grid[low + 1] * share
    return rows


def textured(shape: Shape, generator: np.random.Generator) -> np.ndarray:
    """Like a photograph: amplitudes fall as 1 / frequency, every octave counts the same, and some parts have grain."""
    height, width, _ = shape
    vertical, horizontal = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.maximum(np.hypot(vertical, horizontal), 0.5 / max(height, width))
    common, own = generator.standard_normal((height, width, 1)), generator.standard_normal(shape)
    white = COMMON * common + np.sqrt(1 - COMMON**2) * own
    spectrum = np.fft.rfft2(white, axes=(0, 1)) / frequency[..., None]
    field = np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))
    field *= SPREAD / max(float(field.std()), np.finfo(np.float64).tiny)
    grainy = np.maximum(smooth((height, width, 1), generator), 0)
    grain = GRAIN * grainy * generator.standard_normal(shape)
    image: np.ndarray = np.clip(field + grain, -1, 1)
    return image


def noise(shape: Shape, generator: np.random.Generator) -> np.ndarray:
    """Every element on its own: all frequencies alike."""
    return generator.uniform(-1, 1, shape)


def stripes(shape: Shape, generator: np.random.Generator) -> np.ndarray:
    """Tiles of stripes and checkerboards of the highest frequencies, with a phase of its own for each colour."""
    height, width, channels = shape
    image = np.empty(shape)
    tiles = [(rows, columns) for rows in _tiles(height) for columns in _tiles(width)]
    # Each frequency alone along either axis and combined; nothing is constant along both.
    waves = [(fy, fx) for fy in (*HIGH_FREQUENCIES, 0.0) for fx in (*HIGH_FREQUENCIES, 0.0) if fy or fx]
    generator.shuffle(waves)
    for number, (rows, columns) in enumerate(tiles):
        fy, fx = waves[number % len(waves)]
        # At a quarter of a period no element of these frequencies falls on a zero.
        phase = (generator.integers(0, 4, channels) + 0.5) / 4
        y, x = np.arange(rows.start, rows.stop)[:, None, None], np.arange(columns.start, columns.stop)[None, :, None]
        contrast = generator.uniform(0.5, 1, channels)
        image[rows, columns] = contrast * np.sign(np.cos(2 * np.pi * (fy * y + fx * x + phase)))
    return image


def _tiles(length: int) -> list[slice]:
    edges = np.linspace(0, length, min(TILES, max(1, length // 4)) + 1).astype(int)
    return [slice(int(low), int(high)) for low, high in pairwise(edges)]


def sparse(shape: Shape, generator: np.random.Generator) -> np.ndarray:
    """Zeros with a few hot elements of either sign: the network's response to single elements."""
    image = np.zeros(shape)
    size = image.size
    hot = generator.choice(size, min(size, max(3, size // SPARSITY)), replace=False)
    image.flat[hot] = generator.uniform(0.3, 1, len(hot)) * (-1.0) ** np.arange(len(hot))
    return image


def fading(shape: Shape, generator: np.random.Generator) -> np.ndarray:
    """A textured image whose contrast falls evenly from 1/10 to 1/1,000,000: values near zero of every magnitude."""
    contrast = np.logspace(-1, -6, max(shape[1], 2))[: shape[1], None]
    return textured(shape, generator) * contrast


def saturated(shape: Shape, generator: np.random.Generator) -> np.ndarray:
    """Every element at either end of the range."""
    return generator.choice([-1.0, 1.0], shape)


def to_pixels(pattern: np.ndarray) -> np.ndarray:
    """8-bit pixels: -1 is black, 1 is white."""
    pixels: np.ndarray = np.rint(127.5 + 127.5 * np.clip(pattern, -1, 1)).astype(np.uint8)
    return pixels
