"""Brings operations to one form, so that what different exporters and optimizers write for the same thing is equal."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from resnetx.verification.structure import affine
from resnetx.verification.structure.folding import reshaped
from resnetx.verification.structure.graph import Graph, Op
from resnetx.verification.structure.parameters import full
from resnetx.verification.structure.spelled_out import PATTERNS

Merge = Callable[[Op, Op, Graph], "list[Op] | None"]
# Operations on single elements, behind which a strided 1x1 convolution may stride as well as before them.
POINTWISE = ("clip", "sigmoid", "tanh", "erf", "leaky_relu", "elu", "affine")
MAX_PASSES = 12


def make_canonical(graph: Graph) -> None:
    """Merge and rename the operations of `graph` until nothing changes."""
    for _ in range(MAX_PASSES):
        before = graph.ops
        graph.without_dead_ops()
        _drop_identities(graph)
        _merge(graph)
        _move_strides(graph)
        for pattern in PATTERNS:
            pattern(graph)
        graph.without_dead_ops()
        if len(before) == len(graph.ops) and all(a is b for a, b in zip(before, graph.ops, strict=True)):
            break
    for number, op in enumerate(graph.ops):
        if op.kind in ("conv", "linear") and "bias" in op.parameters and _all_zeros(op):
            parameters = {name: value for name, value in op.parameters.items() if name != "bias"}
            graph.ops[number] = replace(op, parameters=parameters)


def _all_zeros(op: Op) -> bool:
    """Whether the bias is there for form's sake: exporters add one, or leave it out."""
    bias = full(op.parameters["bias"])
    return not bias.value().any() and not bias.size_of_terms().any()


def _drop_identities(graph: Graph) -> None:
    kept: list[Op] = []
    renamed: dict[str, str] = {}
    for op in graph.ops:
        if _is_identity(op, graph):
            renamed[op.output] = op.inputs[0]
        else:
            kept.append(_simplified(op, graph))
    graph.ops = kept
    graph.rename(renamed)


def _is_identity(op: Op, graph: Graph) -> bool:
    if op.kind == "reshape":
        shape = graph.shapes.get(op.inputs[0])
        return shape is not None and shape == graph.shapes.get(op.output)
    if op.kind == "transpose":
        return tuple(op.attributes["perm"]) == tuple(range(len(op.attributes["perm"])))
    if op.kind == "clip":
        return bool(op.attributes["min"] == -math.inf and op.attributes["max"] == math.inf)
    if op.kind in ("mean", "amax", "sum"):
        return not op.attributes["axes"]
    if op.kind == "pad":
        return not any(op.attributes["pads"])
    if op.kind == "slice":
        shape = graph.shapes.get(op.inputs[0])
        return shape is not None and shape == graph.shapes.get(op.output) and op.attributes["step"] == 1
    if op.kind == "concat":
        return len(op.inputs) == 1
    if op.kind in ("avg_pool", "max_pool"):
        window = (*op.attributes["kernel"], *op.attributes["strides"])
        return set(window) == {1} and not any(op.attributes["pads"])
    return affine.is_identity(op)


def _simplified(op: Op, graph: Graph) -> Op:
    """A pooling of the whole map is a mean; a mean over an axis of length one is none."""
    shape, out = graph.shapes.get(op.inputs[0]) if op.inputs else None, graph.shapes.get(op.output)
    if op.kind in ("mean", "amax", "sum") and shape is not None:
        axes = tuple(axis for axis in op.attributes["axes"] if shape[axis] != 1)
        return op if axes == op.attributes["axes"] else replace(op, attributes={"axes": axes})
    if op.kind in ("avg_pool", "max_pool") and shape is not None and out is not None:
        spatial = shape[2:]
        plain = not any(op.attributes["pads"]) and tuple(op.attributes["kernel"]) == spatial and set(out[2:]) == {1}
        if plain and set(op.attributes["dilations"]) == {1}:
            kind = "mean" if op.kind == "avg_pool" else "amax"
            return replace(op, kind=kind, attributes={"axes": tuple(range(2, len(shape)))})
    return op


def _merge(graph: Graph) -> None:
    uses, producers = graph.uses(), graph.producers()
    ops: list[Op] = []
    for op in graph.ops:
        before = producers.get(op.inputs[0]) if op.inputs else None
        merge, alone = MERGES.get((before.kind, op.kind), (None, True)) if before else (None, True)
        if before is not None and merge is not None and (not alone or uses[before.output] == 1):
            merged = merge(op, before, graph)
            if merged is not None:
                if uses[before.output] != 1:
                    uses.update(before.inputs)
                ops += merged
                producers |= {name: new for new in merged for name in new.outputs}
                continue
        ops.append(_absorb_factors(op, producers, uses, graph, ops) if op.kind == "mul" else op)
        producers |= {name: ops[-1] for name in ops[-1].outputs}
    graph.ops = ops


