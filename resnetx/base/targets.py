"""Refuses targets that cannot be written, that are one file, or that would destroy an input, before the work begins."""

import os
import secrets
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from resnetx.base.files import existing, require_writable, resolved
from resnetx.errors import FileError, UsageError


def check_targets(
    targets: Mapping[str, Path | None],
    *,
    inputs: Mapping[str, Iterable[Path]],
    may_be: Mapping[str, Path],
) -> None:
    """Check the files that a command writes against each other and against what it reads; keys are the options.

    A device or a pipe may be the target of several options. `may_be` is an input that an option may overwrite.
    """
    given = {option: path for option, path in targets.items() if path is not None}
    for path in given.values():
        require_writable(path)
    read = [(option, path) for option, paths in inputs.items() for path in paths]
    options = list(given)
    for number, option in enumerate(options):
        for other in options[:number]:
            if same_file(given[option], given[other]):
                raise UsageError(
                    f"{other} {given[other]} and {option} {given[option]} are the same file, so one would overwrite "
                    "the other; give each a file of its own."
                )
        for other, path in read:
            if path != may_be.get(option) and same_file(given[option], path):
                raise UsageError(
                    f"{option} {given[option]} would overwrite what {other} reads ({path}); write to another file."
                )


def same_file(first: Path, second: Path) -> bool:
    """Whether two paths lead to one file: also by a link, or by a name in another case where that is the same."""
    try:
        ours, theirs = existing(first), existing(second)
        if ours is not None and theirs is not None:
            return os.path.samestat(ours, theirs) and stat.S_ISREG(ours.st_mode)
        if ours is not None or theirs is not None:
            return False
        one, two = resolved(first), resolved(second)
    except OSError as error:
        raise FileError(f"Cannot compare {first} with {second}: {error.strerror or error}. Check the paths.") from error
    if one == two:
        return True
    folders = existing(one.parent), existing(two.parent)
    same_folder = folders[0] is not None and folders[1] is not None and os.path.samestat(folders[0], folders[1])
    return same_folder and (one.name == two.name or _equal_on_disk(one, two))


def _equal_on_disk(one: Path, two: Path) -> bool:
    """Whether the file system gives one file to two names that differ in case only; neither exists yet."""
    if one.name.casefold() != two.name.casefold():
        return False
    probe = one.with_name(f".resnetx-case-{secrets.token_hex(4)}.tmp")
    try:
        probe.touch(exist_ok=False)
        return probe.with_name(probe.name.upper()).exists()
    finally:
        probe.unlink(missing_ok=True)
