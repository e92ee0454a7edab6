"""The kernels of a compiled model: what runs each layer, in which precision, and which are slower than expected."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from resnetx.base.text import readable
from resnetx.runtime.openvino.library import ov

# These compute nothing: they hold a constant, or stand for an input or output.
IDLE = frozenset({"Const", "Input", "Output"})
# The layers that do most of the work.
HEAVY = frozenset({"Convolution", "Deconvolution", "DeformableConvolution", "FullyConnected", "MatMul"})
INT8 = ("i8", "u8")
SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """What runs one layer, which may be several nodes of the file: `layers` are their names, `title` its own.

    `moved_bytes` are those of its inputs, weights and outputs; None if a size is free.
    """

    title: str
    layers: str
    kind: str
    name: str
    precision: str
    moved_bytes: int | None

    @property
    def heavy(self) -> bool:
        return self.kind in HEAVY

    @property
    def reference(self) -> bool:
        """Whether it is the portable implementation, which is there for correctness."""
        return self.name.partition("_")[0] == "ref"


def kernels_of(compiled: "ov.CompiledModel") -> tuple[Kernel, ...]:
    """The kernels of a compiled model, in execution order."""
    kernels = [
        Kernel(
            title=node.get_friendly_name(),
            layers=_text(facts := node.get_rt_info(), "originalLayersNames"),
            kind=_text(facts, "layerType"),
            name=_text(facts, "primitiveType"),
            precision=_text(facts, "runtimePrecision"),
            moved_bytes=_bytes([*node.inputs(), *node.outputs()]),
        )
        for node in compiled.get_runtime_model().get_ordered_ops()
    ]
    return tuple(kernel for kernel in kernels if kernel.kind not in IDLE)


def count_kernels(kernels: Sequence[Kernel]) -> tuple[tuple[str, int], ...]:
    """The number of heavy layers by kernel, the most frequent first."""
    return tuple(Counter(readable(each.name, 60) for each in kernels if each.heavy).most_common())


def kernel_notes(kernels: Sequence[Kernel], *, quantized: bool) -> tuple[str, ...]:
    """The heavy layers that are slower than they could be: in a reference kernel, or in float in an INT8 file."""
    heavy = [kernel for kernel in kernels if kernel.heavy]
    slow = [kernel for kernel in heavy if kernel.reference]
    islands = [kernel for kernel in heavy if quantized and kernel.precision not in INT8]
    notes = []
    if slow:
        notes.append(f"OpenVINO runs {_counted(slow, heavy)} in a slow reference kernel: {_named(slow)}.")
    if islands:
        notes.append(
            f"OpenVINO runs {_counted(islands, heavy)} of this INT8 file in {islands[0].precision}: {_named(islands)}."
        )
    return tuple(notes)


def _counted(some: Sequence[Kernel], all_of_them: Sequence[Kernel]) -> str:
    return f"{len(some)} of the {len(all_of_them)} layers that multiply"


def _named(kernels: Sequence[Kernel]) -> str:
    names = ", ".join(readable(kernel.layers, 60) for kernel in kernels[:SHOWN])
    return f"{names} and others" if len(kernels) > SHOWN else names


def _bytes(ports: "Sequence[ov.Input | ov.Output]") -> int | None:
    if any(port.get_partial_shape().is_dynamic for port in ports):
        return None
    bits = [int(port.get_element_type().bitwidth * math.prod(port.get_partial_shape().to_shape())) for port in ports]
    return sum(bits) // 8


def _text(facts: "ov.RTMap", name: str) -> str:
    return str(facts[name].astype(str)) if name in facts else ""
