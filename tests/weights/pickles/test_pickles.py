"""Pickles: everything that PyTorch writes is read as PyTorch reads it; what costs more than its size is refused."""

import io
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resnetx.errors import CheckpointError
from resnetx.weights.pickles import archive
from resnetx.weights.pickles.calls import HARMLESS, PickledTensor, run_pickle
from resnetx.weights.readers import read_tensors, torch_archive
from resnetx.weights.readers.indexed import check_index
from tests.support.measured import measured

# Opcodes by hand: pickle.dumps writes none of these.
PROTO, STOP, MARK, TUPLE, TUPLE1, TUPLE2, TUPLE3 = b"\x80\x02", b".", b"(", b"t", b"\x85", b"\x86", b"\x87"
REDUCE, EMPTY_DICT, SETITEM, BUILD, DUP, POP, NEWOBJ, EMPTY_LIST = b"R", b"}", b"s", b"b", b"2", b"0", b"\x81", b"]"
ENCODE = b"c_codecs\nencode\n"
ORDERED = b"ccollections\nOrderedDict\n"


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def put(index: int) -> bytes:
    return b"q" + bytes([index])


def get(index: int) -> bytes:
    return b"h" + bytes([index])


def zipped(path: Path, pickled: bytes, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("archive/data.pkl", pickled)
        for name, data in files.items():
            target.writestr(f"archive/data/{name}", data)
    return path


def nested(depth: int) -> bytes:
    """A tuple of itself twice, to a depth: its hash takes 2^depth steps."""
    return text("x") + b"".join(DUP + TUPLE2 for _ in range(depth))


def encoded(encoding: str, times: int, value: str = "ab") -> bytes:
    code = text(value)
    for _ in range(times):
        code = ENCODE + code + text(encoding) + TUPLE2 + REDUCE
    return code


def storage(key: str = "0", numel: bytes = b"K\x04", kind: bytes = b"ctorch\nFloatStorage\n") -> bytes:
    return MARK + text("storage") + kind + text(key) + text("cpu") + numel + TUPLE + b"Q"


def numbers(*values: int) -> bytes:
    return MARK + b"".join(b"\x8a\x09" + value.to_bytes(9, "little", signed=True) for value in values) + TUPLE


def tensor(shape: bytes, stride: bytes, offset: bytes = b"K\x00", held: bytes | None = None) -> bytes:
    arguments = (held or storage()) + offset + shape + stride + b"\x89" + EMPTY_DICT
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + MARK + arguments + TUPLE + REDUCE


def state(value: bytes) -> bytes:
    return PROTO + EMPTY_DICT + text("fc.weight") + value + SETITEM + STOP


HUGE_INT = b"\x8b" + struct.pack("<i", 2**20) + b"\x01" * 2**20
EXPONENTIAL = {
    "nested tuples as a key": PROTO + EMPTY_DICT + nested(60) + text("v") + SETITEM + STOP,
    "nested tuples in a set": PROTO + b"c__builtin__\nset\n" + EMPTY_LIST + nested(60) + b"a" + TUPLE1 + REDUCE + STOP,
    "nested tuples in a frozen set": b"\x80\x04(" + nested(60) + b"\x91.",
    "nested tuples in an OrderedDict": (
        PROTO + ORDERED + EMPTY_LIST + nested(60) + text("v") + TUPLE2 + b"a" + TUPLE1 + REDUCE + STOP
    ),
    "nested tuples in a Counter": (
        PROTO + b"ccollections\nCounter\n" + EMPTY_DICT + nested(60) + b"K\x01" + SETITEM + TUPLE1 + REDUCE + STOP
    ),
    "nested tuples as the key of a storage": state(
        tensor(
            numbers(1),
            numbers(1),
            held=MARK
            + text("storage")
            + b"ctorch\nFloatStorage\n"
            + nested(60)
            + text("cpu")
            + b"K\x01"
            + TUPLE
            + b"Q",
        )
    ),
    "nested tuples as a codec": PROTO + ENCODE + text("a") + nested(60) + TUPLE2 + REDUCE + STOP,
    "nested tuples as a size": PROTO + b"ctorch\nSize\n" + nested(60) + TUPLE1 + REDUCE + STOP,
    "nested tuples as the only content": PROTO + nested(60) + STOP,
    "nested tuples as an entry": PROTO + EMPTY_DICT + text("a") + nested(60) + SETITEM + STOP,
}
COSTLY = {
    **EXPONENTIAL,
    "hex": PROTO + encoded("hex", 40) + STOP,
    "hex once": PROTO + encoded("hex", 1) + STOP,
    "punycode": PROTO + ENCODE + text("\u00fc" * 20_000) + text("punycode") + TUPLE2 + REDUCE + STOP,
    "idna": PROTO + ENCODE + text("\u00fc" * 20_000) + text("idna") + TUPLE2 + REDUCE + STOP,
    "another spelling": PROTO + encoded("latin-1", 1) + STOP,
    "utf-32": PROTO + encoded("utf-32", 1) + STOP,
    "an error handler": PROTO + ENCODE + text("a") + text("latin1") + text("replace") + TUPLE3 + REDUCE + STOP,
    "a keyword": PROTO + ENCODE + text("a") + TUPLE1 + REDUCE + STOP,
    "stride 0": state(tensor(numbers(2**19, 2**19), numbers(0, 0))),
    "overlap": state(tensor(numbers(2, 2), numbers(1, 1))),
    "shape beyond the storage": state(tensor(numbers(2**40), numbers(1))),
    "offset beyond the storage": state(tensor(numbers(2), numbers(1), offset=b"K\x03")),
    "stride beyond the storage": state(tensor(numbers(2), numbers(4))),
    "a negative shape": state(tensor(numbers(-4), numbers(1))),
    "a negative stride": state(tensor(numbers(2), numbers(-1), offset=b"K\x01")),
    "a negative offset": state(tensor(numbers(2), numbers(1), offset=b"J\xff\xff\xff\xff")),
    "a shape of 2^70": state(tensor(MARK + HUGE_INT + TUPLE, numbers(1))),
    "many dimensions": state(tensor(numbers(*[1] * 40), numbers(*[1] * 40))),
    "a storage larger than its entry": state(tensor(numbers(2**19), numbers(1), held=storage(numel=b"J\0\0\0\x7f"))),
    "a storage that is missing": state(tensor(numbers(1), numbers(1), held=storage(key="7"))),
    "a tensor as a storage": state(tensor(numbers(1), numbers(1), held=tensor(numbers(1), numbers(1)))),
    "a class as a storage": state(tensor(numbers(1), numbers(1), held=b"ctorch\nFloatStorage\n")),
    "a storage called": PROTO + b"ctorch\nFloatStorage\n" + b"J\0\0\0\x7f" + TUPLE1 + REDUCE + STOP,
    "a storage made anew": PROTO + b"ctorch\nFloatStorage\n" + b"J\0\0\0\x7f" + TUPLE1 + NEWOBJ + STOP,
    "bytes made anew": PROTO + b"cbuiltins\nbytes\n" + b"J\0\0\0\x7f" + TUPLE1 + NEWOBJ + STOP,
    "a large buffer": b"\x80\x05\x96" + struct.pack("<Q", 2**33) + STOP,
    "a large text": PROTO + b"\x8d" + struct.pack("<Q", 2**33) + STOP,
    "a large frame": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + STOP,
    "a large memo": PROTO + b"N" + b"r" + struct.pack("<I", 2**31) + STOP,
    "attributes of a tensor": state(
        tensor(numbers(1), numbers(1))
        + MARK
        + b"N"
        + EMPTY_DICT
        + text("shape")
        + numbers(2**40)
        + SETITEM
        + TUPLE
        + BUILD
    ),
    "an extension": PROTO + b"\x82\x01" + STOP,
    "another class": PROTO + b"ctorch.storage\n_load_from_bytes\n" + text("a") + TUPLE1 + REDUCE + STOP,
    "a parameter made of itself": PROTO + b"ctorch._utils\n_rebuild_parameter\n" + REDUCE * 3 + STOP,
    "thousands of nested lists": PROTO + EMPTY_LIST * 100_000 + b"a" * 99_999 + STOP,
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_archive, "TIMEOUT_S", 3.0)


@pytest.mark.parametrize("name", COSTLY)
def test_what_costs_more_than_its_size_is_refused(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "w.pt", COSTLY[name], **{"0": bytes(16)})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError) as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 800
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_the_process_that_reads_is_the_one_that_pays(tmp_path: Path) -> None:
    """The file's process is ended by its limits: the memory of it stays below 1.5 GB, its time below the limit."""
    path = zipped(tmp_path / "w.pt", EXPONENTIAL["nested tuples as a key"])
    # A list that is copied into a new one over and over: quadratic in the size of the file.
    doubling = PROTO + EMPTY_LIST + put(0) + POP + ORDERED + POP
    items = b"(" + b"K\x01" * 2**20 + b"l" + put(1) + POP
    copies = b"".join(b"(" + get(1) + b"\x85" + b"t" for _ in range(8))
    for each in (path, zipped(tmp_path / "x.pt", doubling + items + copies + STOP)):
        script = f"""
from pathlib import Path
from resnetx.weights.readers import read_tensors, torch_archive
torch_archive.TIMEOUT_S = 3.0
read_tensors(Path({str(each)!r}))
"""
        status, said, peak = measured([sys.executable, "-c", script])
        assert status == 1 and "CheckpointError" in said
        assert peak < 1.5 * 2**30


