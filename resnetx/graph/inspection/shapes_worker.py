"""The child process that infers the shapes of a graph; the parent survives if it crashes.

python -m resnetx.graph.inspection.shapes_worker BEFORE AFTER MEMORY_MB LIFETIME_S
"""

import sys
from contextlib import suppress
from pathlib import Path

from resnetx.base.isolation import limit_self

# Since this opset, shape inference of Reshape supports a shape that the graph computes.
FOLLOWING_OPSET = 14


def main(before: Path, after: Path, memory_mb: int, lifetime_s: float) -> None:
    from onnx import GraphProto, ModelProto, shape_inference, version_converter

    limit_self(memory_mb=memory_mb, lifetime_s=lifetime_s)
    model = ModelProto.FromString(before.read_bytes())
    values = GraphProto()

    def infer(graph: ModelProto, *, follow: bool) -> None:
        inferred = shape_inference.infer_shapes(graph, data_prop=follow)
        values.value_info.extend((*inferred.graph.value_info, *inferred.graph.output))

    # Later entries take precedence. If data propagation or conversion fails, the plain inference must remain.
    infer(model, follow=False)
    with suppress(Exception):
        old = any(entry.domain in ("", "ai.onnx") and entry.version < FOLLOWING_OPSET for entry in model.opset_import)
        infer(version_converter.convert_version(model, FOLLOWING_OPSET) if old else model, follow=True)
    after.write_bytes(values.SerializeToString())


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    except Exception as error:  # the parent shows the last line, not a traceback
        sys.exit(f"{type(error).__name__}: {error}".replace("\n", " "))
