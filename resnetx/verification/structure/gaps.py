"""Parts of a file and a network between values that both have: whether they compute the same, or what differs."""

from collections.abc import Sequence
from dataclasses import dataclass

from resnetx.verification.structure.evaluate import equivalent
from resnetx.verification.structure.graph import FOREIGN, ONNX_PREFIX, Op
from resnetx.verification.structure.matching import Matching
from resnetx.verification.structure.pairs import COMMUTATIVE
from resnetx.verification.structure.result import NOTHING, Difference, Unrecognized

# Operators that an exporter may write where nothing is moved in the end: unless that was evaluated, it isn't known.
# fmt: off
MOVING = frozenset((
    "Gather", "GatherND", "GatherElements", "Scatter", "ScatterND", "ScatterElements", "Slice", "Expand", "Where",
    "Shape", "Size", "Concat", "Constant", "ConstantOfShape", "Range", "Tile", "Resize", "Einsum", "Loop", "If",
    "Scan", "reshape", "transpose", "concat", "slice", "resize", "Pad",
))
# fmt: on


def moves_only(ops: Sequence[Op]) -> bool:
    """Whether there are operators of unknown effect that may not have changed a number."""
    return any(FOREIGN in op.kind or op.kind.removeprefix(ONNX_PREFIX) in MOVING for op in ops)


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Between what is known and a value that both sides must have: the operations of each side."""

    value: str
    found: str
    network: list[Op]
    file: list[Op]


def find_gap(matching: Matching, op: Op) -> Gap | None:
    """The nearest values behind `op` of which it is known that they must be the same."""
    goals: list[tuple[str, str]] = []
    later = matching.pending[matching.pending.index(op) + 1 :]
    for other in later:
        # Only a layer with weights is proof of what it reads: a factor may be moved through other operations.
        if other.kind in ("conv", "linear"):
            counterpart = matching.elsewhere(other) or _named(matching, other)
            if counterpart is not None and counterpart.inputs:
                goals.append((other.inputs[0], counterpart.inputs[0]))
                if len(goals) > 8:
                    break
    goals += list(zip(matching.network.outputs, matching.file.outputs, strict=False))
    for value, found in goals:
        if value in matching.to_file:
            continue
        network = matching.network_part(value)
        if op not in network or not all(
            name in matching.to_file or any(name in each.outputs for each in network)
            for each in network
            for name in each.inputs
        ):
            continue
        return Gap(
            value=value,
            found=found,
            network=network,
            file=[] if found in matching.image else matching.file_part(found),
        )
    return None


def _named(matching: Matching, op: Op) -> Op | None:
    """A layer of the file with this one's name and kind, whose weights differ."""
    return next(
        (
            other
            for other in matching.free(matching.file.ops)
            if other.layer == op.layer and matching.pairs.comparable(op, other)
        ),
        None,
    )


def computes_the_same(matching: Matching, gap: Gap) -> bool | None:
    """Whether both sides give the same, where that can be evaluated; for the recorded number of images."""
    verdict = equivalent(
        gap.network,
        gap.file,
        frontier=matching.to_file,
        shapes=(matching.network.shapes, matching.file.shapes),
        results=(gap.value, gap.found),
    )
    if verdict:
        matching.for_this_batch += [op for op in gap.file if any(item.from_shape for item in op.parameters.values())]
    return verdict


def judge(matching: Matching, gap: Gap) -> None:
    """Whether the two sides of a gap compute the same; if not, what is different."""
    verdict = computes_the_same(matching, gap)
    network, file = gap.network, gap.file
    if verdict is True:
        matching.proved.extend(network)
    else:
        rest, inserted = _without_common_end(matching, network, file)
        row = _difference(matching, rest, inserted, gap)
        opaque = any(each.opaque for each in rest)
        one_sided = not rest or not inserted
        one_sided = one_sided and not opaque and not moves_only(inserted)
        decided = verdict is False or one_sided or _one_for_one(rest, inserted)
        if decided and row is not None:
            matching.differences.append(row)
            matching.proved.extend(each for each in network if each not in rest)
        else:
            for each in rest:
                matching.unrecognized.append(
                    Unrecognized(
                        side="network", layer=each.layer or each.kind, reason=f"in its place is {listed(inserted)}"
                    )
                )
            if inserted:
                matching.unrecognized.append(not_known(inserted, f"it stands in the place of {listed(rest)}"))
    for op in network:
        matching.done(op)
    matching.used.update(map(id, file))
    matching.same(gap.value, gap.found)


