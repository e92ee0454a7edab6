"""Fetches the files of a checkpoint from a Hugging Face hub into the hub's own cache, and verifies them."""

import re
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from resnetx.errors import SourceError
from resnetx.weights.remote.address import SHA256, HubAddress, WebAddress, is_loopback
from resnetx.weights.remote.download import MAX_BYTES, PAUSES_S, Progress, fetch_file, sha256_of
from resnetx.weights.remote.hub_library import check_installed, hub_endpoint, hub_errors, plain_and_quiet, short
from resnetx.weights.remote.pace import paced

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
SHARDED = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
MAX_CONFIG_BYTES = 16 * 2**20
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A folder with the files of one commit; `sha256` is that of the weights, if the hub provides it."""

    folder: Path
    commit: str
    sha256: str | None


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    repo: str
    revision: str
    endpoint: str
    cache: Path | None
    progress: Progress | None
    # Why the hub is not available, or None.
    offline: str | None = None

    @property
    def shown(self) -> str:
        return f"hf://{self.repo}@{self.revision}"


def fetch_snapshot(address: HubAddress, *, cache: Path | None = None, progress: Progress | None = None) -> Snapshot:
    """Fetch only the configuration, the preprocessing and the weights of a repository."""
    check_installed()
    from huggingface_hub import get_session

    wanted = _Wanted(
        repo=address.repo, revision=address.revision, endpoint=hub_endpoint(), cache=cache, progress=progress
    )
    shown = f"hf://{address.repo}@{address.revision}"
    with (
        plain_and_quiet(),
        paced(get_session(), shown=shown),
        hub_errors(wanted.shown, endpoint=wanted.endpoint, repo=wanted.repo, revision=wanted.revision),
    ):
        wanted = replace(wanted, offline=_unreachable(wanted))
        config = _file(wanted, CONFIG)
        if config is None:
            raise SourceError(
                f"{wanted.shown} has no {CONFIG}, so it is not a model in the layout of transformers or timm; "
                "choose another repository, or fetch its weight file by other means and give its path."
            )
        if not COMMIT.fullmatch(config.parent.name):
            raise ValueError(f"it returned the commit {config.parent.name!r}")
        # The same commit for all files, even if the branch moves meanwhile.
        wanted = replace(wanted, revision=config.parent.name)
        _file(wanted, PREPROCESSOR)
        weights = next((path for path in (_weights(wanted, name) for name in WEIGHTS) if path), None)
        if weights is None:
            raise SourceError(_no_weights(wanted))
        return Snapshot(folder=config.parent, commit=wanted.revision, sha256=_verified(wanted, weights))


def _unreachable(wanted: _Wanted) -> str | None:
    """Why the hub is not available, or None; without retries if the cache may suffice. Client errors are raised."""
    import httpx2
    from huggingface_hub import is_offline_mode, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    if is_offline_mode():
        return "HF_HUB_OFFLINE is set"
    cached = try_to_load_from_cache(wanted.repo, CONFIG, cache_dir=wanted.cache, revision=wanted.revision)
    reason = ""
    for pause in (None,) if cached else (*PAUSES_S, None):
        try:
            _metadata(wanted, CONFIG)
            return None
        except EntryNotFoundError:
            return None
        except HfHubHTTPError as error:
            if error.response.status_code < 500 and error.response.status_code != 429:
                raise
            reason = f"{wanted.endpoint} answered {error.response.status_code}"
        except httpx2.TransportError as error:
            reason = f"{wanted.endpoint} could not be reached ({error})"
        if pause is not None:
            time.sleep(pause)
    return reason


def _metadata(wanted: _Wanted, name: str) -> Any:
    from huggingface_hub import get_hf_file_metadata

    return get_hf_file_metadata(_url(wanted, name), endpoint=wanted.endpoint, library_name="resnetx")


def _url(wanted: _Wanted, name: str) -> str:
    from huggingface_hub import hf_hub_url

    return str(hf_hub_url(wanted.repo, name, revision=wanted.revision, endpoint=wanted.endpoint))


def _weights(wanted: _Wanted, name: str) -> Path | None:
    """Like `_file`; a large file that is not in the cache is downloaded to it first.

    huggingface_hub discards the partial download of an interrupted run, and does not verify a blob.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    cached = try_to_load_from_cache(wanted.repo, name, cache_dir=wanted.cache, revision=wanted.revision)
    if not isinstance(cached, str) and wanted.offline is None:
        with suppress(EntryNotFoundError):
            etag = _metadata(wanted, name).etag or ""
            if SHA256.fullmatch(etag):
                _fetch_blob(wanted, name, etag)
    return _file(wanted, name)


