"""Reads a folder of the user's images, resized to the input size of a model."""

from pathlib import Path

import numpy as np

from resnetx.errors import FileError, MissingExtraError, UsageError
from resnetx.graph.card import ModelCard

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"}
MAX_IMAGES = 512
MAX_PIXELS = 100_000_000


def read_images(folder: Path, card: ModelCard | None, model: Path) -> np.ndarray:
    """The first MAX_IMAGES images of `folder`, resized and center-cropped to the model's size: uint8 (N, H, W, 3)."""
    if card is None or card.image_size is None:
        raise UsageError(f"--images needs a model card, which specifies the size of images; {model} has none.")
    if not folder.is_dir():
        raise FileError(f"There is no image folder {folder}; give one that contains .jpg or .png files.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)[:MAX_IMAGES]
    if len(paths) < 2:
        raise FileError(f"{folder} has {len(paths)} images ({', '.join(sorted(SUFFIXES))}); two or more are needed.")
    return np.stack([_read(path, card.image_size) for path in paths])


def _read(path: Path, size: int) -> np.ndarray:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError(
            "Reading images needs Pillow; install it with `pip install 'resnetx[images]'`."
        ) from error
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise FileError(f"{path} has {image.width}x{image.height} pixels; resize it to {MAX_PIXELS} or fewer.")
            # The usual evaluation transform: resize the shorter side to 8/7 of the crop, then center-crop.
            scale = size * 8 / 7 / min(image.size)
            wide, high = (max(size, round(side * scale)) for side in image.size)
            if wide * high > MAX_PIXELS:
                raise FileError(f"{path} is {image.width}x{image.height} pixels, too narrow to be resized; remove it.")
            resized = image.convert("RGB").resize((wide, high), Image.Resampling.BILINEAR)
            left, top = (wide - size) // 2, (high - size) // 2
            return np.asarray(resized.crop((left, top, left + size, top + size)), np.uint8)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise FileError(f"{path} cannot be read as an image ({error}); remove it from the folder.") from error
