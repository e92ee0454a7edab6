"""The precision in which a file stores and computes its network, regardless of the provider."""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from resnetx.base.precisions import Precision
from resnetx.errors import FileError, GraphError
from resnetx.graph.stored_weights import file_precision, stored_weights

REDUCED: dict[int, Precision] = {onnx.TensorProto.BFLOAT16: "bf16", onnx.TensorProto.FLOAT16: "fp16"}


def stored_precision(graph: onnx.GraphProto) -> Precision:
    """That of the layers' weights; in a graph without any, that of its floating constants."""
    found = file_precision(stored_weights(graph))
    if found is not None:
        return found[0]
    types = {tensor.data_type for tensor in graph.initializer if tensor.dims}
    return next((name for data_type, name in REDUCED.items() if data_type in types), "fp32")


def parse_graph(model: Path | bytes) -> onnx.GraphProto:
    """The graph, without weights that are stored in other files."""
    parsed = onnx.ModelProto()
    try:
        if not isinstance(model, bytes) and not Path(model).is_file():
            raise FileError(f"There is no file {model}; check the path.")
        parsed.ParseFromString(model if isinstance(model, bytes) else Path(model).read_bytes())
    except OSError as error:
        raise FileError(f"{model!s} cannot be read: {error.strerror or error}.") from error
    except DecodeError as error:
        what = "The serialized model" if isinstance(model, bytes) else str(model)
        raise GraphError(f"{what} is not an ONNX file, or a damaged one; export it again.") from error
    return parsed.graph
