"""Says what is different where a file and a network do not agree, or that it can't be said."""

from collections.abc import Sequence

from resnetx.verification.structure.gaps import (
    Gap,
    computes_the_same,
    extra,
    extra_between,
    find_gap,
    judge,
    moves_only,
    not_known,
    wiring,
)
from resnetx.verification.structure.graph import Op
from resnetx.verification.structure.matching import UNREACHED, Matching
from resnetx.verification.structure.pairs import different_attributes
from resnetx.verification.structure.result import Difference


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
    gap = find_gap(matching, op)
    if gap is not None:
        judge(matching, gap)
    elif twins and not op.opaque:
        _compare(matching, op, _closest(matching, op, twins))
    else:
        rewired = _rewired(matching, op)
        if rewired is None:
            matching.not_found(op, "no operation of the file is known to do this")
        else:
            matching.bind(op, rewired, [wiring(matching, op, rewired)])


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
    inner = other.unfolded if differences else None
    while inner is not None:
        if pairs.comparable(op, inner) and not pairs.mismatches(op, inner) and not different_attributes(op, inner):
            inserted = [name for name in other.sources if name not in inner.sources]
            differences = [extra(op.layer, f"{', '.join(inserted)} behind it")]
            break
        inner = inner.unfolded
    matching.bind(op, other, differences)


def _follow(matching: Matching, name: str, before: str, behind: str) -> None:
    """Extra operations that all other readers see, too, are reported once."""
    if not matching.free(matching.readers[before]) and before not in matching.file.outputs:
        matching.to_file[name] = behind
        matching.image[behind].append(name)


def _rewired(matching: Matching, op: Op) -> Op | None:
    """An operation like this one that reads other tensors of the network than it should."""
    expected = set(matching.inputs(op))
    for other in matching.free(matching.file.ops):
        related = expected & set(other.inputs) or other.layer == op.layer
        known = all(value in matching.image for value in other.inputs)
        if related and known and not op.opaque and matching.pairs.exact(op, other):
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
            differences.append(wiring(matching, op, other))
            continue
        inserted = matching.file_part(found)
        name = next(name for name in op.inputs if matching.to_file[name] == expected)
        gap = Gap(value=name, found=found, network=[], file=inserted)
        verdict = computes_the_same(matching, gap)
        matching.used.update(map(id, inserted))
        if verdict is True:
            _follow(matching, name, expected, found)
            continue
        if verdict is False or not moves_only(inserted):
            differences.append(extra_between(matching, inserted, op))
            _follow(matching, name, expected, found)
        else:
            undecided = True
            matching.unrecognized.append(
                not_known(inserted, f"it stands before {op.layer}, where the network has nothing")
            )
    # With unknown operations before it, other attributes may be part of an honest rewrite.
    if undecided and all(row.what not in ("wiring", "extra node") for row in differences):
        matching.used.add(id(other))
        for name, value in zip(op.outputs, other.outputs, strict=False):
            matching.same(name, value)
        matching.done(op)
        return
    matching.bind(op, other, differences)


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
        judge(matching, Gap(value=value, found=found, network=[], file=matching.file_part(found)))
