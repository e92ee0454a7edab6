"""Reads files of `torch.save` without running any code in them.

A pickle is a program. Its calls are listed first and compared with the few that a state dict needs, because even
PyTorch's `weights_only` loader lets a file of 60 bytes allocate any amount of memory (`bytearray(n)`).
"""

import pickletools
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from resnetx.errors import CheckpointError
from resnetx.weights.readers.raw import MAX_BYTES, MAX_ENTRIES, RawCheckpoint, clip, listed

MAX_RATIO = 20
MAX_PICKLE_BYTES = 16 * 2**20
MAX_PICKLE_STEPS = 5_000_000
_DTYPES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
HARMLESS = {
    "collections.OrderedDict",
    "collections.Counter",
    "builtins.set",
    "__builtin__.set",
    "_codecs.encode",
    "torch.Size",
    "torch.device",
    "torch.nn.parameter.Parameter",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    *(f"torch.{dtype}Storage" for dtype in _DTYPES),
    *(f"torch.{dtype}" for dtype in ("float16", "bfloat16", "float32", "float64", "int64", "int32", "uint8", "bool")),
}
# Where training scripts store the state dict; the plain weights take precedence over their moving average.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params")
AVERAGED = ("model_ema", "state_dict_ema", "ema_state_dict", "ema_model", "ema")
RESAVE = "If you trust the file, load it in the program that wrote it and save only the state dict."


def is_torch_archive(names: Sequence[str]) -> bool:
    return any(name == "data.pkl" or name.endswith("/data.pkl") for name in names)


