"""The result of a profile: the raw times of every layer and of whole runs, and what ran.

Version 1 of the format is the first. The figures stand in the file for other readers, and are derived again when it is
read.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Annotated, Any

from pydantic import Field

from resnetx.base.text import readable
from resnetx.base.validation import Facts, InvalidDataError, Number, Positive, validated
from resnetx.benchmark.profiling.layer import LayerFigures, ProfiledLayer, layer_figures
from resnetx.benchmark.profiling.options import ProfileOptions
from resnetx.benchmark.result import Limits
from resnetx.errors import FileError

SCHEMA = "resnetx.profile/1"
MAX_LAYERS = 100_000
Samples = Annotated[tuple[Annotated[Number, Field(gt=0)], ...], Field(min_length=1)]
Rounds = Annotated[tuple[Samples, ...], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A complete profile. `plain_ms` are the times of runs without profiling, in rounds, `profiled_ms` with it.

    `threads` and `batch` are those of every run, `options` all options of the engine in effect. `limits` are the
    machine's peaks, measured in the same command, and `limits_problem` is why they are unknown.
    """

    created: str
    machine: Facts
    model: str
    provider: str
    batch: Positive
    threads: Positive
    effective_precision: str
    plain_ms: Rounds
    profiled_ms: Rounds
    layers: Annotated[tuple[ProfiledLayer, ...], Field(min_length=1, max_length=MAX_LAYERS)]
    model_sha256: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    limits: Limits | None = None
    limits_problem: str | None = None
    settings: ProfileOptions = field(default_factory=ProfileOptions)

    @property
    def run_ms(self) -> float:
        """The median time of a run without profiling."""
        return median(time for times in self.plain_ms for time in times)

    @property
    def profiled_run_ms(self) -> float:
        return median(time for times in self.profiled_ms for time in times)

    @property
    def layers_ms(self) -> float:
        """The sum of all layers."""
        return sum(layer.time_ms for layer in self.layers)

    @property
    def outside_ms(self) -> float:
        """What a run takes beside its layers; negative if they take longer with profiling than a run without."""
        return self.run_ms - self.layers_ms

    @property
    def figures(self) -> tuple[LayerFigures, ...]:
        """The figures of every layer, in execution order."""
        return tuple(layer_figures(layer, self.run_ms, self.limits) for layer in self.layers)

    def __repr__(self) -> str:
        most = max(self.figures, key=lambda each: each.share)
        slowest = f"most in {readable(most.layer.name, 60)} ({most.share:.0%})"
        where = f"{readable(self.model, 60)} on {self.provider}"
        return f"<Profile of {where}: {self.run_ms:.3g} ms a run, {len(self.layers)} layers, {slowest}>"

    def to_json(self) -> dict[str, Any]:
        """The raw times and the figures, for readers that do not compute statistics themselves."""
        layers = [asdict(each.layer) | each.to_json() for each in self.figures]
        derived = {name: getattr(self, name) for name in ("run_ms", "profiled_run_ms", "layers_ms", "outside_ms")}
        return {"schema": SCHEMA} | asdict(self) | {"layers": layers} | derived

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Profile":
        if data.get("schema") != SCHEMA:
            raise FileError(
                f"A profile has the schema {SCHEMA}, and this has {readable(str(data.get('schema')), 60)!r}; give what "
                "`resnetx profile --json` wrote."
            )
        try:
            return validated(cls, data)
        except InvalidDataError as error:
            raise FileError(f"This is not a profile that `resnetx profile --json` wrote ({error}).") from error
