"""Untrusted ONNX files, read so that a hostile one is refused before it costs anything."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from resnetx.base.regular_file import open_regular
from resnetx.errors import FileError, GraphError, ResnetxError
from resnetx.graph.counts import graphs_of
from resnetx.graph.reading.external_data import ExternalData
from resnetx.graph.reading.tensor_data import data_problem, form_problem, tensors_of
from resnetx.graph.reading.wire_check import WireError, check_wire

# Protobuf's own limit; larger models keep their weights in a file beside.
MAX_FILE_BYTES = 2**31 - 1
# ONNX itself, its classic machine learning, and the operators that ONNX Runtime's optimizer and quantizer write.
# Not its inner layouts (com.microsoft.nchwc, com.ms.internal.nhwc): such a file is bound to one processor, and
# their kernels trust the optimizer where others check. Not org.pytorch.aten and the rest: they need libraries.
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
# Operators of these domains that carry compiled code, or call what is not in the file.
FOREIGN_CODE = frozenset({"EPContext", "Snpe", "PythonOp", "PythonOpGrad", "ATen"})
OTHER_FORMATS = {
    b"PK\x03\x04": "a zip archive, such as a PyTorch checkpoint (resnetx export --weights reads those)",
    b"\x80\x02": "a pickle, such as an old PyTorch checkpoint (resnetx export --weights reads those)",
    b"\x89HDF": "an HDF5 file, such as a Keras checkpoint (resnetx export --weights reads those)",
    b"\x1f\x8b": "compressed with gzip; unpack it first",
    b"<": "a web page or XML",
    b"{": "JSON, and only the binary form of ONNX is read",
    b"version https://git-lfs": "the placeholder of a file in Git LFS; fetch it with git lfs pull",
}


@dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """A model with all its weights in memory, and what it took on disk.

    `source` opens it again: its bytes, or its path where weights are stored in other files. `sha256` is of the file
    alone, `digest` of the file and of the weights beside it.
    """

    model: ModelProto
    source: bytes | Path
    sha256: str
    digest: str
    file_bytes: int
    external_bytes: int


def read_onnx(path: Path) -> ModelProto:
    """The model of an ONNX file, its weights in other files included; GraphError if it can't be trusted."""
    return read_onnx_file(path).model


def read_onnx_file(path: Path) -> OnnxFile:
    """Like `read_onnx`, with the sizes of the files."""
    path = Path(path)
    data = _read_bytes(path)
    try:
        check_wire(data)
        model = ModelProto()
        model.ParseFromString(data)
        if not model.HasField("graph") or not model.graph.output:
            raise WireError("it has no graph with an output")
    except (WireError, DecodeError) as error:
        other = next((text for magic, text in OTHER_FORMATS.items() if data.startswith(magic)), None)
        reason = f"it looks like {other}" if other else str(error) if isinstance(error, WireError) else "it is damaged"
        raise GraphError(f"{path} is not an ONNX file that can be read: {reason}.") from error
    digest = hashlib.sha256(data)
    sha256 = digest.hexdigest()
    external = ExternalData(path)
    problem = _model_problem(model) or _graph_problem(model.graph, external, digest)
    if problem:
        raise GraphError(f"{path} is not read: {problem}.")
    return OnnxFile(
        model=model,
        source=path if external.file_bytes else data,
        sha256=sha256,
        digest=digest.hexdigest(),
        file_bytes=len(data),
        external_bytes=external.file_bytes,
    )


def external_files(path: Path) -> list[Path]:
    """Where a file says that its weights are; nothing of a file that cannot be read."""
    try:
        data = _read_bytes(Path(path))
        check_wire(data)
        model = ModelProto.FromString(data)
    except (ResnetxError, WireError, DecodeError):
        return []
    return [
        path.parent / entry.value
        for graph in graphs_of(model.graph)
        for tensor in tensors_of(graph)
        for entry in tensor.external_data
        if entry.key == "location" and "\0" not in entry.value
    ]


def _read_bytes(path: Path) -> bytes:
    try:
        stream, facts = open_regular(path)
        with stream:
            if facts.st_size > MAX_FILE_BYTES:
                raise FileError(
                    f"{path} has {facts.st_size:,} bytes, and ONNX files end at 2 GiB; larger models keep their "
                    "weights in a second file."
                )
            data = stream.read(facts.st_size)  # with a limit instead, Python reserves that much
    except FileNotFoundError as error:
        raise FileError(f"There is no file {path}; check the path.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"{path} cannot be read: {reason}. Give the path of an .onnx file.") from error
    if not data:
        raise FileError(f"{path} is empty; export or download it again.")
    return data


def _model_problem(model: ModelProto) -> str | None:
    if model.ir_version < 1:
        return f"its IR version is {model.ir_version}, so it is no ONNX model, or a damaged one"
    if model.ir_version >= 3 and not model.opset_import:
        return "it names no opset, so that its operators have no meaning; export it again"
    if any(not 1 <= entry.version <= 10_000 for entry in model.opset_import):
        return "it names an opset that cannot exist; export it again"
    if len(model.functions):
        return (
            f"it carries {len(model.functions)} functions of its own, and thousands of nested ones crash the runtime; "
            "export it with its functions inlined"
        )
    if len(model.training_info):
        return "it carries a training graph; export it for inference"
    return None


def _graph_problem(graph: GraphProto, external: ExternalData, digest: "hashlib._Hash") -> str | None:
    """What is wrong with a graph or one inside it; weights from other files are loaded, and hashed, on the way."""
    for inner in graphs_of(graph):
        problem = (
            _nodes_problem(inner)
            or _names_problem(inner)
            or next(filter(None, (_tensor_problem(tensor, external, digest) for tensor in tensors_of(inner))), None)
        )
        if problem:
            return problem
    return None


def _nodes_problem(graph: GraphProto) -> str | None:
    for node in graph.node:
        if node.op_type in FOREIGN_CODE or node.domain not in DOMAINS:
            return _foreign_problem(node)
        if not node.op_type:
            return f"the node {node.name[:100]!r} has no operator"
    return None


def _foreign_problem(node: NodeProto) -> str:
    what = f"the node {node.name[:100]!r} is an operator {node.op_type[:60]!r}"
    if node.op_type in FOREIGN_CODE:
        return f"{what}, which carries or calls compiled code; ask for the model that it was made from"
    return (
        f"{what} of the domain {node.domain[:60]!r}, which needs a library of its own or is bound to one machine; "
        "export the model with standard operators"
    )


def _names_problem(graph: GraphProto) -> str | None:
    names = [tensor.name for tensor in graph.initializer] + [item.values.name for item in graph.sparse_initializer]
    if "" in names:
        return "a weight in it has no name"
    name, times = next(iter(Counter(names).most_common(1)), ("", 0))
    return f"{times} weights in it bear the name {name[:100]!r}" if times > 1 else None


def _tensor_problem(tensor: TensorProto, external: ExternalData, digest: "hashlib._Hash") -> str | None:
    problem = form_problem(tensor)
    if problem is None and tensor.data_location == TensorProto.EXTERNAL:
        if tensor.HasField("raw_data"):
            problem = "is said to lie in another file, and lies in this one too"
        else:
            external.load(tensor)
            digest.update(tensor.raw_data)
    problem = problem or data_problem(tensor)
    return problem and f"the weight {tensor.name[:100]!r} {problem}"
