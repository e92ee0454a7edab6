"""Golden bundles, benchmarks, images and labels."""

import io
import json
import os
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
from PIL import Image

from tests.fuzz.case import HOSTILE_TEXTS, Family, Setting, damaged

HEADERS = (
    "(" * 3000,
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1e999,)}",
    "[" * 4000,
    "{}",
    "1",
    "\x00",
    "-" * 4000,
)


def golden(setting: Setting) -> list[str]:
    rng = setting.rng
    data = setting.corpus.golden.read_bytes()
    match rng.randrange(4):
        case 0:
            data = damaged(rng, data)
        case 1:
            data = _with_header(setting, rng.choice(HEADERS))
        case 2:
            data = _with_arrays(setting)
        case _:
            data = _with_about(setting)
    command = ["verify", str(setting.corpus.model), "--golden", str(setting.write("g.npz", data))]
    return [*command, "--json", "out/r.json"] if rng.random() < 0.3 else command


def _entries(setting: Setting) -> dict[str, bytes]:
    with zipfile.ZipFile(setting.corpus.golden) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def _archive(setting: Setting, entries: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    method = setting.rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED])
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    data = bytearray(stream.getvalue())
    if setting.rng.random() < 0.1:  # encrypted, as it says
        data[6] |= 1
        data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def _with_header(setting: Setting, header: str) -> bytes:
    entries = _entries(setting)
    text = header.encode()
    entries[setting.rng.choice(sorted(entries))] = (
        b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(64)
    )
    return _archive(setting, entries)


def _with_arrays(setting: Setting) -> bytes:
    rng = setting.rng
    entries = _entries(setting)
    for _ in range(rng.choice([1, 3])):
        name = rng.choice(sorted(entries))
        array: Any = rng.choice(
            [
                np.zeros((3, 3), np.float32),
                np.full((2, 3, 32, 32), np.nan, np.float32),
                np.full((2, 3, 32, 32), 1e38, np.float32),
                np.zeros(0),
                np.array("text"),
                np.array([{}], dtype=object),
                np.zeros((1, 3, 32, 32), np.complex64),
                np.zeros((1, 5), np.int8),
                np.array(5.0),
                np.zeros(2**24, np.uint8),
            ]
        )
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=True)
        entries[name] = stream.getvalue()
    if rng.random() < 0.2:
        del entries[rng.choice(sorted(entries))]
    return _archive(setting, entries)


def _with_about(setting: Setting) -> bytes:
    rng = setting.rng
    entries = _entries(setting)
    about = json.loads(str(np.load(io.BytesIO(entries["about.npy"]))))
    values = (None, -1, 0, 10**9, 1.5, "x", [], ["a"], [""], {}, HOSTILE_TEXTS[0], ["x" * 10_000], [0, 10**9], True)
    about[rng.choice([*sorted(about), "extreme_batches"])] = rng.choice(values)
    text = json.dumps(about)
    if rng.random() < 0.2:
        text = rng.choice(["[" * 100_000, "1e999", "NaN", "", "{}", '{"schema": "resnetx.golden/9"}'])
    stream = io.BytesIO()
    np.save(stream, np.array(text))
    entries["about.npy"] = stream.getvalue()
    return _archive(setting, entries)


def results(setting: Setting) -> list[str]:
    rng = setting.rng
    text = setting.corpus.result.read_text()
    if rng.random() < 0.3:
        data: bytes | str = damaged(rng, text.encode(), b'[{"a":1e999,NaN}]')
    else:
        data = json.dumps(_strange(setting, json.loads(text)))
    path = str(setting.write("b.json", data))
    pair = [path, str(setting.corpus.result)]
    rng.shuffle(pair)
    targets = ["--json", "out/c.json", "--markdown", "out/c.md"] if rng.random() < 0.4 else []
    match rng.randrange(6):
        case 0:
            command = ["bench", str(setting.corpus.plain), "--provider", "cpu", "--duration", "0.1", "--rounds", "2"]
            return [*command, "--timeout", "10", "--against", path]
        case _:
            return ["compare", *pair, "--any-machine", *targets]


def _strange(setting: Setting, data: Any) -> Any:
    rng = setting.rng
    for _ in range(rng.choice([1, 1, 3])):
        inner: Any = data
        while True:
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(inner[key], dict | list) and rng.random() < 0.8:
                inner = inner[key]
                continue
            values = [None, -1, 0, 1e300, 10**30, True, "", [], {}, *HOSTILE_TEXTS[:6], float("nan"), float("inf")]
            inner[key] = rng.choice(values)
            break
    return data


def images(setting: Setting) -> list[str]:
    rng = setting.rng
    folder = setting.folder / "images"
    folder.mkdir()
    for index in range(2):
        Image.new("RGB", (40, 40), (index, 3, 5)).save(folder / f"b{index}.png")
    stream = io.BytesIO()
    form = rng.choice(["PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM"])
    Image.effect_noise((50, 60), 40).convert("RGB").save(stream, format=form)
    strange = folder / f"a{rng.choice(['.png', '.jpg', '.TIFF', '.webp', '.bmp', '.ppm'])}"
    match rng.randrange(8):
        case 0:
            os.mkfifo(strange)
        case 1:
            strange.symlink_to(rng.choice(["/dev/zero", "/dev/null", "nothing", "a.png", "."]))
        case 2:
            size = rng.choice(
                [(1, 10**7), (10**7, 1), (2**31 - 1, 2**31 - 1), (0, 0), (50_000, 50_000), (9_000, 9_000)]
            )
            strange.write_bytes(_png(*size, zlib.compress(bytes(10**6))))
        case 3:
            mode = rng.choice(["1", "L", "P", "CMYK", "LAB", "F", "I", "I;16", "RGBA", "YCbCr", "LA"])
            source = Image.new("RGB", (30, 30)) if mode in ("LAB", "YCbCr", "CMYK", "RGBA", "P", "1", "LA") else None
            image = source.convert(mode) if source and mode != "LAB" else Image.new(mode, (30, 30))
            image.save(strange, format="TIFF")
        case _:
            strange.write_bytes(damaged(rng, stream.getvalue()))
    return ["verify", str(setting.corpus.model), "--images", str(rng.choice([folder, folder, strange]))]


def _png(width: int, height: int, data: bytes) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def labels(setting: Setting) -> list[str]:
    rng = setting.rng
    texts = (
        *('["a", "\\ud800", "c", "d", "e"]', "[" * 100_000, '["a", 1e999]', '{"0": "a", "5": "b"}', "\x1b[2J\n" * 5),
        *("\n" * 100, "x" * 10**6, "a\nb\nc\n", "", '{"a": ' * 1000, "[1,2,3,4,5]", '["a","b","c","d",NaN]', "null"),
    )
    text = rng.choice(texts)
    data = damaged(rng, text.encode()) if rng.random() < 0.5 else text.encode()
    path: str = str(setting.write("labels", data))
    if rng.random() < 0.3:
        path = rng.choice(["/dev/zero", "/dev/urandom", ".", "nothing", "x" * 5000])
    return [
        *("export", "--stages", "1", "--width", "1", "--classes", "17", "--image-size", "32"),
        "--labels",
        path,
        "-o",
        "out/m.onnx",
    ]


FAMILIES = {
    "golden": Family(build=golden, share=5),
    "results": Family(build=results, share=18),
    "images": Family(build=images, share=2),
    "labels": Family(build=labels, share=6),
    "real results": Family(build=results, share=0.25, real=True),
}
