"""Walks a file and a network in parallel from their inputs, and finds each operation's counterpart."""

from collections import defaultdict
from collections.abc import Sequence

from resnetx.verification.structure.graph import Graph, Op, ancestors
from resnetx.verification.structure.pairs import COMMUTATIVE, Pairs
from resnetx.verification.structure.result import Difference, Unrecognized

UNREACHED = "what it reads was not found in the file"


class Matching:
    """Which operations of the network have been found, as which of the file, and which of their values are the same."""

    def __init__(self, network: Graph, file: Graph) -> None:
        self.network, self.file = network, file
        self.pairs = Pairs(network, file)
        self.to_file: dict[str, str] = dict(zip(network.inputs, file.inputs, strict=True))
        self.image: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in self.to_file.items():
            self.image[value].append(name)
        self.readers: defaultdict[str, list[Op]] = defaultdict(list)
        for op in file.ops:
            for name in dict.fromkeys(op.inputs):
                self.readers[name].append(op)
        self.makers = network.producers()
        self.file_makers = file.producers()
        self.pending: list[Op] = list(network.ops)
        self.used: set[int] = set()
        self._alike: dict[int, list[Op]] = {}
        self.counterparts: list[tuple[Op, Op]] = []
        self.proved: list[Op] = []
        self.differences: list[Difference] = []
        self.unrecognized: list[Unrecognized] = []
        # What was found to be an honest rewrite for the recorded number of images, and may be none for another.
        self.for_this_batch: list[Op] = []

    # What is known

    def known(self, op: Op) -> bool:
        return all(name in self.to_file for name in op.inputs)

    def inputs(self, op: Op) -> tuple[str, ...]:
        """The file's values for what an operation of the network reads."""
        return tuple(self.to_file[name] for name in op.inputs)

    def reads_the_same(self, op: Op, other: Op) -> bool:
        expected = self.inputs(op)
        return expected == other.inputs or (op.kind in COMMUTATIVE and sorted(expected) == sorted(other.inputs))

    def free(self, ops: Sequence[Op]) -> list[Op]:
        return [op for op in ops if id(op) not in self.used]

    def twins(self, op: Op) -> list[Op]:
        """Free operations of the file of the same kind with the same inputs."""
        readers = self.readers[self.to_file[op.inputs[0]]] if op.inputs else []
        return [other for other in self.free(readers) if other.kind == op.kind and self.reads_the_same(op, other)]

    def elsewhere(self, op: Op, *, attributes: bool = False) -> Op | None:
        """The one free operation of the file with these very parameters, whatever it reads."""
        if not op.parameters:
            return None
        if id(op) not in self._alike:
            self._alike[id(op)] = [other for other in self.file.ops if self.pairs.same_parameters(op, other)]
        found = [other for other in self.free(self._alike[id(op)]) if not attributes or self.pairs.exact(op, other)]
        named = [other for other in found if other.layer == op.layer]
        return found[0] if len(found) == 1 else named[0] if named else None

    def maker(self, value: str) -> str:
        """For people: the layer of the network whose output is this value of the file."""
        for name in self.image.get(value, ()):
            op = self.makers.get(name)
            return "the input" if op is None else op.layer
        op = self.file_makers.get(value)
        return "the input" if op is None else op.title

    # What becomes known

    def same(self, name: str, value: str) -> None:
        """A value of the network is this one of the file."""
        if name not in self.to_file:
            self.to_file[name] = value
            self.image[value].append(name)

    def done(self, op: Op) -> None:
        self.pending = [other for other in self.pending if other is not op]

    def bind(self, op: Op, other: Op, differences: Sequence[Difference]) -> None:
        """`other` is `op`, apart from the differences."""
        self.used.add(id(other))
        self.counterparts.append((op, other))
        for name, value in zip(op.outputs, other.outputs, strict=False):
            self.same(name, value)
        self.done(op)
        if differences:
            self.differences.extend(differences)
        else:
            self.proved.append(op)

    def not_found(self, op: Op, reason: str) -> None:
        self.done(op)
        self.unrecognized.append(Unrecognized(side="network", layer=op.layer or op.kind, reason=reason))

    def match_exact(self) -> None:
        """Find the counterparts of all that is exactly the same and reads the same, as far as this goes."""
        progress = True
        while progress:
            progress = False
            for op in list(self.pending):
                if not self.known(op):
                    continue
                twins = [other for other in self.twins(op) if self.pairs.exact(op, other)]
                if twins:
                    self.bind(op, next((other for other in twins if other.layer == op.layer), twins[0]), ())
                    progress = True

    # Parts that are between what is known

    def network_part(self, value: str) -> list[Op]:
        """What the network computes between what is known and `value`, in its order."""
        found = {id(op) for op in ancestors([value], self.makers, self.to_file)}
        return [op for op in self.network.ops if id(op) in found]

    def file_part(self, value: str) -> list[Op]:
        found = {id(op) for op in ancestors([value], self.file_makers, self.image)}
        return [op for op in self.file.ops if id(op) in found]
