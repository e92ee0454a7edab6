"""What a search has found so far, in its folder, so that an interrupted one goes on where it was."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from resnetx.base.files import write_whole
from resnetx.base.regular_file import read_limited
from resnetx.base.validation import Facts, Name, parse_json, validated
from resnetx.errors import FileError
from resnetx.machine.differences import HARDWARE, fact_differences, version_differences
from resnetx.tuning.candidates import Candidate
from resnetx.tuning.files import MadeFile
from resnetx.tuning.search import Trial

JOURNAL = "search.json"
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class Entries:
    """`request` is what was asked for; `machine` where the trials ran."""

    request: Facts
    machine: Facts
    files: dict[Name, MadeFile] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)


class Journal:
    """Written after each step. `note` is why an earlier one was not used."""

    def __init__(self, folder: Path, request: Mapping[str, Any], machine: Mapping[str, Any], *, restart: bool) -> None:
        self._path = folder / JOURNAL
        self.note: str | None = None
        # As it is read again: a tuple becomes a list.
        empty = Entries(request=_plain(request), machine=_plain(machine))
        earlier = None if restart else self._earlier(empty)
        self.entries = earlier or empty
        self.resumed = len(self.entries.trials)

    def trial_of(self, candidate: Candidate) -> Trial | None:
        return next((trial for trial in self.entries.trials if trial.candidate == candidate), None)

    def keep_file(self, name: str, made: MadeFile) -> None:
        self._write(replace(self.entries, files={**self.entries.files, name: made}))

    def keep_trial(self, trial: Trial) -> None:
        self._write(replace(self.entries, trials=[*self.entries.trials, trial]))

    def _write(self, entries: Entries) -> None:
        self.entries = entries
        write_whole(self._path, json.dumps(asdict(entries), indent=1) + "\n")

    def _earlier(self, wanted: Entries) -> Entries | None:
        if not self._path.is_file():
            return None
        try:
            found = validated(Entries, parse_json(read_limited(self._path, MAX_BYTES, "a search").decode()))
        except (ValueError, FileError):
            self.note = "The earlier search in the folder could not be read, so this one started from the beginning."
            return None
        if found.request != wanted.request:
            self.note = "The earlier search in the folder was for another file or with other options."
            return None
        differences = (
            *fact_differences(found.machine, wanted.machine, HARDWARE),
            *version_differences(found.machine, wanted.machine),
        )
        if differences:
            self.note = f"The earlier search in the folder ran on another machine ({'; '.join(differences)})."
            return None
        return found


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(data, default=str))
    return plain
