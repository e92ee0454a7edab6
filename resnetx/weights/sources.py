"""Resolves the source of weights (a path, a repository on a Hugging Face hub or an address) to a local path."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resnetx.base.cache import default_cache
from resnetx.errors import FileError, SourceError
from resnetx.weights.remote.address import parse_hub_address, parse_web_address
from resnetx.weights.remote.download import Progress, fetch_file
from resnetx.weights.remote.hub import fetch_snapshot

__all__ = ["SCHEMES", "Progress", "Source", "resolve_source"]

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
NEARLY = re.compile(r"(hf|https?):", re.IGNORECASE)
# Where automounters look for the names of hosts.
NETWORK_FOLDERS = ("/net/", "/afs/", "/hosts/")
EXAMPLES = "hf://owner/repo[@revision] or https://host/file#sha256=<64 hexadecimal digits>"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A local file or folder for `load_checkpoint`, its name for the model card, and its SHA-256 if verified."""

    path: Path
    description: str
    sha256: str | None


def resolve_source(text: str, *, cache: Path | None = None, progress: Progress | None = None) -> Source:
    """The source that `text` refers to, fetched if necessary.

    Without `cache`, addresses use $RESNETX_CACHE or the user's cache folder, and hubs the cache in HF_HOME.
    """
    scheme = SCHEME.match(text)
    if not scheme:
        return _local(text)
    fetch = SCHEMES.get(scheme[1].lower())
    if not fetch:
        raise SourceError(
            f"{text!r} has the scheme {scheme[1]}://, which resnetx doesn't support; give a path, {EXAMPLES}."
        )
    return fetch(text, cache, progress)


def is_remote(text: str) -> bool:
    """Whether `text` is an address, or a path through which the system contacts a host."""
    path = text.replace("\\", "/")
    first = path.partition("/")[0]
    is_drive = len(first) == 2 and first[0].isalpha()
    return (":" in first and not is_drive) or path.startswith(("//", *NETWORK_FOLDERS))


def _local(text: str) -> Source:
    if NEARLY.match(text):
        raise SourceError(f"{text!r} lacks the two slashes of an address; give {EXAMPLES}.")
    try:
        path = Path(text).expanduser()
        found = bool(text) and path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise FileError(f"Cannot look for the weights {text!r}: {error}. Give the full path.") from error
    if not found:
        hint = f" For the repository of that name on the hub, write hf://{text}." if text.count("/") == 1 else ""
        raise FileError(
            f"There are no weights at {text!r}: no such file or folder (working directory: {Path.cwd()}). "
            f"Check the path; give a file, a Hugging Face folder, {EXAMPLES}.{hint}"
        )
    return Source(path=path, description=text, sha256=None)


def _from_hub(text: str, cache: Path | None, progress: Progress | None) -> Source:
    address = parse_hub_address(text)
    snapshot = fetch_snapshot(address, cache=cache, progress=progress)
    return Source(path=snapshot.folder, description=f"hf://{address.repo}@{snapshot.commit}", sha256=snapshot.sha256)


def _from_web(text: str, cache: Path | None, progress: Progress | None) -> Source:
    address = parse_web_address(text)
    path = fetch_file(address, cache=cache or default_cache(), progress=progress)
    return Source(path=path, description=address.shown, sha256=address.sha256)


# A new source is a new row here. The address parser rejects plain http, except for loopback.
SCHEMES: dict[str, Callable[[str, Path | None, Progress | None], Source]] = {
    "hf": _from_hub,
    "https": _from_web,
    "http": _from_web,
}
