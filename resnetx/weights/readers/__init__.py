"""Readers of weight files; the reader is chosen by the content of the file, not by its extension."""

import zipfile
from pathlib import Path

from resnetx.errors import CheckpointError, FileError
from resnetx.weights.readers import safetensors, torch_archive
from resnetx.weights.readers.keras import is_keras_archive, read_keras_archive, read_keras_h5
from resnetx.weights.readers.raw import RawCheckpoint
from resnetx.weights.untrusted import MAX_BYTES

ACCEPTED = "resnetx reads .safetensors, PyTorch .pt/.pth/.bin, and Keras .keras/.weights.h5/.h5 files"
# Files that are given by mistake, by their first bytes.
MISTAKEN = (
    (b"version https://git-lfs", "a Git LFS pointer, not the weights; fetch the file itself with `git lfs pull`"),
    (b"<", "a web page or XML file, probably from a download that failed"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x08", "possibly an ONNX or other protobuf file"),
)


def read_tensors(path: Path) -> RawCheckpoint:
    """The tensors of a weight file in any supported format."""
    head = _head(path)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return read_keras_h5(path)
    if head.startswith(b"PK"):
        return _read_zip(path)
    if head[8:9] == b"{":
        return safetensors.read(path)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return torch_archive.read_legacy(path)
    for magic, what in MISTAKEN:
        if head.startswith(magic):
            raise CheckpointError(f"it is {what}; {ACCEPTED}.")
    raise CheckpointError(f"its format is unknown (it begins with {head[:8].hex(' ')}); {ACCEPTED}.")


def _head(path: Path) -> bytes:
    try:
        if not path.exists():
            raise FileError(f"There is no file {path}; give a weight file or a Hugging Face folder.")
        # A pipe or a device has no size to check and may never end.
        if not path.is_file():
            raise FileError(f"{path} is not a regular file; give a weight file or a Hugging Face folder.")
        size = path.stat().st_size
        # Files of the kernel have no size either; reading some of them never returns.
        head = b""
        if size:
            with path.open("rb") as stream:
                head = stream.read(64)
    except OSError as error:
        raise FileError(f"Cannot read {path}: {error.strerror or error}.") from error
    if size > MAX_BYTES:
        raise CheckpointError(
            f"it has {size / 2**30:.1f} GiB, and a ResNet has less than {MAX_BYTES // 2**30} GiB; give a weight file."
        )
    if not head:
        raise CheckpointError("the file is empty; fetch or save it again.")
    return head


def _read_zip(path: Path) -> RawCheckpoint:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RecursionError) as error:
        raise CheckpointError(
            f"it begins like a zip archive (PyTorch or Keras), but its directory cannot be read ({error}): "
            "the file is truncated or damaged; fetch or save it again."
        ) from error
    if is_keras_archive(names):
        return read_keras_archive(path)
    if torch_archive.is_torch_archive(names):
        return torch_archive.read_archive(path)
    raise CheckpointError(f"it is a zip archive that neither PyTorch nor Keras wrote; {ACCEPTED}.")
