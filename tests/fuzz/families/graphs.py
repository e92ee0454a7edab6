"""ONNX files: damaged bytes, edited graphs, cards, and weights in other files."""

import json
import os
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.fuzz.case import HOSTILE_TEXTS, Family, Setting, damaged

CARD = "resnetx.card"
# Each benchmark and each simplification starts processes of its own, which takes seconds.
MOSTLY_HERE = (
    *("inspect",) * 3,
    *("verify",) * 6,
    *("golden",) * 3,
    *("reference",) * 4,
    "simplify",
    "convert",
    "quantize",
    "bench",
    "tune",
    "profile",
)
EXTREMES = (-1, 0, 1, 2**31, 2**63 - 1, -(2**63), 10**6)


def run(setting: Setting, model: onnx.ModelProto | bytes, *, only: tuple[str, ...] = ()) -> list[str]:
    """One of the commands that read a model, mostly the one that runs nothing."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    path = str(setting.write("m.onnx", data))
    command = setting.rng.choice(only or ("inspect", "inspect", "verify", "golden", "simplify", "convert", "quantize"))
    match command:
        case "inspect":
            return ["inspect", path, *setting.rng.choice([[], ["--json", "-"], ["--layers"]])]
        case "golden":
            return ["verify", path, "--golden", str(setting.corpus.golden)]
        case "verify":
            targets = ["--json", "out/r.json", "--junit", "out/r.xml"] if setting.rng.random() < 0.3 else []
            return ["verify", path, *targets]
        case "reference":
            return ["verify", str(setting.corpus.plain), "--reference", path]
        case "bench":
            provider = setting.rng.choice(["cpu", "openvino", "auto"])
            return ["bench", path, "--provider", provider, "--duration", "0.1", "--rounds", "2", "--timeout", "10"]
        case "profile":
            provider = setting.rng.choice(["cpu", "openvino", "torch", "auto"])
            return ["profile", path, "--provider", provider, "--duration", "0.1", "--timeout", "10"]
        case "convert":
            return ["convert", path, "-o", "out/h.onnx", "--timeout", "10"]
        case "quantize":
            made_up = ["--calibrate", "synthetic", "--samples", "4", "--timeout", "10"]
            return ["quantize", path, "-o", "out/q.onnx", *made_up]
        case "tune":
            quick = ["--provider", "cpu", "--threads", "1", "--duration", "0.1", "--timeout", "10"]
            return ["tune", path, "-o", "out/d", *quick]
    return ["simplify", path, "-o", "out/s.onnx", "--timeout", "10"]


def honest(setting: Setting) -> bytes:
    return setting.rng.choice([setting.corpus.model, setting.corpus.plain, setting.corpus.quantized]).read_bytes()


def onnx_bytes(setting: Setting) -> list[str]:
    return run(setting, damaged(setting.rng, honest(setting), setting.corpus.quantized.read_bytes()))


def onnx_surgery(setting: Setting) -> list[str]:
    model = onnx.ModelProto.FromString(honest(setting))
    for _ in range(setting.rng.choice([1, 1, 2, 4])):
        setting.rng.choice(EDITS)(setting, model)
    return run(setting, model, only=MOSTLY_HERE)


def _some(setting: Setting, items: Any) -> Any:
    return setting.rng.choice(list(items)) if len(items) else None


def edit_dims(setting: Setting, model: onnx.ModelProto) -> None:
    value = _some(setting, [*model.graph.input, *model.graph.output])
    if value is None:
        return
    shape = value.type.tensor_type.shape
    match setting.rng.randrange(4):
        case 0:
            del shape.dim[:]
        case 1:
            shape.dim.add().dim_value = setting.rng.choice(EXTREMES)
        case 2:
            for dim in shape.dim:
                dim.dim_value = setting.rng.choice(EXTREMES)
        case _ if shape.dim:
            shape.dim[0].dim_value = 0


def edit_type(setting: Setting, model: onnx.ModelProto) -> None:
    value = _some(setting, [*model.graph.input, *model.graph.output])
    if value is not None:
        value.type.tensor_type.elem_type = setting.rng.choice([0, 1, 3, 6, 7, 8, 9, 10, 14, 16, 20, 99])


def edit_ends(setting: Setting, model: onnx.ModelProto) -> None:
    match setting.rng.randrange(3):
        case 0:
            del model.graph.input[:]
        case 1:
            del model.graph.output[:]
        case _:
            model.graph.output.append(helper.make_tensor_value_info("nowhere", 1, None))


def edit_name(setting: Setting, model: onnx.ModelProto) -> None:
    text = setting.rng.choice(HOSTILE_TEXTS)
    match setting.rng.randrange(6):
        case 0:
            model.graph.name = text
        case 1:
            model.producer_name = text
        case 2:
            old = _some(setting, [*model.graph.input, *model.graph.output]).name if model.graph.output else ""
            _rename(model, old, text)
        case 3:
            if (node := _some(setting, model.graph.node)) is not None:
                node.name = text
        case 4:
            if (node := _some(setting, model.graph.node)) is not None:
                node.op_type = text
        case _:
            model.metadata_props.add(key=text, value=text)


def _rename(model: onnx.ModelProto, old: str, new: str) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.name = new if value.name == old else value.name
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = new if name == old else name


def edit_nodes(setting: Setting, model: onnx.ModelProto) -> None:
    nodes = model.graph.node
    if not nodes:
        return
    match setting.rng.randrange(5):
        case 0:
            del nodes[setting.rng.randrange(len(nodes))]
        case 1:
            nodes.append(_some(setting, nodes))
        case 2:
            node = _some(setting, nodes)
            if node.input and node.output:
                node.input[0] = node.output[0]
        case 3:
            _some(setting, nodes).domain = setting.rng.choice(["com.example", "com.microsoft", "ai.onnx.ml", "\x1b[2J"])
        case _:
            ops = ["Relu", "Conv", "Gemm", "Softmax", "Identity", "Loop", "Shape", "Concat", "EPContext", "Nonsense"]
            _some(setting, nodes).op_type = setting.rng.choice(ops)


def edit_attribute(setting: Setting, model: onnx.ModelProto) -> None:
    node = _some(setting, model.graph.node)
    attribute = _some(setting, node.attribute) if node is not None else None
    if attribute is None:
        return
    if attribute.ints:
        attribute.ints[setting.rng.randrange(len(attribute.ints))] = setting.rng.choice(EXTREMES)
    else:
        attribute.i = setting.rng.choice(EXTREMES)
    if setting.rng.random() < 0.2:
        attribute.type = setting.rng.choice([0, 1, 2, 4, 5, 7, 14])


def edit_weight(setting: Setting, model: onnx.ModelProto) -> None:
    tensor = _some(setting, model.graph.initializer)
    if tensor is None:
        return
    match setting.rng.randrange(5):
        case 0:
            tensor.dims.append(setting.rng.choice(EXTREMES))
        case 1:
            tensor.data_type = setting.rng.choice([0, 1, 7, 8, 10, 16, 22, 99])
        case 2:
            tensor.raw_data = tensor.raw_data[: len(tensor.raw_data) // 2]
        case 3:
            tensor.name = setting.rng.choice(HOSTILE_TEXTS)
        case _:
            values = np.frombuffer(tensor.raw_data, np.uint8).copy()
            values[: min(len(values), 64)] = 0xFF  # NaN
            tensor.raw_data = values.tobytes()


def edit_version(setting: Setting, model: onnx.ModelProto) -> None:
    if setting.rng.random() < 0.5:
        model.ir_version = setting.rng.choice([0, 1, 2, 3, 99, 2**40])
    elif model.opset_import:
        model.opset_import[0].version = setting.rng.choice([0, 1, 6, 99, 2**40, -1])


EDITS = (edit_dims, edit_type, edit_ends, edit_name, edit_nodes, edit_attribute, edit_weight, edit_version)


def cards(setting: Setting) -> list[str]:
    """The card of an honest file, with one value of the wrong kind, or damaged text."""
    rng = setting.rng
    model = onnx.ModelProto.FromString(setting.corpus.model.read_bytes())
    entry = next(entry for entry in model.metadata_props if entry.key == CARD)
    data = json.loads(entry.value)
    places: list[tuple[Any, Any]] = [(data, key) for key in data]
    places += [(data[name], key) for name in ("config", "weights", "preprocessing") for key in data[name]]
    kind = rng.randrange(4)
    if kind == 0:
        text = damaged(rng, entry.value.encode(), b'[{"a":1e999,NaN}]').decode(errors="replace")
        entry.value = text
    else:
        for _ in range(kind):
            inner, key = rng.choice(places)
            inner[key] = rng.choice(CARD_VALUES)
        entry.value = json.dumps(data).encode(errors="replace").decode()
    return run(setting, model, only=MOSTLY_HERE)


DEEP: Any = []
for _ in range(40):
    DEEP = [DEEP]
CARD_VALUES = (
    *(None, True, -1, 0, 1, 1.5, 10**6, 10**30, 1e300, -0.0, "", "x", "\x1b[2J", "top3", "x" * 100_000),
    *([], {}, [1], ["a"] * 1000, [200] * 8, [0, 0, 0], [1, 1, 1], {"a": 1}, DEEP, "/dev/zero", "/etc/passwd"),
    *("https://127.0.0.1:1/x", "hf://a/b", "\\\\host\\share", "file:///dev/zero", 1024, 8, "textbook", "uint8", "int8"),
)


def external_data(setting: Setting) -> list[str]:
    rng = setting.rng
    weight = numpy_helper.from_array(np.zeros((4, 3, 3, 3), np.float32), "w")
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Conv", ["x", "w"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [weight],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    tensor = model.graph.initializer[0]
    data = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    setting.write("w.bin", data)
    setting.write("short.bin", data[:10])
    (setting.folder / "link.bin").symlink_to("w.bin")
    (setting.folder / "zero.bin").symlink_to("/dev/zero")
    os.link(setting.folder / "w.bin", setting.folder / "hard.bin")
    os.mkfifo(setting.folder / "pipe.bin")
    (setting.folder / "folder.bin").mkdir()
    locations = (
        *(
            "short.bin",
            "link.bin",
            "zero.bin",
            "hard.bin",
            "pipe.bin",
            "folder.bin",
            "../w.bin",
            "/etc/passwd",
            "/dev/zero",
        ),
        *(
            "a/../w.bin",
            "w.bin/",
            "./w.bin",
            "",
            ".",
            "..",
            "\x00",
            "C:\\w.bin",
            "\\\\h\\s",
            "~/w.bin",
            "x" * 5000,
            "\x1b[2J",
        ),
        *("file:///etc/passwd", "https://127.0.0.1:1/w", "w.bin", "m.onnx"),
    )
    tensor.external_data.add(key="location", value=rng.choice(locations))
    for key in ("offset", "length"):
        if rng.random() < 0.4:
            value = rng.choice(["0", "-1", "432", "9" * 30, "x", "1e9", "", "٣", str(2**63)])
            tensor.external_data.add(key=key, value=value)
    return run(setting, model, only=("inspect", "verify", "reference", "simplify", "convert", "quantize", "bench"))


FAMILIES = {
    "onnx bytes": Family(build=onnx_bytes, share=7),
    "onnx surgery": Family(build=onnx_surgery, share=5, needs_limits=True),
    "cards": Family(build=cards, share=4),
    "external data": Family(build=external_data, share=12),
    "real onnx": Family(build=onnx_bytes, share=0.3, real=True),
}
