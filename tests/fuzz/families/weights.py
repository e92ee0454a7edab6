"""Checkpoints: damaged files of every format, pickles that call or grow, headers that lie."""

import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from random import Random

import torch

from tests.fuzz.case import HOSTILE_TEXTS, Family, Setting, damaged


def export(setting: Setting, name: str, data: bytes) -> list[str]:
    return [
        "export",
        "--weights",
        str(setting.write(name, data)),
        "--image-size",
        "32",
        "--classes",
        "3",
        "-o",
        "out/m.onnx",
    ]


def checkpoint_bytes(setting: Setting) -> list[str]:
    """`--classes 3` contradicts whatever is read, so that a checkpoint which is harmlessly damaged is refused, too."""
    corpus, rng = setting.corpus, setting.rng
    source = rng.choice([corpus.safe, corpus.zipped, corpus.legacy, corpus.keras])
    return export(setting, "w" + source.suffix, damaged(rng, source.read_bytes(), corpus.legacy.read_bytes()))


def safetensors_header(setting: Setting) -> list[str]:
    rng = setting.rng
    data = setting.corpus.safe.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    name = rng.choice(sorted(header))
    match rng.randrange(7):
        case 0:
            header[name]["shape"] = rng.choice([[2**40], [-1], [], [0], [2**62, 2**62], "x", [1.5]])
        case 1:
            header[name]["dtype"] = rng.choice(["F64", "I8", "X", "", None, "BF16", "F8_E4M3", "C64"])
        case 2:
            header[name]["data_offsets"] = rng.choice([[0, 2**62], [-1, 4], [4, 0], [0], "x", [0, 0]])
        case 3:
            header[rng.choice(HOSTILE_TEXTS)] = header.pop(name)
        case 4:
            header["__metadata__"] = rng.choice([None, {"a": 1}, {"a": "x" * 100_000}, [], HOSTILE_TEXTS[0]])
        case 5:
            header = json.loads("[" * 500 + "]" * 500)
        case _:
            header |= {f"layer{index}": header[name] for index in range(20_000)}
    text = json.dumps(header).encode()
    length = rng.choice([len(text), len(text), 2**40, 0, 2**63])
    return export(setting, "w.safetensors", struct.pack("<Q", length) + text + data[8 + size :])


