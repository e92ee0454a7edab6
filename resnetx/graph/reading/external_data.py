"""Reads weights from external data files, without leaving the model's folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from onnx import TensorProto

from resnetx.base.regular_file import open_regular
from resnetx.errors import FileError, GraphError
from resnetx.graph.reading.tensor_data import stored_bytes

# The limit for all tensors together.
MAX_EXTERNAL_BYTES = 8 * 2**30


@dataclass(frozen=True)
class Region:
    """A part of an external data file."""

    location: str
    offset: int
    length: int


class ExternalData:
    """Reads tensors from the external data files of one model, and counts the bytes."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self._read = 0
        self._sizes: dict[str, int] = {}

    @property
    def file_bytes(self) -> int:
        """The size of all files that were read."""
        return sum(self._sizes.values())

    def load(self, tensor: TensorProto) -> None:
        """Load a tensor's data into the model."""
        region = self._region(tensor)
        with self._open(region.location) as (stream, size):
            if region.offset + region.length > size:
                raise self._refused(
                    f"the weight {tensor.name[:100]!r} is stored at bytes {region.offset:,} to "
                    f"{region.offset + region.length:,} of {region.location!r}, which has {size:,}. "
                    "Get the complete file, or export the model again"
                )
            self._sizes[region.location] = size
            self._read += region.length
            # Many tensors with the same region could expand a small file to any size; some sharing is legitimate.
            if self._read > min(MAX_EXTERNAL_BYTES, 2 * self.file_bytes):
                raise self._refused(f"its weights overlap, or take more than {MAX_EXTERNAL_BYTES >> 30} GiB")
            stream.seek(region.offset)
            data = stream.read(region.length)
        if len(data) != region.length:
            raise self._refused(f"{region.location!r} became shorter while it was read")
        tensor.raw_data = data
        tensor.ClearField("data_location")
        del tensor.external_data[:]

    def _region(self, tensor: TensorProto) -> Region:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        needed = stored_bytes(tensor)
        name = tensor.name[:100]
        if tensor.data_type == TensorProto.STRING:
            raise self._refused(f"the weight {name!r} has strings, which cannot be stored in another file")
        numbers = []
        for key, default in (("offset", 0), ("length", needed)):
            text = entries.get(key, str(default))
            if not (text.isascii() and text.isdigit() and len(text) <= 19):
                raise self._refused(f"the weight {name!r} has the {key} {text[:40]!r}, which is not a valid number")
            numbers.append(int(text))
        if numbers[1] != needed:
            raise self._refused(
                f"the weight {name!r} has the shape {list(tensor.dims)}, which takes {needed:,} bytes, but "
                f"its external data has {numbers[1]:,}"
            )
        return Region(entries.get("location", ""), *numbers)

    @contextmanager
    def _open(self, location: str) -> Iterator[tuple[BinaryIO, int]]:
        try:
            stream, facts = open_regular(self._resolve(location), follow=False)
        except (OSError, ValueError) as error:
            raise FileError(
                f"The weights of {self._model} are stored in {location[:200]!r}, which cannot be read: "
                f"{getattr(error, 'strerror', None) or error}. Put that file into the model's folder."
            ) from error
        with stream:
            if facts.st_nlink > 1:
                raise self._refused(
                    f"its weights are stored in {location[:200]!r}, a hard link, which may expose another file. "
                    "Copy the model and its weights to a new folder"
                )
            yield stream, facts.st_size

    def _resolve(self, location: str) -> Path:
        """The path of a location; it must be below the model's folder and must not contain a symbolic link."""
        parts = PurePosixPath(location).parts
        if (
            not parts
            or "\\" in location
            or "\0" in location
            or ".." in parts
            or PurePosixPath(location).is_absolute()
            or PureWindowsPath(location).anchor
        ):
            raise self._refused(f"its weights are stored in {location[:200]!r}, outside of the model's folder")
        path = self._model.parent
        for part in parts:
            path = path / part
            if path.is_symlink():
                raise self._refused(
                    f"its weights are stored in {location[:200]!r}, a symbolic link, which may lead out of the folder. "
                    "Copy the model and its weights to a new folder"
                )
        return path

    def _refused(self, reason: str) -> GraphError:
        return GraphError(f"{self._model} is not read: {reason}.")
