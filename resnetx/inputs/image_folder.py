"""Reads a folder of the user's images, resized to the input size of a model."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from resnetx.base.regular_file import open_input
from resnetx.base.text import readable
from resnetx.errors import FileError, MissingExtraError, UsageError
from resnetx.graph.card import ModelCard
from resnetx.model.preprocessing import IMAGENET, Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"}
# Pillow would try every format that it knows, some of which start other programs.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM")
MAX_IMAGES = 512
MAX_PIXELS = 100_000_000
MAX_BYTES = 2**29
# Of all images together, after they are resized.
MAX_TOTAL_BYTES = 2**30
MOST_ENTRIES = 1_000_000


def read_images(folder: Path, card: ModelCard | None, model: Path) -> np.ndarray:
    """The first MAX_IMAGES images of `folder`, resized and center-cropped to the model's size: uint8 (N, H, W, 3)."""
    if card is None or card.image_size is None:
        raise UsageError(f"--images needs a model card, which specifies the size of images; {model} has none.")
    paths = image_paths(folder)[: most_images(card.image_size)]
    if len(paths) < 2:
        raise FileError(f"{folder} has {len(paths)} images ({', '.join(sorted(SUFFIXES))}); two or more are needed.")
    return np.stack([read_image(path, card.image_size, card.preprocessing) for path in paths])


def most_images(size: int) -> int:
    """How many images of this size are read at once."""
    return max(2, min(MAX_IMAGES, MAX_TOTAL_BYTES // (3 * size**2)))


def image_paths(folder: Path) -> list[Path]:
    """The image files in a folder, by name."""
    try:
        if not folder.is_dir():
            raise FileError(f"There is no image folder {folder}; give one that contains .jpg or .png files.")
        entries = list(itertools.islice(folder.iterdir(), MOST_ENTRIES))
    except OSError as error:
        raise FileError(f"The image folder {folder} cannot be read: {error.strerror or error}.") from error
    return sorted(path for path in entries if path.suffix.lower() in SUFFIXES)


def read_image(path: Path, size: int, preprocessing: Preprocessing | None) -> np.ndarray:
    """The pixels of an image, resized and center-cropped to `size`; a FileError if it cannot be read."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError(
            "Reading images needs Pillow; install it with `pip install 'resnetx[images]'`."
        ) from error
    try:
        with (
            open_input(path, most_bytes=MAX_BYTES, what="an image") as stream,
            Image.open(stream, formats=FORMATS) as image,
        ):
            return _cropped(image, path, size, preprocessing or IMAGENET)
    except FileError:
        raise
    # The decoders raise errors of many types for damaged files.
    except Exception as error:
        raise FileError(
            f"{path} cannot be read as an image ({readable(str(error) or type(error).__name__)}); remove it from the "
            "folder."
        ) from error


def _cropped(image: "Image", path: Path, size: int, preprocessing: Preprocessing) -> np.ndarray:
    """The evaluation transform: resize the shorter side until the crop is its share, then center-crop."""
    from PIL.Image import Resampling

    if image.width * image.height > MAX_PIXELS:
        raise FileError(f"{path} has {image.width}x{image.height} pixels; resize it to {MAX_PIXELS} or fewer.")
    scale = size / preprocessing.crop / min(image.size)
    wide, high = (max(size, round(side * scale)) for side in image.size)
    if wide * high > MAX_PIXELS:
        raise FileError(f"{path} is {image.width}x{image.height} pixels, too narrow to be resized; remove it.")
    image.draft("RGB", (wide, high))  # a large JPEG is decoded at a fraction of its size
    resized = _in_colour(image, path).resize((wide, high), Resampling[preprocessing.interpolation.upper()])
    left, top = (wide - size) // 2, (high - size) // 2
    return np.asarray(resized.crop((left, top, left + size, top + size)), np.uint8)


def _in_colour(image: "Image", path: Path) -> "Image":
    """The first frame in RGB. Pillow's own conversion would make white of all but the darkest of 65,536 greys."""
    if not image.mode.startswith(("I", "F")):
        return image.convert("RGB")
    from PIL.Image import fromarray

    grey = np.asarray(image)
    if image.mode == "F" or grey.min() < 0 or grey.max() > 0xFFFF:
        raise FileError(f"{path} has values beyond 16 bits, whose range is unknown; convert it to 8 bits.")
    return fromarray((grey.astype(np.uint32) >> 8).astype(np.uint8)).convert("RGB")
