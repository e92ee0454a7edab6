"""What a pickle may call: the few functions of a state dict, of which none runs here.

A pickle is a program. It runs with functions in the place of PyTorch's that only note down what they were called with.
The cost of what remains (keys that take long to hash, for example) is limited by the process that this runs in.
"""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, TypeGuard

from resnetx.errors import CheckpointError
from resnetx.weights.untrusted import clip

RESAVE = "If you trust the file, load it in the program that wrote it and save only the state dict."
_STORAGES = {
    "Float": "float32",
    "Double": "float64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
}


@dataclass(frozen=True, slots=True)
class StorageType:
    """The class of a storage; it cannot be called."""

    dtype: str


@dataclass(frozen=True, slots=True)
class PickledStorage:
    """A storage by its key in the file; a view of another begins `offset` elements after its beginning."""

    key: str
    dtype: str
    numel: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class PickledTensor:
    storage: PickledStorage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Entries(dict[Any, Any]):
    """An OrderedDict or Counter; the attributes that a pickle sets on it are dropped."""

    def __setstate__(self, state: object) -> None:
        pass


class Opaque:
    """A value that no weights consist of: a device, a type, a set."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _tensor(storage: object, offset: object, shape: object, stride: object, *_: object) -> PickledTensor:
    shape, stride = _numbers(shape), _numbers(stride)
    if not isinstance(storage, PickledStorage) or not _is_number(offset) or len(shape) != len(stride):
        raise ValueError("a tensor is made of something else than a storage, an offset, a shape and strides")
    return PickledTensor(storage=storage, offset=offset, shape=shape, stride=stride)


def _parameter(data: object = None, *_: object) -> object:
    return data


def _size(numbers: object = ()) -> tuple[int, ...]:
    return _numbers(numbers)


def _encode(text: object, encoding: object = "utf-8") -> bytes:
    """Bytes as protocol 2 writes them. Other codecs can double their input."""
    if not isinstance(text, str) or encoding != "latin1":
        raise CheckpointError(
            f"its pickle encodes text as {clip(encoding) if isinstance(encoding, str) else 'something else'}, "
            "which weights do not need; `torch.save` writes bytes as latin1 only, so the file is malicious. {RESAVE}"
        )
    return text.encode("latin1")


def _numbers(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > 16 or not all(_is_number(each) for each in value):
        raise ValueError("a shape or a stride is not a short tuple of numbers")
    return value


def _is_number(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 2**60


HARMLESS: dict[str, Callable[..., Any] | StorageType] = {
    "collections.OrderedDict": Entries,
    "collections.Counter": Entries,
    "builtins.set": Opaque,
    "__builtin__.set": Opaque,
    "_codecs.encode": _encode,
    "torch.Size": _size,
    "torch.device": Opaque,
    "torch.nn.parameter.Parameter": _parameter,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    **{f"torch.{name}Storage": StorageType(dtype) for name, dtype in _STORAGES.items()},
    **{
        f"torch.{dtype}": Opaque
        for dtype in ("float16", "bfloat16", "float32", "float64", "int64", "int32", "uint8", "bool")
    },
}


class StateUnpickler(pickle.Unpickler):
    """Runs a pickle with noting functions in the place of PyTorch's; `dtypes` are those of the storages by key."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream)
        self.dtypes: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in HARMLESS:
            raise CheckpointError(
                f"its pickle would call {clip(f'{module}.{name}')} on loading, which weights do not need: it contains "
                "more than tensors (a whole module, objects of a training script), or it is malicious. None of its "
                f"code was run. {RESAVE}"
            )
        return HARMLESS[f"{module}.{name}"]

    def persistent_load(self, identifier: Any) -> PickledStorage:
        match identifier:
            case ("storage", StorageType(dtype), str(key), _, numel, *rest) if _is_number(numel):
                self.dtypes[key] = dtype
                match rest:
                    case [] | [None]:
                        return PickledStorage(key, dtype, numel)
                    case [(_, offset, size)] if _is_number(offset) and _is_number(size):
                        return PickledStorage(key, dtype, size, offset)
        raise ValueError("a storage is described in a way that PyTorch doesn't use")


def run_pickle(stream: IO[bytes]) -> tuple[Any, dict[str, str]]:
    """The object in one pickle, and the types of its storages; errors in it become one CheckpointError."""
    try:
        unpickler = StateUnpickler(stream)
        return unpickler.load(), unpickler.dtypes
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:  # unpickling raises many exception types on malformed bytes
        raise damaged(error) from error


def damaged(error: Exception) -> CheckpointError:
    reason = str(error).split("\n", maxsplit=1)[0]
    return CheckpointError(
        f"it looks like a PyTorch file, but cannot be read ({type(error).__name__}: {clip(reason, 200)}): "
        "it is truncated, damaged, or contains more than tensors; fetch or save it again."
    )
