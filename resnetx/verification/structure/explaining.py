"""Says what is different where a file and a network do not agree, or that it can't be said."""

from collections.abc import Sequence
from dataclasses import dataclass

from resnetx.verification.structure.evaluate import equivalent
from resnetx.verification.structure.graph import FOREIGN, Op
from resnetx.verification.structure.matching import UNREACHED, Matching
from resnetx.verification.structure.pairs import COMMUTATIVE, different_attributes
from resnetx.verification.structure.result import NOTHING, Difference, Unrecognized


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Between what is known and a value that both sides must have: the operations of each side."""

    value: str
    found: str
    network: list[Op]
    file: list[Op]


def explain_all(matching: Matching) -> None:
    """Match what is the same, explain the first operation that has no counterpart, and go on behind it."""
    matching.match_exact()
    while matching.pending:
        op = next((op for op in matching.pending if matching.known(op)), None)
        if op is None:
            _resume(matching)
        else:
            _explain(matching, op)
        matching.match_exact()
    _compare_outputs(matching)


def _explain(matching: Matching, op: Op) -> None:
    twins = matching.twins(op)
    if op.parameters and not op.opaque and op.kind != "affine":
        comparable = [other for other in twins if matching.pairs.comparable(op, other)]
        if comparable:
            _compare(matching, op, _closest(matching, op, comparable))
            return
        moved = matching.elsewhere(op)
        if moved is not None:
            _compare_inputs(matching, op, moved)
            return
        # Another shape may be several layers in one, unless it has the very name.
        alike = [other for other in twins if other.layer == op.layer]
        if alike:
            _compare(matching, op, alike[0])
            return
    gap = _gap(matching, op)
    if gap is not None:
        _judge(matching, gap)
    elif twins and not op.opaque:
        _compare(matching, op, _closest(matching, op, twins))
    else:
        rewired = _rewired(matching, op)
        if rewired is None:
            matching.not_found(op, "no operation of the file is known to do this")
        else:
            matching.bind(op, rewired, [_wiring(matching, op, rewired)])


def _closest(matching: Matching, op: Op, candidates: Sequence[Op]) -> Op:
    """The candidate with the fewest differences; of equal ones that with the layer's name."""

    def distance(other: Op) -> tuple[int, int, float]:
        wrong = len(different_attributes(op, other))
        if not matching.pairs.comparable(op, other):
            return (1, wrong, 0.0)
        mismatches = matching.pairs.mismatches(op, other).values()
        return (0 if other.layer == op.layer else 1, wrong, sum(each.count / each.total for each in mismatches))

    return min(candidates, key=distance)


def _compare(matching: Matching, op: Op, other: Op) -> None:
    """Report what differs between two operations in the same place; if it is what was folded in, say that."""
    pairs = matching.pairs
    differences = pairs.differences(op, other)
    inner = other.unfolded
    while inner is not None:
        if pairs.comparable(op, inner) and not pairs.mismatches(op, inner) and not different_attributes(op, inner):
            extra = [name for name in other.sources if name not in inner.sources]
            differences = [_extra(op.layer, f"{', '.join(extra)} behind it")]
            break
        inner = inner.unfolded
    matching.bind(op, other, differences)


def _extra(layer: str, found: str) -> Difference:
    return Difference(layer=layer, what="extra node", expected=NOTHING, found=found)


def _extra_between(matching: Matching, extra: Sequence[Op], reader: Op | None) -> Difference:
    """Named after the layer that ends with the extra operations, if they bear its name, or that reads them."""
    inside = {name for op in extra for name in op.outputs}
    before = [name for op in extra for name in op.inputs if name not in inside]
    makers = [matching.makers.get(name) for value in before for name in matching.image.get(value, ())]
    maker = next((op for op in makers if op is not None), None)
    if maker is not None and (reader is None or extra[-1].layer == maker.layer):
        return _extra(maker.layer, f"{_listed(extra)} behind it")
    return _extra(reader.layer if reader else "the input", f"{_listed(extra)} before it")


def _follow(matching: Matching, name: str, before: str, behind: str) -> None:
    """Extra operations that all other readers see, too, are reported once."""
    if not matching.free(matching.readers[before]) and before not in matching.file.outputs:
        matching.to_file[name] = behind
        matching.image[behind].append(name)


def _wiring(matching: Matching, op: Op, other: Op) -> Difference:
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


def _rewired(matching: Matching, op: Op) -> Op | None:
    """An operation like this one that reads other tensors of the network than it should."""
    expected = set(matching.inputs(op))
    for other in matching.free(matching.file.ops):
        related = expected & set(other.inputs) or other.layer == op.layer
        if related and not op.opaque and matching.pairs.exact(op, other):
            if all(value in matching.image for value in other.inputs):
                return other
    return None


