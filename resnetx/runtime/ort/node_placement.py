"""Which provider runs which node of an open session, and whether it is the requested one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from resnetx.runtime.ort.library import ort
from resnetx.runtime.ort.providers import ExecutionProvider, short_name

# The operators that do most of the work: a model runs on the provider that runs these.
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
    """A node and the short name of the provider that ONNX Runtime assigned it to."""

    name: str
    operator: str
    provider: str


def placed_nodes(native: ort.InferenceSession, provider: ExecutionProvider) -> tuple[PlacedNode, ...]:
    """All nodes of the session, which must have been opened with `RECORD_PLACEMENT`."""

    def named(native_name: str) -> str:
        return provider.name if native_name == provider.native else short_name(native_name)

    return tuple(
        PlacedNode(name=node.name, operator=node.op_type, provider=named(group.ep_name))
        for group in native.get_provider_graph_assignment_info()
        for node in group.get_nodes()
    )


def count_placement(nodes: Sequence[PlacedNode], provider: ExecutionProvider) -> tuple[tuple[str, int], ...]:
    """The number of nodes by provider: the requested one first, then the others by number."""
    counts = Counter(node.provider for node in nodes)
    first = counts.pop(provider.name, 0)
    return ((provider.name, first), *counts.most_common()) if first else tuple(counts.most_common())


def fallback_reason(
    native: ort.InferenceSession, nodes: Sequence[PlacedNode], provider: ExecutionProvider
) -> str | None:
    """Why the session does not run on `provider`, or None if it does.

    A few shape computations on the CPU are normal for a provider; an operator that multiplies is not.
    """
    if provider.native not in native.get_providers():
        opened = ", ".join(short_name(name) for name in native.get_providers())
        return f"ONNX Runtime opened the session on {opened} alone, silently"
    if nodes and not any(node.provider == provider.name for node in nodes):
        return f"it runs none of the {len(nodes)} nodes, {_named(nodes)}"
    heavy = [node for node in nodes if node.operator in HEAVY]
    elsewhere = [node for node in heavy if node.provider != provider.name]
    if elsewhere:
        where = ", ".join(sorted({node.provider for node in elsewhere}))
        return f"{len(elsewhere)} of the {len(heavy)} nodes that multiply run on {where}, {_named(elsewhere)}"
    return None


def _named(nodes: Sequence[PlacedNode]) -> str:
    names = ", ".join(f"{node.operator[:40]} {node.name[:60]!r}" for node in nodes[:SHOWN])
    return f"{names} and others" if len(nodes) > SHOWN else names
