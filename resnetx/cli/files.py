"""The files of a command, declared once: what it writes is checked against what it reads before the work begins."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from resnetx.base.files import existing
from resnetx.base.targets import check_targets
from resnetx.errors import UsageError

# The target of a report that is standard output.
STDOUT = Path("-")
# What is written for later commands; all else are reports, which are overwritten as usual.
PRODUCTS = ("--out", "--golden")
# What the folder of a checkpoint is read from; a model exported into that folder is something else.
CHECKPOINT_SUFFIXES = {".safetensors", ".bin", ".pt", ".pth", ".h5", ".keras"}
MODEL_SUFFIXES = CHECKPOINT_SUFFIXES | {".onnx", ".npz"}
CHECKPOINT_FILES = {"config.json", "preprocessor_config.json", "model.safetensors.index.json"}


def check_files(
    targets: Mapping[str, Path | None],
    *,
    models: Mapping[str, Iterable[Path]] | None = None,
    files: Mapping[str, Path | None] | None = None,
    weights: str | Path | None = None,
    images: Path | None = None,
    may_be: Mapping[str, Path] | None = None,
) -> None:
    """Refuse targets that cannot be written, that are one file, or that are read by the same command.

    The keys are the options. A model is read with the files that hold its weights. `may_be` names an input that an
    option may overwrite, because it is written at the end. A report replaces no model, as where its option is taken for
    a flag: `--json b.onnx`.
    """
    inputs: dict[str, list[Path]] = {option: [path] for option, path in (files or {}).items() if path is not None}
    for option, paths in (models or {}).items():
        inputs[option] = [file for path in paths for file in _files_of(path, targets)]
    if weights is not None and "://" not in str(weights):
        with suppress(RuntimeError):  # a user of ~user who is unknown
            inputs["--weights"] = _checkpoint_files(Path(weights).expanduser())
    if images is not None:
        inputs["--images"] = _image_files(images)
    for option in PRODUCTS:
        if targets.get(option) == STDOUT:
            raise UsageError(
                f"{option} takes a file; found -, which is standard output: write to /dev/stdout for that."
            )
    reports = {option: path for option, path in targets.items() if path is not None and option not in PRODUCTS}
    printed = [option for option, path in reports.items() if path == STDOUT]
    if len(printed) > 1:
        raise UsageError(f"{' and '.join(printed)} cannot both be standard output (-); give one of them a file.")
    files_only = {option: path for option, path in targets.items() if option not in printed}
    check_targets(files_only, inputs=inputs, may_be=may_be or {})
    for option, path in reports.items():
        if path.suffix.lower() in MODEL_SUFFIXES and _exists(path):
            raise UsageError(f"{option} {path} would replace a model by a report; give the report another name.")


def _files_of(model: Path, targets: Mapping[str, Path | None]) -> list[Path]:
    # Parsed only where an existing file, which may hold weights, would be overwritten.
    if any(path is not None and _exists(path) for path in targets.values()):
        from resnetx.graph.reading.onnx_file import external_files

        return [model, *external_files(model)]
    return [model]


def _exists(path: Path) -> bool:
    try:
        return existing(path) is not None
    except (OSError, ValueError):
        return False  # what writes it says why not


def _checkpoint_files(path: Path) -> list[Path]:
    return [
        entry
        for entry in _entries(path)
        if entry.name in CHECKPOINT_FILES or entry.suffix.lower() in CHECKPOINT_SUFFIXES
    ] or [path]


def _image_files(folder: Path) -> list[Path]:
    from resnetx.inputs.image_folder import SUFFIXES

    return [entry for entry in _entries(folder) if entry.suffix.lower() in SUFFIXES]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (OSError, ValueError):
        return []  # what reads it says so
