"""Files that want to run code, fill the memory or crash the reader: one paragraph each, and nothing of them runs."""

import json
import os
import pickle
import random
import resource
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from resnetx.base.isolation import PYTHON
from resnetx.errors import CheckpointError, FileError, ResnetxError
from resnetx.weights.checkpoint import load_checkpoint
from resnetx.weights.readers import keras, torch_archive
from tests.weights.test_checkpoint import renamed, saved, state, tiny, write_keras, write_keras1

TINY_STATE = state(tiny(width=2))


def refusal(path: Path) -> str:
    """The one paragraph that a file is refused with."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = caught.value.message
    assert message.startswith(f"Cannot load the weights in {path}: ")
    assert "\n" not in message and len(message) < 1200
    return message


class Canary:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
def test_a_pickle_that_would_run_code(tmp_path: Path, form: str, protocol: int) -> None:
    path, canary = tmp_path / "evil.pt", tmp_path / "canary"
    content = {"state_dict": TINY_STATE, "extra": Canary(canary)}
    if form == "bare":
        path.write_bytes(pickle.dumps(content["extra"], protocol=protocol))
    else:
        zipped = form == "zip"
        torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    message = refusal(path)
    # Protocols 0 and 1 don't begin as PyTorch's files do, and protocol 0 cannot refer to storages.
    named = protocol >= 2 or (form, protocol) == ("zip", 1)
    assert ("would call" in message and "mkdir" in message) == named, message
    assert not canary.exists()
    # The canary is alive: loaded carelessly, it makes its file.
    pickle.loads(pickle.dumps(content["extra"]))
    assert canary.exists()


def torch_zip(path: Path, pickled: bytes, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", b"3\n")
        for name, data in files.items():
            archive.writestr(f"archive/data/{name}", data)
    return path


def call(name: str, argument: bytes) -> bytes:
    """A pickle of protocol 2 that calls `name` with one argument."""
    return b"\x80\x02c" + name.encode() + b"\n" + argument + b"\x85R."


@pytest.mark.parametrize(
    "name", ["builtins\nbytearray", "torch\nUntypedStorage", "torch\nTensor", "torch\nFloatTensor"]
)
def test_a_pickle_of_sixty_bytes_that_would_fill_the_memory(tmp_path: Path, name: str) -> None:
    # PyTorch's own safe loader runs these calls.
    path = torch_zip(tmp_path / "bomb.pt", call(name, b"\x8a\x05" + (2**38).to_bytes(5, "little")))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "would call" in refusal(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_a_zip_bomb(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr("archive/data/0", b"\0" * 2**26)
    assert (tmp_path / "bomb.pt").stat().st_size < 2**17
    assert "decompression bomb" in refusal(tmp_path / "bomb.pt")


def test_an_archive_of_too_many_entries(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "many.pt", "w") as archive:
        for index in range(20_100):
            archive.writestr(f"archive/{index}", b"")
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
    assert "20101 entries" in refusal(tmp_path / "many.pt")


def test_archives_that_torch_save_did_not_write(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=np.zeros(3))
    assert "neither PyTorch nor Keras" in refusal(tmp_path / "w.npz")
    script = torch_zip(tmp_path / "script.pt", b"\x80\x02}.")
    with zipfile.ZipFile(script, "a") as archive:
        archive.writestr("archive/constants.pkl", b"")
        archive.writestr("archive/code/__torch__.py", b"")
    assert "TorchScript" in refusal(script)
    double = torch_zip(tmp_path / "double.pt", b"\x80\x02}.")
    with zipfile.ZipFile(double, "a") as archive:
        archive.writestr("other/data.pkl", b"\x80\x02}.")
    assert "no single data.pkl" in refusal(double)
    (tmp_path / "empty.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    assert "neither PyTorch nor Keras" in refusal(tmp_path / "empty.zip")


def test_a_tensor_that_claims_more_than_the_file_holds(tmp_path: Path) -> None:
    """A view of stride 0 of one number, and a size beyond its storage."""
    huge = torch.zeros(1).expand(2**20, 2**20)
    torch.save(TINY_STATE | {"fc.weight": huge}, tmp_path / "wide.pt")
    assert "declare more bytes" in refusal(tmp_path / "wide.pt")
    torch.save(TINY_STATE, tmp_path / "ok.pt")
    with zipfile.ZipFile(tmp_path / "ok.pt") as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    name = next(name for name in entries if name.endswith("data.pkl"))
    # conv1.weight is (2, 3, 7, 7); 0x4b is the opcode of a small integer.
    assert entries[name].count(b"(K\x02K\x03K\x07K\x07t") == 1
    entries[name] = entries[name].replace(b"(K\x02K\x03K\x07K\x07t", b"(K\xffK\xffK\xffK\x07t")
    with zipfile.ZipFile(tmp_path / "big.pt", "w") as archive:
        for entry, data in entries.items():
            archive.writestr(entry, data)
    assert "declare more bytes" in refusal(tmp_path / "big.pt") or "cannot be read" in refusal(tmp_path / "big.pt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "contains no weights"),
        ({"state_dict": {}}, "contains no weights"),
        (OrderedDict(), "contains no weights"),
        ([1, 2], "contains a list"),
        (torch.zeros(3), "contains a Tensor"),
        ({"epoch": 3}, r"a dict without tensors \(its keys: epoch\)"),
        (TINY_STATE | {"epoch": 3}, "aren't named tensors: epoch"),
        ({1: torch.zeros(2)}, "aren't named tensors"),
        (TINY_STATE | {"bn1.bias": torch.zeros(2).to_sparse()}, "(sparse|would call)"),
        (TINY_STATE | {"bn1.bias": torch.zeros(2, device="meta")}, "(meta|would call)"),
        (TINY_STATE | {"bn1.bias": torch.zeros(2, dtype=torch.complex64)}, "(complex64|would call)"),
        (torch.nn.Linear(2, 2), "would call torch.nn.modules.linear.Linear"),
        ({"model": {"model": {"model": {"model": {"model": {"model": {"model": {}}}}}}}}, "more than six dicts"),
        ({"conv1\x1b[31m" + "x" * 5000: torch.zeros(3)}, "none of its tensors"),
    ],
    ids=range(14),
)
def test_things_that_are_no_state_dict(tmp_path: Path, content: Any, words: str) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(tmp_path / "w.pt")
    refusal(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"PK\x03\x04 and no directory", "its directory cannot be read"),
        (b"hello world, these are no weights", "its format is unknown"),
        (struct.pack("<Q", 2**40) + b"{}", "safetensors"),
        (struct.pack("<Q", 2) + b"{}", "contains no weights"),
        (struct.pack("<Q", 9) + b'{"a": [1]', "safetensors"),
        (b"\x80\x02" + b"(" * 4096, "truncated, damaged"),
        (b"\x80\x02}.", "truncated, damaged"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "Keras HDF5 file, but cannot be read"),
    ],
    ids=range(12),
)
def test_files_that_are_no_weights(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "w.bin").write_bytes(data)
    assert words in refusal(tmp_path / "w.bin")


def test_pipes_devices_and_closed_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(FileError, match="not a regular file"):
            load_checkpoint(path)
    with pytest.raises(FileError, match="no file"):
        load_checkpoint(tmp_path / "dangling")


@pytest.mark.parametrize("path", ["/proc/kmsg", "/proc/self/pagemap", "/proc/self/environ"])
def test_files_of_the_kernel_are_not_read(path: str) -> None:
    if not Path(path).exists():
        pytest.skip(f"there is no {path}")
    assert "the file is empty" in refusal(Path(path))


def test_a_header_as_large_as_a_network(tmp_path: Path) -> None:
    entries = ",".join(f'"{index}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for index in range(200_000))
    header = b"{" + entries.encode() + b"}"
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    assert "its header has" in refusal(tmp_path / "w.safetensors")


def test_a_file_too_large_for_any_resnet(tmp_path: Path) -> None:
    with (tmp_path / "large.safetensors").open("wb") as stream:
        stream.write(b"\x89HDF\r\n\x1a\n")
        stream.truncate(3 * 2**30)
    assert "3.0 GiB" in refusal(tmp_path / "large.safetensors")


def test_safetensors_of_odd_types(tmp_path: Path) -> None:
    assert "torch.int8" in refusal(saved(TINY_STATE | {"bn1.bias": torch.zeros(2, dtype=torch.int8)}, tmp_path))
    assert "float8" in refusal(saved(TINY_STATE | {"bn1.bias": torch.zeros(2).to(torch.float8_e4m3fn)}, tmp_path))


# Keras


def keras_file(folder: Path) -> Path:
    network = tiny(variant="v1", width=2)
    names = [name.removesuffix(".weight") for name, tensor in renamed(network, "keras").items() if tensor.ndim == 4]
    shapes = renamed(network, "keras")
    write_keras(network, folder / "k.h5", {name: np.zeros(shapes[f"{name}.weight"].shape[0]) for name in names})
    load_checkpoint(folder / "k.h5")
    return folder / "k.h5"


BIAS = "conv1_conv/conv1_conv/bias:0"


def external_link(file: h5py.File) -> None:
    file["conv1_conv/conv1_conv/extra"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file: h5py.File) -> None:
    file["conv1_conv/conv1_conv/extra"] = h5py.SoftLink("/predictions")


def external_storage(file: h5py.File) -> None:
    del file[BIAS]
    file.create_dataset(BIAS, shape=(2,), dtype="f4", external=[("/etc/passwd", 0, 8)])


def virtual(file: h5py.File) -> None:
    del file[BIAS]
    layout = h5py.VirtualLayout(shape=(2,), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(2,))
    file.create_virtual_dataset(BIAS, layout)


def compressed(file: h5py.File) -> None:
    del file[BIAS]
    file.create_dataset(BIAS, shape=(2**24,), dtype="f4", compression="gzip", fillvalue=0)


def unwritten(file: h5py.File) -> None:
    del file[BIAS]
    file.create_dataset(BIAS, shape=(2**40,), dtype="f8", chunks=(2**16,))


def unwritten_small(file: h5py.File) -> None:
    del file[BIAS]
    file.create_dataset(BIAS, shape=(2**20,), dtype="f8", chunks=(2**16,))


def circle(file: h5py.File) -> None:
    file["conv1_conv/conv1_conv/again"] = file["conv1_conv"]


def crowd(file: h5py.File) -> None:
    group = file.create_group("crowd")
    for index in range(8_100):
        group[f"{index}"] = file[BIAS]


def text_dataset(file: h5py.File) -> None:
    del file[BIAS]
    file[BIAS] = ["a", "b"]


def integers(file: h5py.File) -> None:
    del file[BIAS]
    file[BIAS] = np.zeros(2, dtype="int64")


def quad(file: h5py.File) -> None:
    del file[BIAS]
    file[BIAS] = np.zeros(2, dtype=np.longdouble)


def named_type(file: h5py.File) -> None:
    file["conv1_conv/type"] = np.dtype("f4")


def twice(file: h5py.File) -> None:
    file["conv1_conv/other/bias:0"] = np.zeros(2, dtype="f4")


def stray(file: h5py.File) -> None:
    file["conv1_conv/conv1_conv/poem"] = np.zeros(2, dtype="f4")


def group_for_dataset(file: h5py.File) -> None:
    file["layers"] = np.zeros(2, dtype="f4")


def no_layers(file: h5py.File) -> None:
    for name in list(file):
        del file[name]


def bad_config(file: h5py.File) -> None:
    file.attrs["model_config"] = '{"config": {"layers": [{"class_name": "Conv2D"}]}}'


def mixed_strides(file: h5py.File) -> None:
    layers = [
        {"class_name": "Conv2D", "config": {"name": name, "strides": [2, 2]}}
        for name in ("conv3_block1_1_conv", "conv4_block1_2_conv")
    ]
    file.attrs["model_config"] = json.dumps({"config": {"layers": layers}})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (external_link, "is a link (ExternalLink)"),
        (soft_link, "is a link (SoftLink)"),
        (external_storage, "is stored in another file"),
        (virtual, "is stored in another file"),
        (compressed, "is compressed"),
        (unwritten, "declares 8796093022208 bytes, but the file contains 0"),
        (unwritten_small, "declares 8388608 bytes, but the file contains 0"),
        (circle, "nested deeper"),
        (crowd, "more than 8000 groups and datasets"),
        (text_dataset, "not floating-point"),
        (integers, "is of type int64"),
        (quad, "not floating-point"),
        (named_type, "neither a group nor a dataset"),
        (twice, "two parameters bias"),
        (stray, "poem is not a parameter"),
        (group_for_dataset, "is a dataset, but Keras has a group there"),
        (no_layers, "contains no weights"),
        (bad_config, "configuration is not a valid model of layers"),
        (mixed_strides, "some of its blocks stride"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_hostile_keras_files(tmp_path: Path, change: Callable[[h5py.File], None], words: str) -> None:
    path = keras_file(tmp_path)
    with h5py.File(path, "r+") as file:
        change(file)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert words in refusal(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_a_keras_archive_that_is_a_bomb(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": []}}))
        archive.writestr("model.weights.h5", b"\0" * 2**26)
    assert "decompression bomb" in refusal(tmp_path / "bomb.keras")
    with zipfile.ZipFile(tmp_path / "npz.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.npz", b"")
    assert "no model.weights.h5" in refusal(tmp_path / "npz.keras")


def test_a_keras_model_inside_a_model(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "nested.weights.h5", "w") as file:
        file["layers/functional/layers/conv2d/vars/0"] = np.zeros((7, 7, 3, 2), dtype="f4")
    assert "a nested model" in refusal(tmp_path / "nested.weights.h5")


@pytest.mark.parametrize("module", [torch_archive, keras], ids=lambda module: module.__name__.rpartition(".")[2])
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.kill(os.getpid(), 11)", r"crashed \(SIGSEGV\)"),
        ("while True: pass", "did not answer within 3 s"),
        ("kept = [b'x' * 2**20 for _ in range(10**4)]; input()", "exceeded its memory limit of"),
    ],
    ids=["crash", "hang", "memory"],
)
def test_a_library_that_fails_takes_its_own_process_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, code: str, words: str
) -> None:
    (tmp_path / "scripted.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(module, "CHILD", (*PYTHON, "scripted"))
    monkeypatch.setattr(module, "TIMEOUT_S", 3.0)
    if module is keras:
        (tmp_path / "w").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    else:
        torch.save(TINY_STATE, tmp_path / "w")
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(tmp_path / "w")


# Damage of every kind


def small_files(folder: Path) -> list[Path]:
    save_file(TINY_STATE, folder / "a.safetensors")
    torch.save(TINY_STATE, folder / "a.pt")
    torch.save(TINY_STATE, folder / "b.pt", _use_new_zipfile_serialization=False)
    write_keras1(tiny(variant="textbook", width=2), folder / "a.h5")
    return [folder / "a.safetensors", folder / "a.pt", folder / "b.pt", folder / "a.h5", keras_file(folder)]


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    for whole in small_files(tmp_path):
        load_checkpoint(whole)
        data = whole.read_bytes()
        for part in (1, 8, 9, 100, len(data) // 3, len(data) // 2, len(data) - 100, len(data) - 1):
            (tmp_path / "cut").write_bytes(data[:part])
            refusal(tmp_path / "cut")


def test_damaged_bytes_are_loaded_or_refused_and_nothing_else(tmp_path: Path) -> None:
    rng = random.Random(0)
    for whole in small_files(tmp_path):
        for _ in range(10):
            data = bytearray(whole.read_bytes())
            for _ in range(rng.choice([1, 4, 32])):
                data[rng.randrange(min(len(data), rng.choice([256, 4096, len(data)])))] = rng.randrange(256)
            (tmp_path / "damaged").write_bytes(data)
            try:
                load_checkpoint(tmp_path / "damaged")
            except ResnetxError as error:
                assert "\n" not in str(error) and len(str(error)) < 1200
