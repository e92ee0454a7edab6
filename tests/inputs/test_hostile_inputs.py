"""Images, labels and sizes from strangers: pixels are read as they are meant, and everything else is one sentence."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnetx.errors import FileError, GraphError, ResnetxError, UsageError
from resnetx.graph.card import ModelCard, Weights
from resnetx.inputs.image_folder import read_images
from resnetx.inputs.random_feeds import random_feeds
from resnetx.inputs.sampling import Sampling, network_inputs
from resnetx.inputs.timed import timed_feeds
from resnetx.model.labels import read_labels
from resnetx.model.preprocessing import IMAGENET
from resnetx.runtime.runner import TensorInfo

CARD = ModelCard(architecture="a", weights=Weights(sha256="0" * 64), image_size=32, classes=2, preprocessing=IMAGENET)
GREY = np.linspace(0, 65535, 64 * 64).reshape(64, 64)


def read(folder: Path, card: ModelCard = CARD) -> np.ndarray:
    return read_images(folder, card, Path("m.onnx"))


def good(folder: Path, count: int = 2) -> None:
    for index in range(count):
        Image.new("RGB", (40, 40), (index, 10, 20)).save(folder / f"a{index}.png")


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("L", "png"), ("RGB", "png"), ("RGBA", "png"), ("P", "png"), ("1", "png"), ("LA", "png"), ("CMYK", "jpg")],
)
def test_every_usual_mode_is_read_as_colours(tmp_path: Path, mode: str, suffix: str) -> None:
    good(tmp_path, 1)
    Image.new("RGB", (64, 48), (200, 200, 200)).convert(mode).save(tmp_path / f"z.{suffix}")
    images = read(tmp_path)
    assert images.shape == (2, 32, 32, 3) and images.dtype == np.uint8
    expected = 200 if mode != "1" else images[1].mean()
    assert abs(float(images[1].mean()) - expected) < 8


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_keep_their_shades(tmp_path: Path, suffix: str) -> None:
    good(tmp_path, 1)
    Image.fromarray(GREY.astype(np.uint16)).save(tmp_path / f"z.{suffix}")
    assert abs(float(read(tmp_path)[1].mean()) - 127) < 4, "Pillow's own conversion makes it almost white"


def test_of_an_animation_the_first_frame_is_used(tmp_path: Path) -> None:
    good(tmp_path, 1)
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "z.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert read(tmp_path)[1][0, 0].tolist() == [255, 0, 0]


def png(width: int, height: int, *, depth: int = 8, colour: int = 0, data: bytes = b"") -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def floats(path: Path) -> None:
    Image.fromarray(GREY.astype(np.float32)).save(path, format="TIFF")


def truncated(path: Path) -> None:
    Image.effect_noise((300, 300), 50).save(path, format="PNG")
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (fifo, "a pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: path.write_bytes(b""), "cannot be read as an image"),
        (lambda path: path.write_bytes(png(1, 10**7)), "too narrow"),
        (lambda path: path.write_bytes(png(10**7, 1)), "too narrow"),
        (lambda path: path.write_bytes(png(50_000, 50_000, data=zlib.compress(bytes(10**6)))), "image"),
        (lambda path: path.write_bytes(png(11_000, 11_000, data=zlib.compress(bytes(10**6)))), "121000000|11000x11000"),
        (lambda path: path.write_bytes(png(0, 5)), "image"),
        (lambda path: path.write_bytes(png(2**31 - 1, 2**31 - 1)), "image"),
        (lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "cannot be read"),
        (truncated, "cannot be read as an image"),
        (floats, "beyond 16 bits"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_is_no_image_is_one_sentence(tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
    good(tmp_path, 1)
    make(tmp_path / "z.png")
    with pytest.raises(FileError, match=words) as refusal:
        read(tmp_path)
    assert len(str(refusal.value)) < 1000


def test_large_images_are_read_in_smaller_number(tmp_path: Path) -> None:
    from dataclasses import replace

    good(tmp_path, 9)
    assert len(read(tmp_path, replace(CARD, image_size=8192))) == 5
    assert len(read(tmp_path)) == 9


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="no image folder"):
        read(tmp_path / "pipe")


@pytest.mark.parametrize(
    "text",
    [
        '["cat", "\\ud800"]',
        '["cat", "\\u001b[2J"]',
        '["cat", "\\u0000"]',
        '["cat", "' + "x" * 2000 + '"]',
        "[" * 100_000,
        '["cat", NaN]',
        '["cat", 1e999]',
        '{"0": "cat", "1": ' + "9" * 5000 + "}",
        "cat\n\x1b[2J",
        "cat\n" + "y" * 2000,
    ],
)
def test_a_label_is_a_short_text(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels").write_text(text)
    with pytest.raises(ResnetxError) as refusal:
        read_labels(tmp_path / "labels", 2)
    assert len(str(refusal.value)) < 1000 and str(refusal.value).isprintable()


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev"])
def test_labels_are_a_regular_file(device: str) -> None:
    with pytest.raises(FileError, match="no label file"):
        read_labels(device, 2)


@pytest.mark.parametrize("sizes", [(), (0,), (1, 0), (-1,), (10**30,), (2**31,)])
def test_a_batch_of_nothing_is_refused_rather_than_run_for_ever(sizes: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="cannot be run"):
        Sampling(sizes=sizes).batches()


@pytest.mark.parametrize("changes", [{"samples": 10**9}, {"samples": 0}, {"seed": -1}, {"seed": 10**30}])
def test_counts_and_seeds_are_bounded(changes: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        Sampling(sizes=(1,), **changes)  # type: ignore[arg-type]


def test_inputs_that_fit_no_memory_are_refused() -> None:
    with pytest.raises(UsageError, match="would not fit"):
        network_inputs(CARD, Sampling(sizes=(60_000,), samples=900_000))
    info = TensorInfo(name="x", shape=("n", 3, 32, 32), dtype=np.dtype("f4"))
    with pytest.raises(UsageError, match="would not fit"):
        timed_feeds([info], CARD, batch=10**6)
    with pytest.raises(GraphError, match="too large"):
        timed_feeds([info], None, batch=10**6)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2**40,), "f4"), ((-1, 3), "f4"), ((1,) * 70, "f4"), ((2,), "U3"), ((2,), "O"), ((2,), "c8")]
)
def test_an_input_that_cannot_be_fed_is_named(shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(GraphError, match="The input"):
        random_feeds([TensorInfo(name="x\x1b" * 10_000, shape=shape, dtype=np.dtype(dtype))], batch=1, seed=0)


def test_zero_and_negative_batches_of_random_inputs() -> None:
    info = TensorInfo(name="x", shape=("n", 3), dtype=np.dtype("f4"))
    for batch in (0, -1):
        with pytest.raises(UsageError):
            random_feeds([info], batch=batch, seed=0)
    assert random_feeds([TensorInfo(name="x", shape=(0, 3), dtype=np.dtype("f4"))], batch=1, seed=0)["x"].size == 0