def read_archive(path: Path) -> RawCheckpoint:
    """The state dict in a zip archive of `torch.save`."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            total = _inspect(archive, path.stat().st_size)
            pickles = [info for info in archive.infolist() if info.filename.endswith("data.pkl")]
            if len(pickles) != 1 or pickles[0].file_size > MAX_PICKLE_BYTES:
                raise CheckpointError(
                    "it has no single data.pkl within the size limit, so `torch.save` did not write it."
                )
            with archive.open(pickles[0]) as stream:
                _check_pickles(stream, count=1)
            loaded = _load(file)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, NotImplementedError) as error:
        raise _damaged(error) from error
    return _state_dict(loaded, total)


def read_legacy(path: Path) -> RawCheckpoint:
    """The state dict in a file of PyTorch before 1.6: five pickles, then the tensor data."""
    try:
        with path.open("rb") as stream:
            _check_pickles(stream, count=5)
            loaded = _load(stream)
    except OSError as error:
        raise _damaged(error) from error
    return _state_dict(loaded, path.stat().st_size)


def _inspect(archive: zipfile.ZipFile, size: int) -> int:
    """Reject a decompression bomb or a TorchScript archive; return the unpacked size."""
    entries = archive.infolist()
    total = sum(entry.file_size for entry in entries)
    if any("/code/" in entry.filename or entry.filename.endswith("constants.pkl") for entry in entries):
        raise CheckpointError(
            "it is a TorchScript archive, which contains a program and not only weights. "
            "Save only the weights: `torch.save(torch.jit.load(file).state_dict(), 'weights.pt')`."
        )
    if len(entries) > MAX_ENTRIES:
        raise CheckpointError(f"the archive has {len(entries)} entries; no ResNet has more than {MAX_ENTRIES}.")
    packed = sum(entry.compress_size for entry in entries)
    if total > MAX_BYTES or total > MAX_RATIO * size + 2**20 or packed > size:
        raise CheckpointError(
            f"the archive has {size} bytes and unpacks to {total}: it looks like a decompression bomb, not weights."
        )
    return total


def _check_pickles(stream: IO[bytes], *, count: int) -> None:
    try:
        for _ in range(count):
            # One pickle at a time: a file that PyTorch did not write may have only one.
            _reject_calls([call for call in _calls(stream) if call not in HARMLESS])
    except CheckpointError:
        raise
    except Exception as error:  # pickletools raises many exception types on malformed bytes, but runs no code
        raise CheckpointError(
            f"its pickle is truncated, damaged or not PyTorch's ({clip(error, 200)}); fetch or save it again."
        ) from error


def _reject_calls(calls: list[str]) -> None:
    if calls:
        raise CheckpointError(
            f"its pickle would call {listed(dict.fromkeys(calls))} on loading, which weights do not need: "
            f"it contains more than tensors (a whole module, objects of a training script), or it is malicious. "
            f"None of its code was run. {RESAVE}"
        )


def _calls(stream: IO[bytes]) -> Iterator[str]:
    """What a pickle would import, in order."""
    strings: list[str] = []
    for step, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if step > MAX_PICKLE_STEPS:
            raise CheckpointError("its pickle has more opcodes than any state dict needs.")
        if opcode.name == "GLOBAL":
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(strings[-2:])
        elif opcode.name in ("INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"):
            yield str(argument or opcode.name).replace(" ", ".")
        elif isinstance(argument, str):
            strings = [*strings[-1:], argument]


def _load(file: IO[bytes]) -> Any:
    """Load the inspected file, through the same handle: given a path, PyTorch would consider its extension."""
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many exception types on malformed bytes
        raise _damaged(error) from error


def _damaged(error: Exception) -> CheckpointError:
    reason = str(error).split("\n", maxsplit=1)[0]
    return CheckpointError(
        f"it looks like a PyTorch file, but cannot be read ({type(error).__name__}: {clip(reason, 200)}): "
        "it is truncated, damaged, or contains more than tensors; fetch or save it again."
    )


def _state_dict(loaded: object, stored_bytes: int) -> RawCheckpoint:
    found, assumed = _unwrap(loaded)
    for name, value in found.items():
        _check_tensor(name, value)
    storages = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in found.values()}
    # A tensor may declare more bytes than its file contains; PyTorch then leaves the rest uninitialized.
    if sum(storages.values()) > stored_bytes or sum(v.numel() * v.element_size() for v in found.values()) > MAX_BYTES:
        raise CheckpointError("its tensors declare more bytes than the file contains: it is damaged or malicious.")
    return RawCheckpoint(tensors=found, assumed=assumed)


def _unwrap(loaded: object) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Find the state dict inside the dicts that training scripts wrap around it."""
    assumed: tuple[str, ...] = ()
    for _ in range(6):
        if not isinstance(loaded, Mapping):
            raise CheckpointError(
                f"it contains a {type(loaded).__name__}; expected a state dict (names to tensors). {RESAVE}"
            )
        wrapper = next((key for key in WRAPPERS + AVERAGED if isinstance(loaded.get(key), Mapping)), None)
        if wrapper is None:
            return _only_tensors(loaded), assumed
        averaged = [key for key in AVERAGED if key in loaded]
        if wrapper in AVERAGED:
            assumed = (*assumed, f"the averaged weights under {wrapper!r}, the only ones in the file")
        elif averaged:
            assumed = (*assumed, f"the weights under {wrapper!r}, not the moving average under {averaged[0]!r}")
        loaded = loaded[wrapper]
    raise CheckpointError(f"its state dict is nested more than six dicts deep. {RESAVE}")


def _only_tensors(loaded: Mapping[Any, Any]) -> dict[str, Tensor]:
    tensors = {key: value for key, value in loaded.items() if isinstance(value, Tensor)}
    others = [key for key in loaded if key not in tensors]
    if loaded and not tensors:
        raise CheckpointError(
            f"it is a dict without tensors (its keys: {listed(map(str, others))}); "
            f"the weights are expected at the top level or under one of {', '.join(WRAPPERS)}."
        )
    if others or not all(isinstance(key, str) for key in tensors):
        raise CheckpointError(
            f"its state dict contains entries that aren't named tensors: {listed(map(str, others or tensors))}."
        )
    return tensors


def _check_tensor(name: str, tensor: Tensor) -> None:
    if tensor.layout is not torch.strided or tensor.device != torch.device("cpu") or tensor.is_quantized:
        raise CheckpointError(
            f"{clip(name)} is a sparse, quantized or meta tensor; resnetx supports dense floating-point weights only."
        )
