"""The folder of a search: its candidates while it runs, and the winner with its settings at the end."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from resnetx.base.files import write_whole
from resnetx.base.locks import lock
from resnetx.base.regular_file import read_limited
from resnetx.base.text import readable
from resnetx.base.validation import object_of, parse_json
from resnetx.benchmark.plan import BenchModel
from resnetx.errors import FileError, UsageError
from resnetx.runtime.tuned_model import MODEL, SETTINGS, TunedModel
from resnetx.tuning.journal import JOURNAL
from resnetx.tuning.result import Tuning

CANDIDATES, RESULT, REPORT = "candidates", "tuning.json", "report.html"
# Of a result, with all samples.
MAX_BYTES = 2**30
# What a search leaves in its folder, or works with there.
OWN = {CANDIDATES, RESULT, REPORT, JOURNAL, MODEL, SETTINGS}


@contextmanager
def search_folder(folder: Path, source: Path, *, force: bool = False) -> Iterator[Path]:
    """The folder of the candidates, in `folder`, which no other search uses; removed when the search has ended."""
    candidates = folder / CANDIDATES
    _check_folder(folder, source)
    if not force:
        _check_result(folder, source)
    try:
        candidates.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise FileError(
            f"Cannot write into {folder}: {error.strerror or error}. Give another folder with -o."
        ) from error
    try:
        if lock(descriptor) == "taken":
            raise UsageError(f"Another search is writing into {folder}; wait for it, or give another folder with -o.")
        yield candidates
        shutil.rmtree(candidates, ignore_errors=True)
        (folder / JOURNAL).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _check_folder(folder: Path, source: Path) -> None:
    if "\0" in str(folder) or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"-o {str(folder)!r} is not a folder, which resnetx tune writes several files into.")
    if not folder.exists():
        return
    try:
        others = sorted(entry.name for entry in folder.iterdir() if entry.name not in OWN and entry.name[0] != ".")
    except OSError as error:
        raise FileError(f"Cannot read {folder}: {error.strerror or error}. Give another folder with -o.") from error
    if others:
        raise UsageError(f"{folder} has other files, such as {others[0][:60]!r}; give a folder of its own with -o.")
    if source.parent.resolve() == folder.resolve():
        raise UsageError(f"{source} is in the folder that would be written; give another one with -o.")


def _check_result(folder: Path, source: Path) -> None:
    """Refuse to replace what a search for another file found."""
    if not (folder / RESULT).exists():
        return
    try:
        result = parse_json(read_limited(folder / RESULT, MAX_BYTES, "the result of a search").decode())
        found = str(object_of(result)["source"])
    except (ValueError, KeyError, FileError):
        found = "a file that its result does not name"
    if Path(found).absolute() != source.absolute():
        raise UsageError(
            f"{folder} has what a search for {readable(found)} found, and {source} is another file. It was not "
            "replaced: give another folder with -o, or replace it with --force."
        )


def write_result(result: Tuning, models: Mapping[str, BenchModel], folder: Path) -> None:
    write_whole(folder / RESULT, json.dumps(result.to_json()) + "\n")
    if result.best is None:
        # What an earlier search found was for other requirements.
        for name in (SETTINGS, MODEL):
            (folder / name).unlink(missing_ok=True)
        return
    finalist, case = result.best
    candidate, model = finalist.candidate, models[finalist.candidate.file]
    assert model.sha256 is not None
    write_whole(folder / MODEL, model.path.read_bytes())
    TunedModel(
        provider=candidate.provider,
        precision=candidate.precision,
        threads=candidate.session_threads,
        streams=candidate.streams,
        batch=candidate.batch,
        options=candidate.options,
        objective=result.objective,
        sha256=model.sha256,
        machine=result.benchmark.machine,
        median_ms=case.summary.median_ms,
    ).write(folder)