def test_only_noting_functions_stand_in_for_calls() -> None:
    """None of them is PyTorch's or Python's own: what is called is ours."""
    for name, function in HARMLESS.items():
        module = getattr(function, "__module__", type(function).__module__)
        assert module == "resnetx.weights.pickles.calls", name


def test_the_process_does_not_import_torch() -> None:
    code = "import resnetx.weights.pickles.worker, sys; print({'torch', 'numpy', 'pydantic'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


# What PyTorch writes.

DTYPES = (
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
)


def transposed() -> torch.Tensor:
    return torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1)


def window() -> torch.Tensor:
    return torch.arange(100.0)[7:31:3]


def shared() -> dict[str, torch.Tensor]:
    whole = torch.arange(12.0).reshape(3, 4)
    return {"a": whole, "b": whole, "c": whole[1], "d": whole.T}


CONTENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "types": lambda: {str(dtype): torch.tensor([0, 1, 1]).to(dtype) for dtype in DTYPES},
    "views": lambda: {"transposed": transposed(), "window": window()},
    "shared": shared,
    "scalars and nothing": lambda: {"scalar": torch.tensor(3.0), "nothing": torch.zeros(0), "flat": torch.zeros(2, 0)},
    "parameters": lambda: {"p": torch.nn.Parameter(torch.ones(2)), "q": torch.nn.Parameter(torch.ones(2), False)},
    "channels last": lambda: {"w": torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)},
    "ordered": lambda: torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)).state_dict(),
    "training": lambda: {
        "state_dict": {"w": torch.ones(3)},
        "epoch": 3,
        "optimizer": {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1}]},
        "sizes": torch.Size([2, 3]),
        "device": torch.device("cpu"),
        "dtype": torch.float32,
        "milestones": Counter({30: 1}),
        "kinds": {1, 2},
        "bytes": b"\x00\xff",
        "nothing": None,
        "text": "\u00fc",
        "order": OrderedDict(a=1),
    },
}


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("protocol", [2, 4])
def test_what_pytorch_writes_is_read_as_pytorch_reads_it(
    tmp_path: Path, name: str, is_zip: bool, protocol: int
) -> None:
    torch.save(CONTENTS[name](), tmp_path / "w.pt", _use_new_zipfile_serialization=is_zip, pickle_protocol=protocol)
    theirs = torch.load(tmp_path / "w.pt", weights_only=False)
    theirs = theirs.get("state_dict", theirs)
    ours = read_tensors(tmp_path / "w.pt").tensors
    assert ours.keys() == theirs.keys()
    for key, tensor in theirs.items():
        assert torch.equal(ours[key], tensor) and ours[key].dtype == tensor.dtype, key


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_view_of_a_storage(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Random views without overlap, in this process: the index says what PyTorch's tensors say of themselves."""
    shape = data.draw(st.lists(st.integers(0, 4), max_size=4))
    order = data.draw(st.permutations(range(len(shape))))
    whole = torch.arange(float(max(1, torch.Size(shape).numel())) + 3)[3:].reshape(shape if 0 not in shape else [-1])
    view = whole.permute(order) if 0 not in shape else torch.zeros(shape)
    buffer = io.BytesIO()
    torch.save({"v": view}, buffer)
    path = tmp_path_factory.mktemp("views") / "v.pt"
    path.write_bytes(buffer.getvalue())
    index = archive.index_archive(path)
    check_index(index)
    (found,) = index.tensors
    assert (found.shape, found.stride, found.offset) == (list(view.shape), list(view.stride()), view.storage_offset())


def test_a_deflated_archive_and_one_of_the_other_byte_order(tmp_path: Path) -> None:
    torch.save({"w": torch.tensor([1.0, 2.0]), "b": torch.tensor([1], dtype=torch.uint8)}, tmp_path / "w.pt")
    with (
        zipfile.ZipFile(tmp_path / "w.pt") as source,
        zipfile.ZipFile(tmp_path / "z.pt", "w", zipfile.ZIP_DEFLATED) as z,
    ):
        for info in source.infolist():
            z.writestr(info.filename, source.read(info))
    assert torch.equal(read_tensors(tmp_path / "z.pt").tensors["w"], torch.tensor([1.0, 2.0]))
    with zipfile.ZipFile(tmp_path / "w.pt") as source, zipfile.ZipFile(tmp_path / "big.pt", "w") as z:
        for info in source.infolist():
            data = source.read(info)
            swapped = struct.pack(">2f", 1, 2) if len(data) == 8 else data
            z.writestr(info.filename, b"big" if info.filename.endswith("byteorder") else swapped)
    read = read_tensors(tmp_path / "big.pt").tensors
    assert torch.equal(read["w"], torch.tensor([1.0, 2.0])) and read["b"].tolist() == [1]


def test_a_worker_that_lies_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process reads hostile bytes; what it answers is checked again."""
    torch.save({"w": torch.ones(4)}, tmp_path / "w.pt")
    whole = archive.index_archive(tmp_path / "w.pt")
    (stored,), (view,) = whole.storages, whole.tensors
    lies: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {"shape": [2**40]}),
        ({}, {"storage": 1}),
        ({}, {"storage": -1}),
        ({}, {"offset": -1}),
        ({}, {"stride": [-1]}),
        ({}, {"stride": [0]}),
        ({}, {"stride": []}),
        ({"size": 2**40}, {}),
        ({"start": 2**40}, {}),
        ({"start": -8}, {}),
        ({"packed": 4}, {}),
    ]
    for in_storage, in_tensor in lies:
        lie = archive.Index(
            storages=[archive.Storage(**{**vars_of(stored), **in_storage})],
            tensors=[archive.StoredTensor(**{**vars_of(view), **in_tensor})],
            assumed=[],
        )
        monkeypatch.setattr(torch_archive, "_index", lambda path, legacy, lie=lie: lie)
        with pytest.raises(CheckpointError):
            read_tensors(tmp_path / "w.pt")


def vars_of(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def test_a_tensor_is_only_noted() -> None:
    loaded, dtypes = run_pickle(io.BytesIO(state(tensor(numbers(2), numbers(1)))))
    assert isinstance(loaded["fc.weight"], PickledTensor) and dtypes == {"0": "float32"}
    with pytest.raises(CheckpointError, match=r"would call posix\.system"):
        run_pickle(io.BytesIO(pickle.dumps(os.system)))