def _fetch_blob(wanted: _Wanted, name: str, sha256: str) -> None:
    """Download to blobs/<ETag>, the file in the cache that snapshots link to."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.file_download import repo_folder_name

    root = Path(wanted.cache or constants.HF_HUB_CACHE)
    url = _url(wanted, name)
    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    address = WebAddress(
        url=url,
        sha256=sha256,
        name=name,
        suffix="",
        shown=f"{wanted.shown}/{name}",
        is_loopback=is_loopback(urlsplit(url).hostname),
        authorization=f"Bearer {token}" if token else None,
    )
    blobs = root / repo_folder_name(repo_id=wanted.repo, repo_type="model") / "blobs"
    fetch_file(address, cache=blobs, progress=wanted.progress)


def _file(wanted: _Wanted, name: str) -> Path | None:
    """The file in the cache's snapshot folder, or None if the repository has no such file."""
    from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        path = hf_hub_download(
            wanted.repo,
            name,
            revision=wanted.revision,
            endpoint=wanted.endpoint,
            cache_dir=wanted.cache,
            tqdm_class=_bar(name, wanted.progress),
            local_files_only=wanted.offline is not None,
            library_name="resnetx",
        )
        return Path(path)
    except LocalEntryNotFoundError as error:
        known = try_to_load_from_cache(wanted.repo, name, cache_dir=wanted.cache, revision=wanted.revision)
        if known is _CACHED_NO_EXIST:
            return None
        reason = wanted.offline or short(error.__cause__ or error)
        raise SourceError(
            f"{wanted.shown} cannot be fetched: {reason}, and its {name} is not in the cache from an earlier run. "
            "Try again when the hub is available, or give the path of a local folder or file."
        ) from error
    except EntryNotFoundError:
        return None


def _bar(name: str, progress: Progress | None) -> type:
    """A progress bar class for huggingface_hub that reports instead of printing, and stops oversized downloads."""
    limit = MAX_BYTES if name in WEIGHTS else MAX_CONFIG_BYTES

    class Bar:
        def __init__(self, *, total: int | None = None, initial: int = 0, **_: object) -> None:
            self.done, self.total = initial, total
            self.update(0)

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, n: int = 1) -> None:
            self.done += n
            if max(self.done, self.total or 0) > limit:
                raise SourceError(
                    f"{name} in the repository is larger than {limit / 2**20:,.0f} MiB, too large for a ResNet; "
                    "choose another repository."
                )
            if progress and name in WEIGHTS:
                progress(name, self.done, self.total)

    return Bar


def _no_weights(wanted: _Wanted) -> str:
    from huggingface_hub.errors import EntryNotFoundError

    for name in SHARDED if wanted.offline is None else ():
        try:
            _metadata(wanted, name)
        except EntryNotFoundError:
            continue
        return (
            f"{wanted.shown} has its weights in several files ({name}), which resnetx doesn't support; "
            "choose another repository."
        )
    return (
        f"{wanted.shown} has neither {' nor '.join(WEIGHTS)}, the files that resnetx reads from a repository; choose "
        "another one, or fetch its weight file by other means and give its path."
    )


def _verified(wanted: _Wanted, path: Path) -> str | None:
    """Verify the weights and return their digest, None if the hub has none; a file that doesn't match is deleted."""
    # The cache names a blob by its ETag: the SHA-256 of a large file, Git's object id of a small one.
    blob = path.parent / path.readlink() if path.is_symlink() else path
    expected = blob.name if path.is_symlink() else None if wanted.offline else _metadata(wanted, path.name).etag
    if not expected or not SHA256.fullmatch(expected):
        return None
    found = sha256_of(path)
    if found != expected:
        for bad in (blob, path):
            bad.unlink(missing_ok=True)
        raise SourceError(
            f"{path.name} of {wanted.shown} has the wrong SHA-256: expected {expected}, got {found}. "
            "It was deleted from the cache; run the command again to download it."
        )
    return found