def _absorb_factors(op: Op, producers: dict[str, Op], uses: Counter[str], graph: Graph, ops: list[Op]) -> Op:
    """(x * 0.5) * y is (x * y) * 0.5."""
    for place, name in enumerate(op.inputs):
        before = producers.get(name)
        if before is not None and uses[name] == 1 and affine.scale_only(before) is not None:
            inner = f"{op.output}/product"
            graph.shapes[inner] = graph.shapes.get(op.output)
            inputs = (*op.inputs[:place], before.inputs[0], *op.inputs[place + 1 :])
            ops.append(replace(op, inputs=inputs, outputs=(inner,)))
            return replace(before, inputs=(inner,), outputs=op.outputs)
    return op


def _chain(op: Op, before: Op, **attributes: object) -> Op:
    return replace(
        op, inputs=before.inputs, attributes={**op.attributes, **attributes}, sources=before.sources + op.sources
    )


def _clips(op: Op, before: Op, graph: Graph) -> list[Op] | None:
    first, second = before.attributes, op.attributes
    low, high = max(first["min"], second["min"]), min(first["max"], second["max"])
    return [_chain(op, before, min=low, max=high)] if low <= high else None


def _reshapes(op: Op, before: Op, graph: Graph) -> list[Op] | None:
    return [_chain(op, before)]


def _transposes(op: Op, before: Op, graph: Graph) -> list[Op] | None:
    first = before.attributes["perm"]
    return [_chain(op, before, perm=tuple(first[axis] for axis in op.attributes["perm"]))]


def _reductions(op: Op, before: Op, graph: Graph) -> list[Op] | None:
    return [_chain(op, before, axes=tuple(sorted({*before.attributes["axes"], *op.attributes["axes"]})))]


def _affines(op: Op, before: Op, graph: Graph) -> list[Op] | None:
    return [affine.after_affine(op, before)]


def _affine_behind_layer(op: Op, before: Op, graph: Graph) -> list[Op] | None:
    folded = affine.after_layer(op, before, graph)
    return None if folded is None else [folded]


def _affine_behind_clip(op: Op, before: Op, graph: Graph) -> list[Op] | None:
    """clip(x, 0, 6) / 6 is clip(x / 6, 0, 1)."""
    scale, shift = affine.parts(op)
    factor, offset = affine.number(scale, 1.0), affine.number(shift, 0.0)
    low, high = before.attributes["min"], before.attributes["max"]
    if factor is None or offset is None or factor <= 0 or math.isinf(low) or math.isinf(high):
        return None
    inner = f"{op.output}/scaled"
    graph.shapes[inner] = graph.shapes.get(before.inputs[0])
    limits = {"min": low * factor + offset, "max": high * factor + offset}
    return [
        replace(op, inputs=before.inputs, outputs=(inner,)),
        replace(before, inputs=(inner,), outputs=op.outputs, attributes=limits, sources=before.sources + op.sources),
    ]


def _affine_behind_product(op: Op, before: Op, graph: Graph) -> list[Op] | None:
    """(x * clip(y)) / 6 is x * (clip(y) / 6), where the factor can go on into what the product is of."""
    producers, uses = graph.producers(), graph.uses()
    scale, shift = affine.parts(op)
    if scale is None or affine.number(scale, 1.0) is None:
        return None
    for place, name in enumerate(before.inputs):
        inner = producers.get(name)
        if inner is None or uses[name] != 1:
            continue
        bounded = inner.kind == "clip" and not math.isinf(inner.attributes["min"] - inner.attributes["max"])
        if bounded or (inner.kind == "affine" and affine.parts(inner)[1] is not None):
            scaled = f"{name}/scaled"
            graph.shapes[scaled] = graph.shapes.get(name)
            inputs = (*before.inputs[:place], scaled, *before.inputs[place + 1 :])
            product = op.output if shift is None else f"{op.output}/product"
            graph.shapes[product] = graph.shapes.get(op.output)
            moved = [
                replace(op, inputs=(name,), outputs=(scaled,), parameters=affine.given(scale=scale)),
                replace(before, inputs=inputs, outputs=(product,), sources=before.sources + op.sources),
            ]
            rest = [] if shift is None else [replace(op, inputs=(product,), parameters=affine.given(shift=shift))]
            return moved + rest
    return None


