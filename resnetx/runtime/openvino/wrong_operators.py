"""Operators that OpenVINO computes wrong without an error, found by verification: models with them are refused."""

import onnx

from resnetx.base.text import readable

# OpenVINO 2026.4 applies Relu whatever other activation a FusedGemm has, as ONNX Runtime makes of a Gemm and a Sigmoid.
RIGHT_ACTIVATIONS = ("Relu", "LeakyRelu")


def wrong_operator(graph: onnx.GraphProto) -> str | None:
    """Why OpenVINO would compute the graph wrong, or None."""
    for node in graph.node:
        if (node.domain, node.op_type) == ("com.microsoft", "FusedGemm"):
            activation = next(
                (each.s.decode(errors="replace") for each in node.attribute if each.name == "activation"), ""
            )
            if activation not in RIGHT_ACTIVATIONS:
                return (
                    f"it computes the FusedGemm {readable(node.name)!r} with Relu instead of {readable(activation, 40)}"
                )
    return None
