"""Golden bundles come from strangers: an archive is read exactly, or refused with one sentence and little memory."""

import random
import struct
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from resnetx.base.npz import NpzError, open_npz
from resnetx.errors import FileError

ARRAY = np.arange(12, dtype=np.float32).reshape(3, 4)


def read(path: Path) -> dict[str, np.ndarray]:
    with open_npz(path, most_bytes=2**30, what="a golden file") as arrays:
        return {name: arrays[name] for name in arrays.names}


@given(
    array=hnp.arrays(
        st.sampled_from(["<f4", ">f4", "<f8", "<f2", "<i8", "|u1", "?", "<U7"]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    ),
    fortran=st.booleans(),
    compressed=st.booleans(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_numpy_writes_is_read_as_numpy_reads_it(
    tmp_path: Path, array: np.ndarray, fortran: bool, compressed: bool
) -> None:
    kept = np.asfortranarray(array) if fortran else array
    (np.savez_compressed if compressed else np.savez)(tmp_path / "a.npz", **{"0/input/x": kept})
    found = read(tmp_path / "a.npz")["0/input/x"]
    assert found.dtype == kept.dtype and found.shape == kept.shape and found.tobytes() == kept.tobytes()


def header(text: str, data: bytes = b"", *, version: int = 1) -> bytes:
    raw = text.encode()
    length = struct.pack("<H" if version == 1 else "<I", len(raw))
    return b"\x93NUMPY" + bytes([version, 0]) + length + raw + data


def archive(*entries: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", method) as target:
        for name, data in entries:
            target.writestr(name, data)
    return stream.getvalue()


def one(text: str, data: bytes = b"", **options: int) -> bytes:
    return archive(("x.npy", header(text, data, **options)))


def pickled() -> bytes:
    stream = BytesIO()
    np.savez(stream, x=np.array([{}], dtype=object))
    return stream.getvalue()


def encrypted() -> bytes:
    data = bytearray(archive(("x.npy", header("{}"))))
    data[6] |= 1  # the flag in the entry, and in the directory
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


SHAPE = "{{'descr': '<f4', 'fortran_order': False, 'shape': {}}}"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: b"", "no complete"),
        (lambda: b"PK\x03\x04", "no complete"),
        (pickled, "only numbers and text"),
        (encrypted, "encrypted"),
        (lambda: archive(("x.npy", header(SHAPE.format("(1,)"), bytes(4))), method=zipfile.ZIP_LZMA), "unknown way"),
        (lambda: archive(("x.npy", bytes(2**26)), method=zipfile.ZIP_DEFLATED), "decompression bomb"),
        (lambda: archive(("x.npy", b"\x93NUMPY\x09\x00")), "not in numpy's format"),
        (lambda: one("(" * 4000), "damaged header"),
        (lambda: one("[" * 4000), "damaged header"),
        (lambda: one("-" * 4000 + "1"), "damaged header"),
        (lambda: one("(" * 60_000, version=2), "header of 60,000 bytes"),
        (lambda: one("{'descr': ["), "damaged header"),
        (lambda: one(SHAPE.format("(1e999,)")), "invalid shape"),
        (lambda: one(SHAPE.format("(-1,)")), "invalid shape"),
        (lambda: one(SHAPE.format("(True,)"), bytes(4)), "invalid shape"),
        (lambda: one(SHAPE.format("(281474976710655,)")), "takes"),
        (lambda: one(SHAPE.format("(2,)"), bytes(4)), "takes 8 bytes, but 4"),
        (lambda: one(SHAPE.format("(1,)").replace("<f4", "O"), bytes(8)), "only numbers and text"),
        (lambda: one(SHAPE.format("(1,)").replace("'<f4'", "[('a', '<f4')]"), bytes(4)), "only numbers and text"),
        (lambda: one(SHAPE.format("(1,)").replace("<f4", "(2,)f4"), bytes(8)), "only numbers and text"),
        (lambda: one(SHAPE.format(f"({'1,' * 40})"), bytes(4)), "damaged header"),
    ],
)
def test_a_hostile_archive_is_refused_in_a_sentence(tmp_path: Path, content: Callable[[], bytes], words: str) -> None:
    (tmp_path / "a.npz").write_bytes(content())
    with pytest.raises(NpzError, match=words) as refusal:
        read(tmp_path / "a.npz")
    assert len(str(refusal.value)) < 500


def test_two_entries_of_one_name_and_a_device_are_refused(tmp_path: Path) -> None:
    entry = ("x.npy", header(SHAPE.format("(1,)"), bytes(4)))
    with pytest.warns(UserWarning, match="Duplicate name"):
        (tmp_path / "a.npz").write_bytes(archive(entry, entry))
    with pytest.raises(NpzError, match="two arrays"):
        read(tmp_path / "a.npz")
    with pytest.raises(FileError, match="a device"):
        read(Path("/dev/zero"))


def test_damage_of_any_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=ARRAY, y=np.arange(5))
    whole = (tmp_path / "a.npz").read_bytes()
    rng = random.Random(0)
    refused = 0
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 3])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / "b.npz").write_bytes(bytes(data[: rng.choice([len(data), rng.randrange(len(data))])]))
        try:
            read(tmp_path / "b.npz")
        except (NpzError, FileError):
            refused += 1
    assert refused > 200
