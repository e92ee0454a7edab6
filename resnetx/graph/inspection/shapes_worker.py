"""The child process that infers the shapes of a graph; the parent survives if it crashes.

python -m resnetx.graph.inspection.shapes_worker BEFORE AFTER
"""

import sys
from contextlib import suppress
from pathlib import Path

# Since this opset, shape inference of Reshape supports a shape that the graph computes.
FOLLOWING_OPSET = 14


def main(before: Path, after: Path) -> None:
    from onnx import GraphProto, ModelProto, shape_inference, version_converter

    model = ModelProto.FromString(before.read_bytes())
    values = GraphProto()

    def infer(graph: ModelProto, *, follow: bool) -> None:
        inferred = shape_inference.infer_shapes(graph, data_prop=follow)
        values.value_info.extend((*inferred.graph.value_info, *inferred.graph.output))

    def write() -> None:
        # Whole at any moment, because the process may be killed at any moment.
        whole = after.with_suffix(".tmp")
        whole.write_bytes(values.SerializeToString())
        whole.replace(after)

    # Later entries take precedence. Data propagation or conversion may fail, or exceed the limits of the process; the
    # plain inference remains.
    infer(model, follow=False)
    write()
    with suppress(Exception):
        old = any(entry.domain in ("", "ai.onnx") and entry.version < FOLLOWING_OPSET for entry in model.opset_import)
        infer(version_converter.convert_version(model, FOLLOWING_OPSET) if old else model, follow=True)
    write()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except Exception as error:  # the parent shows the last line, not a traceback
        sys.exit(f"{type(error).__name__}: {error}".replace("\n", " "))