def _padded(op: Op, before: Op, graph: Graph) -> list[Op] | None:
    """Zeros around the input are the convolution's own padding, and the average's if it counts them."""
    pads, attributes = before.attributes["pads"], before.attributes
    rank = len(pads) // 2
    outer = (*pads[:2], *pads[rank : rank + 2])
    if attributes["mode"] != "constant" or attributes["value"] != 0 or any(outer) or min(pads) < 0:
        return None
    if op.attributes.get("transposed"):
        return None
    added = (*pads[2:rank], *pads[rank + 2 :])
    own = tuple(first + second for first, second in zip(op.attributes["pads"], added, strict=True))
    if op.kind == "conv":
        return [_chain(op, before, pads=own)]
    if op.attributes["ceil"] or (any(op.attributes["pads"]) and not op.attributes["count_include_pad"]):
        return None
    return [_chain(op, before, pads=own, count_include_pad=1)]


def _affine_behind_reshape(op: Op, before: Op, graph: Graph) -> list[Op] | None:
    """What differs along the last axis only doesn't mind how the others are arranged."""
    shape, last = graph.shapes.get(before.inputs[0]), graph.shapes.get(before.output)
    if shape is None or last is None or shape[-1:] != last[-1:] or graph.shapes.get(op.output) != last:
        return None
    parameters = [full(item) for item in op.parameters.values()]
    if any(math.prod(item.shape) not in (1, item.shape[-1]) for item in parameters if item.shape):
        return None
    line = (1,) * (len(shape) - 1)
    turned = {
        name: reshaped(item, (*line, item.shape[-1])) for name, item in zip(op.parameters, parameters, strict=True)
    }
    inner = f"{op.output}/unshaped"
    graph.shapes[inner] = shape
    return [
        replace(op, inputs=before.inputs, outputs=(inner,), parameters=turned),
        replace(before, inputs=(inner,), outputs=op.outputs),
    ]


def _move_strides(graph: Graph) -> None:
    """A 1x1 convolution that strides reads the pixels that a stride of the convolution before it would have left."""
    uses, producers = graph.uses(), graph.producers()
    for op in graph.ops:
        if op.kind != "conv" or op.attributes["transposed"] or set(op.attributes["strides"]) == {1}:
            continue
        if any(op.attributes["pads"]) or set(op.parameters["weight"].shape[2:]) != {1}:
            continue
        chain: list[Op] = []
        before = producers.get(op.inputs[0])
        while before is not None and before.kind in POINTWISE and uses[before.output] == 1:
            chain.append(before)
            before = producers.get(before.inputs[0])
        if before is None or before.kind != "conv" or uses[before.output] != 1 or before.attributes["transposed"]:
            continue
        out = graph.shapes.get(op.output)
        for each in (before, *chain):
            shape = graph.shapes.get(each.output)
            graph.shapes[each.output] = None if out is None or shape is None else (*shape[:2], *out[2:])
        steps = op.attributes["strides"]
        own = tuple(first * second for first, second in zip(before.attributes["strides"], steps, strict=True))
        changed = {
            id(before): replace(before, attributes={**before.attributes, "strides": own}),
            id(op): replace(op, attributes={**op.attributes, "strides": (1,) * len(steps)}),
        }
        graph.ops = [changed.get(id(each), each) for each in graph.ops]
        producers = graph.producers()


# What is merged: the operation before, the operation, how, and whether the first must have no other reader.
MERGES: dict[tuple[str, str], tuple[Merge | None, bool]] = {
    ("clip", "clip"): (_clips, True),
    ("reshape", "reshape"): (_reshapes, False),
    ("transpose", "transpose"): (_transposes, False),
    ("mean", "mean"): (_reductions, True),
    ("amax", "amax"): (_reductions, True),
    ("sum", "sum"): (_reductions, True),
    ("affine", "affine"): (_affines, True),
    ("conv", "affine"): (_affine_behind_layer, True),
    ("linear", "affine"): (_affine_behind_layer, True),
    ("clip", "affine"): (_affine_behind_clip, True),
    ("mul", "affine"): (_affine_behind_product, True),
    ("pad", "conv"): (_padded, False),
    ("pad", "avg_pool"): (_padded, False),
    ("reshape", "affine"): (_affine_behind_reshape, True),
}
