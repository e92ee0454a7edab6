"""The state dict of a file of `torch.save`, both of its zip form and of the form before PyTorch 1.6, as an index."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from resnetx.errors import CheckpointError
from resnetx.weights.pickles.calls import (
    RESAVE,
    PickledTensor,
    damaged,
    run_pickle,
)
from resnetx.weights.pickles.index import DTYPES, Index, Storage, StoredTensor
from resnetx.weights.untrusted import MAX_BYTES, MAX_ENTRIES, clip, listed

MAX_RATIO = 20
MAX_PICKLE_BYTES = 16 * 2**20
LOCAL_HEADER = 30
# The pickles of the older form, before the data: a magic number, a version, the machine, the object, the keys.
LEGACY_PICKLES = 5
# Where training scripts store the state dict; the plain weights take precedence over their moving average.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params")
AVERAGED = ("model_ema", "state_dict_ema", "ema_state_dict", "ema_model", "ema")


def index_archive(path: Path) -> Index:
    """The state dict in a zip archive of `torch.save`."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            _inspect(archive, path.stat().st_size)
            pickles = [info for info in archive.infolist() if info.filename.endswith("data.pkl")]
            if len(pickles) != 1 or pickles[0].file_size > MAX_PICKLE_BYTES:
                raise CheckpointError(
                    "it has no single data.pkl within the size limit, so `torch.save` did not write it."
                )
            with archive.open(pickles[0]) as stream:
                loaded, _ = run_pickle(stream)
            folder = pickles[0].filename.removesuffix("data.pkl")
            entries = {info.filename: info for info in archive.infolist()}

            def find(key: str) -> Storage:
                info = entries.get(f"{folder}data/{key}")
                if info is None:
                    raise ValueError(f"the storage {clip(key)} is missing")
                return _entry(file, info)

            byteorder = entries.get(f"{folder}byteorder")
            big_endian = byteorder is not None and archive.read(byteorder).strip() == b"big"
            return _index(loaded, find, big_endian=big_endian)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, NotImplementedError) as error:
        raise damaged(error) from error


def index_legacy(path: Path) -> Index:
    """The state dict in a file of PyTorch before 1.6: five pickles, then each storage with its length."""
    try:
        with path.open("rb") as file:
            _, _, (machine, _), (loaded, dtypes), (keys, _) = (run_pickle(file) for _ in range(LEGACY_PICKLES))
            storages = _legacy_storages(file, keys, dtypes, path.stat().st_size)
            big_endian = isinstance(machine, dict) and machine.get("little_endian") is False

            def find(key: str) -> Storage:
                if key not in storages:
                    raise ValueError(f"the storage {clip(key)} is missing")
                return storages[key]

            return _index(loaded, find, big_endian=big_endian)
    except (OSError, ValueError) as error:
        raise damaged(error) from error


def _inspect(archive: zipfile.ZipFile, size: int) -> None:
    """Reject a decompression bomb or a TorchScript archive."""
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


def _entry(file: IO[bytes], info: zipfile.ZipInfo) -> Storage:
    """Where the data of an entry is: after its local header, whose length differs from the directory's."""
    file.seek(info.header_offset)
    header = file.read(LOCAL_HEADER)
    if len(header) != LOCAL_HEADER or not header.startswith(b"PK\x03\x04") or info.flag_bits & 1:
        raise ValueError(f"the entry {clip(info.filename)} has no valid header, or is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"the entry {clip(info.filename)} is compressed in a way that PyTorch doesn't use")
    name, extra = (int.from_bytes(header[place : place + 2], "little") for place in (26, 28))
    return Storage(
        start=info.header_offset + LOCAL_HEADER + name + extra,
        size=info.file_size,
        packed=info.compress_size if info.compress_type == zipfile.ZIP_DEFLATED else None,
    )


def _legacy_storages(file: IO[bytes], keys: object, dtypes: dict[str, str], size: int) -> dict[str, Storage]:
    if not isinstance(keys, list) or len(keys) > MAX_ENTRIES:
        raise ValueError("the list of its storages is not valid")
    found = {}
    for key in keys:
        if not isinstance(key, str) or key not in dtypes:
            raise ValueError("the list of its storages names one that does not exist")
        length = int.from_bytes(file.read(8), "little") * DTYPES[dtypes[key]]
        start = file.tell()
        if start + length > size:
            raise ValueError(f"the storage {clip(key)} has {length} bytes, more than the file")
        found[key] = Storage(start=start, size=length)
        file.seek(start + length)
    return found


def _index(loaded: object, find: Any, *, big_endian: bool) -> Index:
    state, assumed = _unwrap(loaded)
    places: dict[str, int] = {}
    storages: list[Storage] = []
    tensors = []
    for name, tensor in state.items():
        key = tensor.storage.key
        if key not in places:
            places[key] = len(storages)
            storages.append(find(key))
        tensors.append(
            StoredTensor(
                name=name,
                dtype=tensor.storage.dtype,  # type: ignore[arg-type]  # one of DTYPES
                storage=places[key],
                offset=tensor.storage.offset + tensor.offset,
                shape=list(tensor.shape),
                stride=list(tensor.stride),
            )
        )
    return Index(storages=storages, tensors=tensors, assumed=list(assumed), big_endian=big_endian)


def _unwrap(loaded: object) -> tuple[dict[str, PickledTensor], tuple[str, ...]]:
    """Find the state dict inside the dicts that training scripts wrap around it."""
    assumed: tuple[str, ...] = ()
    for _ in range(6):
        if not isinstance(loaded, Mapping):
            kind = "Tensor" if isinstance(loaded, PickledTensor) else type(loaded).__name__
            raise CheckpointError(f"it contains a {kind}; expected a state dict (names to tensors). {RESAVE}")
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


def _only_tensors(loaded: Mapping[Any, Any]) -> dict[str, PickledTensor]:
    tensors = {key: value for key, value in loaded.items() if isinstance(value, PickledTensor)}
    others = [_shown(key) for key in loaded if key not in tensors]
    if loaded and not tensors:
        raise CheckpointError(
            f"it is a dict without tensors (its keys: {listed(others)}); "
            f"the weights are expected at the top level or under one of {', '.join(WRAPPERS)}."
        )
    if others or not all(isinstance(key, str) for key in tensors):
        raise CheckpointError(
            f"its state dict contains entries that aren't named tensors: {listed(others or map(_shown, tensors))}."
        )
    return tensors


def _shown(key: object) -> str:
    """A key for a message; the text of nested containers may be without end."""
    return str(key) if isinstance(key, str | int | float | bytes | None) else type(key).__name__