def _one_for_one(network: Sequence[Op], file: Sequence[Op]) -> bool:
    """One operation for another, neither of which could be the other by another name."""
    if len(network) != 1 or len(file) != 1 or network[0].opaque:
        return False
    return FOREIGN not in file[0].kind and network[0].kind in ("clip", "add", "softmax", "mean", "max_pool", "avg_pool")


def _without_common_end(matching: Matching, network: Sequence[Op], file: Sequence[Op]) -> tuple[list[Op], list[Op]]:
    """Both sides without what they end with in common: that reads something else, but does the same."""
    first, second = list(network), list(file)
    while first and second and matching.pairs.exact(first[-1], second[-1]):
        one, other = first[-1], second[-1]
        if one.kind in COMMUTATIVE or len(one.inputs) > 1:
            known = {matching.to_file[name] for name in one.inputs if name in matching.to_file}
            if {value for value in other.inputs if value in matching.image} != known:
                break
        first.pop()
        second.pop()
    return first, second


def _difference(matching: Matching, network: Sequence[Op], file: Sequence[Op], gap: Gap) -> Difference | None:
    if not network and not file:
        return None
    if not network:
        reader = (
            gap.network[0] if gap.network else next((op for op in matching.network.ops if gap.value in op.inputs), None)
        )
        return extra_between(matching, file, reader)
    first_op = network[0]
    if not file:
        return Difference(layer=first_op.layer, what="missing node", expected=listed(network), found=NOTHING)
    if len(network) == len(file) == 1 and first_op.kind == file[0].kind and matching.known(first_op):
        rows = matching.pairs.differences(first_op, file[0])
        return rows[0] if rows else wiring(matching, first_op, file[0])
    return Difference(layer=first_op.layer, what="operation", expected=listed(network), found=listed(file))


def extra(layer: str, found: str) -> Difference:
    return Difference(layer=layer, what="extra node", expected=NOTHING, found=found)


def extra_between(matching: Matching, inserted: Sequence[Op], reader: Op | None) -> Difference:
    """Named after the layer that ends with the extra operations, if they bear its name, or that reads them."""
    inside = {name for op in inserted for name in op.outputs}
    before = [name for op in inserted for name in op.inputs if name not in inside]
    makers = [matching.makers.get(name) for value in before for name in matching.image.get(value, ())]
    maker = next((op for op in makers if op is not None), None)
    if maker is not None and (reader is None or inserted[-1].layer == maker.layer):
        return extra(maker.layer, f"{listed(inserted)} behind it")
    return extra(reader.layer if reader else "the input", f"{listed(inserted)} before it")


def wiring(matching: Matching, op: Op, other: Op) -> Difference:
    expected, found = list(matching.inputs(op)), list(other.inputs)
    for value in list(expected):
        if value in found:
            expected.remove(value)
            found.remove(value)
    return Difference(
        layer=op.layer,
        what="wiring",
        expected="the output of " + ", ".join(map(matching.maker, expected)),
        found="the output of " + ", ".join(map(matching.maker, found)),
    )


def listed(ops: Sequence[Op]) -> str:
    titles = [op.title for op in ops]
    return ", ".join(titles[:4]) + (f" and {len(titles) - 4} more" if len(titles) > 4 else "") if titles else NOTHING


def not_known(ops: Sequence[Op], reason: str) -> Unrecognized:
    return Unrecognized(side="file", layer=listed(ops), reason=reason)
