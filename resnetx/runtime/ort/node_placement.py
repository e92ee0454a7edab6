"""Which provider runs which node of an open session, and whether that is what was asked for."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import onnxruntime as ort

from resnetx.runtime.ort.providers import ExecutionProvider, short_name

# The operators that multiply and add: a model runs where these run.
HEAVY = frozenset(
    {
        *("Conv", "ConvTranspose", "ConvInteger", "DeformConv", "FusedConv", "QLinearConv"),
        *("Gemm", "FusedGemm", "QGemm", "MatMul", "FusedMatMul", "MatMulInteger", "MatMulNBits", "QLinearMatMul"),
        *("Attention", "MultiHeadAttention", "Einsum", "LSTM", "GRU", "RNN"),
    }
)
SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class PlacedNode:
    """A node as ONNX Runtime assigned it; `provider` is the short name where there is one."""

    name: str
    operator: str
    provider: str


def placed_nodes(native: ort.InferenceSession, provider: ExecutionProvider) -> tuple[PlacedNode, ...]:
    """Every node, asked of the session, which must have been opened with the recording on."""

    def named(native_name: str) -> str:
        return provider.name if native_name == provider.native else short_name(native_name)

    return tuple(
        PlacedNode(name=node.name, operator=node.op_type, provider=named(group.ep_name))
        for group in native.get_provider_graph_assignment_info()
        for node in group.get_nodes()
    )


def count_placement(nodes: Sequence[PlacedNode], provider: ExecutionProvider) -> tuple[tuple[str, int], ...]:
    """Nodes by provider: the one that was asked for first, then the others, busiest first."""
    counts = Counter(node.provider for node in nodes)
    first = counts.pop(provider.name, 0)
    return ((provider.name, first), *counts.most_common()) if first else tuple(counts.most_common())


def fallback_reason(
    native: ort.InferenceSession, nodes: Sequence[PlacedNode], provider: ExecutionProvider
) -> str | None:
    """Why the session does not run on `provider`, or None if it does.

    A few shape computations on the CPU beside a provider are its normal way; an operator that multiplies is not.
    """
    if provider.native not in native.get_providers():
        opened = ", ".join(short_name(name) for name in native.get_providers())
        return f"ONNX Runtime opened the session on {opened} alone, silently"
    if nodes and not any(node.provider == provider.name for node in nodes):
        return f"it runs none of the {len(nodes)} nodes, {_named(nodes)}"
    heavy = [node for node in nodes if node.operator in HEAVY]
    strays = [node for node in heavy if node.provider != provider.name]
    if strays:
        where = ", ".join(sorted({node.provider for node in strays}))
        return f"{len(strays)} of the {len(heavy)} nodes that multiply run on {where}, {_named(strays)}"
    return None


def _named(nodes: Sequence[PlacedNode]) -> str:
    names = ", ".join(f"{node.operator[:40]} {node.name[:60]!r}" for node in nodes[:SHOWN])
    return f"{names} and others" if len(nodes) > SHOWN else names
