"""Where the tensors of a checkpoint lie in its file: what the process that reads a pickle answers.

Plain types, because that process starts for every checkpoint and imports as little as possible.
"""

from dataclasses import dataclass
from typing import Literal

DTYPES: dict[str, int] = {
    "float32": 4,
    "float64": 8,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}
Dtype = Literal["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


@dataclass(frozen=True, kw_only=True)
class Storage:
    """`size` bytes that begin at `start` of the file; `packed` bytes if they are deflated."""

    start: int
    size: int
    packed: int | None = None


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """A view of a storage; `offset` and `stride` count elements. `storage` is a place in the list of the index."""

    name: str
    dtype: Dtype
    storage: int
    offset: int
    shape: list[int]
    stride: list[int]


@dataclass(frozen=True, kw_only=True)
class Index:
    """The tensors of a state dict; `assumed` says which of several state dicts they are."""

    storages: list[Storage]
    tensors: list[StoredTensor]
    assumed: list[str]
    big_endian: bool = False
