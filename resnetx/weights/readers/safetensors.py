"""Reads .safetensors files, a format that cannot contain code."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from resnetx.errors import CheckpointError
from resnetx.weights.readers.raw import RawCheckpoint
from resnetx.weights.untrusted import MAX_ENTRIES

# A ResNet-152 has a header of 100 kB. The library accepts 100 MB, of which it makes many times as much.
MAX_HEADER_BYTES = 8 * 2**20


def read(path: Path) -> RawCheckpoint:
    """The tensors of a .safetensors file, copied, so that the file may change afterwards."""
    tensors: dict[str, Tensor] = {}
    _check_header(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as archive:
            names = list(archive.keys())
            if len(names) > MAX_ENTRIES:
                raise CheckpointError(f"it contains {len(names)} tensors; no ResNet has more than {MAX_ENTRIES}.")
            for name in names:
                tensors[name] = archive.get_tensor(name).clone()
    except (SafetensorError, OSError, ValueError, RuntimeError, MemoryError, AttributeError) as error:
        raise CheckpointError(
            f"it looks like a safetensors file, but cannot be read ({error}): it is truncated or damaged, "
            "or contains a type that PyTorch doesn't have; fetch or save it again."
        ) from error
    return RawCheckpoint(tensors=tensors)


def _check_header(path: Path) -> None:
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
    # A size beyond the file is damage, which the library names.
    if MAX_HEADER_BYTES < size < path.stat().st_size:
        raise CheckpointError(
            f"it looks like a safetensors file, but its header has {size:,} bytes, and no ResNet needs more than "
            f"{MAX_HEADER_BYTES:,}: it is malicious, or of another kind of model."
        )
