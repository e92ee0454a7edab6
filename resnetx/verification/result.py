"""The result of a verification: whether the file is the network, and whether each provider computes it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from resnetx.base.text import readable
from resnetx.verification.coverage_result import Coverage
from resnetx.verification.float_agreement import FloatAgreement
from resnetx.verification.layers import LayerParity, first_fault
from resnetx.verification.parity import Check, Parity, json_safe
from resnetx.verification.structure.result import StructureComparison

# Version 2 adds `file`, and `graph` and layers to every verdict; version 3 `unproven` and `remarks`, the `left_out`
# layers of every verdict, whether the tensor of a layer `moves` with the inputs, `not_run`, `images` and the seconds.
SCHEMA = "resnetx.verify/3"


@dataclass(frozen=True, kw_only=True)
class Images:
    """How many of the user's photographs were verified on, and how many there are."""

    used: int
    found: int


@dataclass(frozen=True, kw_only=True)
class NotRun:
    """A provider that could not run the file, and why."""

    provider: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class FileVerdict:
    """Whether the file is the network: its weights and graph, and its outputs and inner tensors in float64.

    `coverage` says which channels of the network no input reaches.
    `left_out` are layers that are not comparable, and why. `problems` are claims of the card that the file
    contradicts, `unshown` those that it can neither show nor contradict; `notes` say what could not be compared.
    `wrong_layer` is the first that is wrong by its numbers, its weights or its place. `seconds` is what it took.
    """

    structure: StructureComparison | None = None
    coverage: Coverage | None = None
    parity: Parity | None = None
    layers: tuple[LayerParity, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    unshown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    wrong_layer: str | None = None
    seconds: float = field(default=0.0, compare=False)

    @property
    def passed(self) -> bool:
        parts = (self.structure, self.parity)
        equal = all(part is None or part.passed for part in parts)
        return equal and not self.problems and all(layer.passed for layer in self.layers)

    @property
    def first_fault(self) -> LayerParity | None:
        return first_fault(self.layers)

    @property
    def shows_inside(self) -> bool:
        """Whether all weights, or an inner tensor that moves with the inputs, were compared with the network's."""
        proved = self.structure is not None and self.structure.complete and bool(self.structure.proved)
        return proved or any(layer.moves for layer in self.layers)


def shows_anything(file: FileVerdict | None, unproven: str | None) -> bool:
    """Whether the outputs prove something or, where they do not, the file was compared inside."""
    return unproven is None or (file is not None and file.shows_inside)


@dataclass(frozen=True, kw_only=True)
class ProviderVerdict:
    """One provider: `parity` with the reference, and `graph` and `layers` with the file's own graph in float64.

    `agreement` is that of an INT8 file with the float network. `left_out` are layers that are not comparable, and why.
    `notes` are remarks for the user, `seconds` what it took.
    """

    provider: str
    precision: str
    placement: tuple[tuple[str, int], ...]
    options: dict[str, str]
    parity: Parity
    deterministic: bool
    graph: Parity | None = None
    agreement: FloatAgreement | None = None
    layers: tuple[LayerParity, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)

    @property
    def passed(self) -> bool:
        parts = (self.graph, self.agreement)
        equal = all(part is None or part.passed for part in parts)
        return self.parity.passed and equal and all(layer.passed for layer in self.layers)

    @property
    def first_fault(self) -> LayerParity | None:
        return first_fault(self.layers)

    @property
    def wrong_layer(self) -> str | None:
        return None if self.first_fault is None else self.first_fault.name


@dataclass(frozen=True, kw_only=True)
class Verification:
    """A file compared with its reference, on every requested provider.

    `samples` is the number of runs of a sample. `file` is None if no network is known. `not_run` are the providers that
    could not run it: without them, nothing is passed. `unproven` is why agreement of the outputs with the reference
    would prove nothing: a file that agrees has then neither passed nor failed. `remarks` are on single outputs of the
    reference.
    """

    model: str
    model_sha256: str
    architecture: str
    reference: str
    seed: int
    samples: int
    file: FileVerdict | None
    verdicts: tuple[ProviderVerdict, ...]
    not_run: tuple[NotRun, ...] = ()
    images: Images | None = None
    unproven: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.agrees and not self.not_run and self.unproven is None

    @property
    def agrees(self) -> bool:
        """Whether nothing is wrong, even if that proves nothing, however many providers could not run."""
        return bool(self.verdicts) and all(part.passed for part in self._parts)

    @property
    def failed(self) -> bool:
        """Whether something that was compared is wrong."""
        return not self.agrees

    @property
    def usable(self) -> bool:
        """Whether nothing is wrong and, where the outputs prove nothing, the file was compared inside."""
        return self.agrees and shows_anything(self.file, self.unproven)

    def __repr__(self) -> str:
        model, on = readable(self.model, 60), " and ".join(verdict.provider for verdict in self.verdicts)
        if self.passed:
            largest = max(
                (check for each in self.verdicts if (check := each.parity.largest)),
                key=lambda check: check.multiple or 0.0,
                default=None,
            )
            figure = "" if largest is None else f", {error_words(largest)}"
            return f"<Verification of {model}: passed on {on}{figure}>"
        if self.agrees:
            absent = ", ".join(each.provider for each in self.not_run)
            return (
                f"<Verification of {model}: {'nothing could be proven' if self.unproven else f'not run on {absent}'}>"
            )
        failed = next((check for each in self.verdicts if (check := each.parity.first_failed)), None)
        what = "" if failed is None else f", {failed.output}: {readable(failed.reason or '', 120)}"
        layer = f", first wrong layer {readable(self.wrong_layer, 60)}" if self.wrong_layer else ""
        return f"<Verification of {model}: FAILED{what}{layer}>"

    @property
    def wrong_layer(self) -> str | None:
        """The first wrong layer of the file or, if that is right, of a provider."""
        return next((part.wrong_layer for part in self._parts if part.wrong_layer is not None), None)

    @property
    def _parts(self) -> tuple[FileVerdict | ProviderVerdict, ...]:
        return (*(() if self.file is None else (self.file,)), *self.verdicts)

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        parts: list[tuple[dict[str, Any], FileVerdict | ProviderVerdict]]
        parts = list(zip(data["verdicts"], self.verdicts, strict=True))
        for row, verdict in [*parts, (data["file"], self.file)] if self.file else parts:
            row["passed"] = verdict.passed
            row["first_fault"] = verdict.wrong_layer
        result: dict[str, Any] = json_safe({"schema": SCHEMA, "passed": self.passed, **data})
        return result


def error_words(check: Check) -> str:
    """The main figure of a check whose noise is known."""
    return f"error at most {check.multiple:.2g} of {check.allowed:g} times the reference's own"