class Call:
    """Unpickled, it is the result of a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.function, self.arguments


def pickled(rng: Random) -> bytes:
    """A stream of opcodes that costs more than it weighs, or calls what it should not."""
    match rng.randrange(11):
        case 0:
            return pickle.dumps({"a": Call(eval, "1")}, protocol=2)
        case 1:  # nested encodings double each time
            inner = b"X\x04\x00\x00\x00abcd"
            for _ in range(rng.choice([10, 28, 40])):
                inner = b"c_codecs\nencode\n(" + inner + b"X\x03\x00\x00\x00hextR"
            return b"\x80\x02" + inner + b"."
        case 2:  # tuples of themselves, hashed as keys
            inner = b"K\x01"
            body = inner + b"".join(b"2\x86" for _ in range(rng.choice([10, 30, 60])))
            return b"\x80\x02}" + body + b"K\x01s."
        case 3:
            return b"\x80\x02" + b"(" * rng.choice([100, 100_000]) + b"t" * rng.choice([10, 100_000]) + b"."
        case 4:
            return b"\x80\x02\x8b" + struct.pack("<i", rng.choice([2**31 - 1, -1, 10])) + b"\xff" * 100 + b"."
        case 5:
            return b"\x80\x04\x8d" + struct.pack("<Q", rng.choice([2**62, 2**33, 5])) + b"abc."
        case 6:
            return b"\x80\x05\x96" + struct.pack("<Q", rng.choice([2**62, 2**33])) + b"abc."
        case 7:
            name = rng.choice(
                ["builtins\nbytearray", "torch\nempty", "torch\nTensor", "os\nsystem", "collections\nCounter"]
            )
            return b"\x80\x02c" + name.encode() + b"\n\x8a\x05" + (2**38).to_bytes(5, "little") + b"\x85R."
        case 8:
            return pickle.dumps(
                OrderedDict((f"k{index}", index) for index in range(rng.choice([10, 50_000]))), protocol=2
            )
        case 9:
            return b"\x80\x02" + b"]" * rng.choice([10, 100_000]) + b"a" * rng.choice([5, 99_999]) + b"."
    return (
        b"\x80\x02c_codecs\nencode\nX"
        + struct.pack("<I", 300_000)
        + b"a" * 300_000
        + b"X\x08\x00\x00\x00punycode\x86R."
    )


def pickles(setting: Setting) -> list[str]:
    rng = setting.rng
    data = pickled(rng)
    if rng.random() < 0.3:
        data = damaged(rng, data)
    if rng.random() < 0.4:
        return export(setting, "w.pt", data)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", b"3\n")
        if rng.random() < 0.3:
            archive.writestr("archive/data/0", bytes(2**22))
    return export(setting, "w.pt", stream.getvalue())


def strange_tensors(setting: Setting) -> list[str]:
    rng = setting.rng
    tensors = torch.load(setting.corpus.zipped, weights_only=True)
    name = rng.choice(sorted(tensors))
    shape = tuple(tensors[name].shape)
    tensors[name] = rng.choice(
        [
            torch.zeros(1).expand(2**20, 2**20),
            torch.zeros(1).expand(shape),
            torch.full(shape, float("nan")),
            torch.full(shape, 1e38),
            torch.zeros(shape, dtype=torch.complex64),
            torch.zeros(shape, dtype=torch.int64),
            torch.zeros(0),
            torch.zeros((1,) * 60),
            torch.zeros(3).to_sparse(),
            "text",
            None,
            [1, [2, [3]]],
        ]
    )
    if rng.random() < 0.2:
        tensors[rng.choice(HOSTILE_TEXTS)] = torch.zeros(2)
    stream = io.BytesIO()
    torch.save(tensors, stream, _use_new_zipfile_serialization=rng.random() < 0.7)
    return export(setting, "w.pt", stream.getvalue())


def folders(setting: Setting) -> list[str]:
    """A Hugging Face folder whose configuration is strange."""
    rng = setting.rng
    folder = setting.folder / "hf"
    folder.mkdir()
    config = {
        "model_type": "resnet",
        "depths": [1, 1],
        "hidden_sizes": [4, 8],
        "embedding_size": 4,
        "layer_type": "basic",
    }
    key = rng.choice([*sorted(config), "num_channels", "id2label", "hidden_act", "architectures", "label2id"])
    values = (None, -1, 10**30, 1.5, "x", [], {}, [10**9], [-1], [200] * 9, {"0": "\ud800"}, {"x": 1}, HOSTILE_TEXTS[0])
    config[key] = rng.choice(values)
    text = json.dumps(config)
    if rng.random() < 0.3:
        text = rng.choice(["[" * 100_000, '{"a": 1e999}', "", "null", "\x00", text[:-3], '{"model_type": NaN}'])
    (folder / "config.json").write_text(text)
    (folder / "model.safetensors").write_bytes(setting.corpus.safe.read_bytes())
    return ["export", "--weights", str(folder), "--image-size", "32", "--classes", "3", "-o", "out/m.onnx"]


FAMILIES = {
    "checkpoint bytes": Family(build=checkpoint_bytes, share=14),
    "safetensors headers": Family(build=safetensors_header, share=10),
    "pickles": Family(build=pickles, share=2, needs_limits=True),
    "strange tensors": Family(build=strange_tensors, share=7),
    "model folders": Family(build=folders, share=10),
    "real checkpoints": Family(build=checkpoint_bytes, share=0.25, real=True),
}