def _compare_inputs(matching: Matching, op: Op, other: Op) -> None:
    """The layer is there, with its parameters; what it reads is not what it should."""
    differences = [row for row in matching.pairs.differences(op, other) if row.place is None]
    undecided = False
    for expected, found in zip(matching.inputs(op), other.inputs, strict=False):
        if expected == found:
            continue
        if found in matching.image:
            differences.append(_wiring(matching, op, other))
            continue
        extra = matching.file_part(found)
        name = next(name for name in op.inputs if matching.to_file[name] == expected)
        gap = Gap(value=name, found=found, network=[], file=extra)
        verdict = _same(matching, gap)
        matching.used.update(map(id, extra))
        if verdict is True:
            _follow(matching, name, expected, found)
            continue
        if verdict is False or not any(FOREIGN in each.kind for each in extra):
            differences.append(_extra_between(matching, extra, op))
            _follow(matching, name, expected, found)
        else:
            undecided = True
            matching.unrecognized.append(_not_known(extra, f"it stands before {op.layer}, where the network has nothing"))
    if undecided and not differences:
        matching.used.add(id(other))
        for name, value in zip(op.outputs, other.outputs, strict=False):
            matching.same(name, value)
        matching.done(op)
        return
    matching.bind(op, other, differences)


def _gap(matching: Matching, op: Op) -> Gap | None:
    """The nearest values behind `op` of which it is known that they must be the same."""
    goals: list[tuple[str, str]] = []
    later = matching.pending[matching.pending.index(op) + 1 :]
    for other in later:
        if other.parameters and other.inputs:
            found = matching.elsewhere(other) or _named(matching, other)
            if found is not None and found.inputs:
                goals.append((other.inputs[0], found.inputs[0]))
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


def _same(matching: Matching, gap: Gap) -> bool | None:
    return equivalent(
        gap.network,
        gap.file,
        frontier=matching.to_file,
        shapes=(matching.network.shapes, matching.file.shapes),
        results=(gap.value, gap.found),
    )


def _judge(matching: Matching, gap: Gap) -> None:
    """Whether the two sides of a gap compute the same; if not, what is different."""
    verdict = _same(matching, gap)
    network, file = gap.network, gap.file
    if verdict is True:
        matching.proved.extend(network)
    else:
        rest, extra = _without_common_end(matching, network, file)
        row = _difference(matching, rest, extra, gap)
        foreign = any(FOREIGN in each.kind for each in extra)
        opaque = any(each.opaque for each in rest)
        one_sided = not rest or not extra
        decided = verdict is False or (one_sided and not foreign and not opaque) or _one_for_one(rest, extra)
        if decided and row is not None:
            matching.differences.append(row)
            matching.proved.extend(each for each in network if each not in rest)
        else:
            for each in rest:
                matching.unrecognized.append(
                    Unrecognized(side="network", layer=each.layer or each.kind, reason=f"in its place is {_listed(extra)}")
                )
            if extra:
                matching.unrecognized.append(_not_known(extra, f"it stands in the place of {_listed(rest)}"))
    for op in network:
        matching.done(op)
    matching.used.update(map(id, file))
    matching.same(gap.value, gap.found)


def _one_for_one(network: Sequence[Op], file: Sequence[Op]) -> bool:
    """One operation for another, neither of which could be the other by another name."""
    if len(network) != 1 or len(file) != 1 or network[0].opaque:
        return False
    return FOREIGN not in file[0].kind and network[0].kind in ("clip", "add", "softmax", "mean", "max_pool", "avg_pool")


def _without_common_end(
    matching: Matching, network: Sequence[Op], file: Sequence[Op]
) -> tuple[list[Op], list[Op]]:
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
        reader = gap.network[0] if gap.network else next(
            (op for op in matching.network.ops if gap.value in op.inputs), None
        )
        return _extra_between(matching, file, reader)
    first_op = network[0]
    if not file:
        return Difference(
            layer=first_op.layer, what="missing node", expected=_listed(network), found=NOTHING
        )
    if len(network) == len(file) == 1 and first_op.kind == file[0].kind and matching.known(first_op):
        rows = matching.pairs.differences(first_op, file[0])
        return rows[0] if rows else _wiring(matching, first_op, file[0])
    return Difference(layer=first_op.layer, what="operation", expected=_listed(network), found=_listed(file))


def _listed(ops: Sequence[Op]) -> str:
    titles = [op.title for op in ops]
    return ", ".join(titles[:4]) + (f" and {len(titles) - 4} more" if len(titles) > 4 else "") if titles else NOTHING


def _not_known(ops: Sequence[Op], reason: str) -> Unrecognized:
    return Unrecognized(side="file", layer=_listed(ops), reason=reason)


def _resume(matching: Matching) -> None:
    """Nothing that is left reads known values: go on at a layer that is found by its parameters."""
    for op in matching.pending:
        found = matching.elsewhere(op, attributes=True)
        if found is not None and not op.opaque:
            for name, value in zip(op.inputs, found.inputs, strict=False):
                matching.same(name, value)
            matching.bind(op, found, ())
            return
    for op in list(matching.pending):
        matching.not_found(op, UNREACHED)


def _compare_outputs(matching: Matching) -> None:
    for number, (value, found) in enumerate(zip(matching.network.outputs, matching.file.outputs, strict=False)):
        expected = matching.to_file.get(value)
        if expected is None or expected == found:
            continue
        maker = matching.makers.get(value)
        layer = maker.layer if maker else f"output {number}"
        if found in matching.image:
            matching.differences.append(
                Difference(
                    layer=layer,
                    what="wiring",
                    expected=f"output {number}",
                    found=f"not; that is the output of {matching.maker(found)}",
                )
            )
            continue
        _judge(matching, Gap(value=value, found=found, network=[], file=matching.file_part(found)))
