"""The files that a search tries: the source, and those made from it in lower precisions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from resnetx.base.files import write_whole
from resnetx.base.progress import OnProgress, Steps
from resnetx.base.validation import Count, Name, Sha256
from resnetx.benchmark.plan import BenchModel, look_into
from resnetx.conversion.convert import ConvertOptions, convert_file
from resnetx.conversion.quantization.quantize import QuantizeOptions, quantize_file
from resnetx.graph.quantization.presets import PRESETS, SHIFTED_FOR
from resnetx.graph.reading.onnx_file import read_onnx_file
from resnetx.graph.simplification.simplify import serialize
from resnetx.machine.facts import read_processor
from resnetx.runtime.catalog import BY_NAME
from resnetx.tuning.candidates import SOURCE
from resnetx.tuning.options import TuneOptions


@dataclass(frozen=True, kw_only=True)
class MadeFile:
    """A file of the search and the providers that it is for, or the `problem` why there is none.

    `kept` of its layers stayed in a higher precision.
    """

    providers: list[Name]
    sha256: Sha256 | None = None
    kept: Count = 0
    problem: str | None = None


# Writes the file; what it tells of it lacks the hash.
Maker = Callable[[Path], MadeFile]


class FileMaker:
    """Makes the files of a search in `folder`."""

    def __init__(
        self, source: Path, folder: Path, providers: Sequence[str], options: TuneOptions, steps: Steps
    ) -> None:
        self._source, self._folder, self._options, self._steps = source, folder, options, steps
        self._makers: dict[str, Maker] = {SOURCE: partial(self._copy, providers)}
        gpus = [name for name in providers if BY_NAME[name].gpu]
        if gpus and look_into(source).precision == "fp32":
            self._makers["fp16"] = partial(self._half, gpus)
        if options.calibrate is not None:
            targets = _targets(providers)
            for target, able in targets.items():
                name = "int8" if len(targets) == 1 else f"int8-{target}"
                self._makers[name] = partial(self._quantized, target, able)

    def make(
        self, known: Mapping[str, MadeFile], keep: Callable[[str, MadeFile], None]
    ) -> tuple[dict[str, MadeFile], dict[str, BenchModel]]:
        """All files and the models in them. Those in `known` were made before; `keep` is called with each new one."""
        made: dict[str, MadeFile] = {}
        models: dict[str, BenchModel] = {}
        for name, make in self._makers.items():
            path = self._folder / f"{name}.onnx"
            earlier = known.get(name)
            if earlier is not None and (earlier.problem is not None or _is(path, earlier.sha256)):
                made[name] = earlier
            else:
                self._steps.detail(path.name)
                made[name] = make(path)
                if made[name].problem is None:
                    made[name] = replace(made[name], sha256=look_into(path).sha256)
                keep(name, made[name])
            if made[name].problem is None:
                models[name] = look_into(path)
        return made, models

    def _within(self, target: Path) -> OnProgress:
        return lambda event: self._steps.within(replace(event, text=f"{target.name}: {event.text}"))

    def _copy(self, providers: Sequence[str], target: Path) -> MadeFile:
        """Byte for byte, unless weights are stored in other files: what is written stands alone."""
        file = read_onnx_file(self._source)
        write_whole(target, serialize(file.model) if file.external_bytes else self._source.read_bytes())
        return MadeFile(providers=list(providers))

    def _half(self, providers: Sequence[str], target: Path) -> MadeFile:
        options = ConvertOptions(limits=self._options.limits, force=True)
        result = convert_file(self._source, target, options, progress=self._within(target))
        problem = None if result.written else "in fp16 it does not agree with the source"
        return MadeFile(providers=list(providers), kept=len(result.kept), problem=problem)

    def _quantized(self, preset: str, providers: Sequence[str], target: Path) -> MadeFile:
        options = self._options
        result = quantize_file(
            self._source,
            target,
            QuantizeOptions(
                calibrate=options.calibrate,
                target=preset,
                evaluate=options.evaluate,
                max_drop=options.max_drop,
                force=True,
                limits=options.limits,
            ),
            progress=self._within(target),
        )
        problem = None if result.written else f"in INT8 the drop stays above {options.max_drop:.2%}"
        return MadeFile(providers=list(providers), kept=len(result.made.kept), problem=problem)


def _targets(providers: Sequence[str]) -> dict[str, list[str]]:
    """For each recipe that differs from the others, one target, and all providers that it is for."""
    shifts = SHIFTED_FOR in read_processor().instruction_sets
    recipes = {
        # OpenVINO drops a Reshape that changes nothing.
        name: replace(preset, target="", shifts=preset.shifts and shifts, moves_transposes=False)
        for name, preset in PRESETS.items()
        if name in providers
    }
    groups: dict[str, list[str]] = {}
    for name, recipe in recipes.items():
        first = next(other for other in recipes if recipes[other] == recipe)
        groups.setdefault(first, []).append(name)
    return groups


def _is(path: Path, sha256: str | None) -> bool:
    return path.is_file() and read_onnx_file(path).sha256 == sha256
