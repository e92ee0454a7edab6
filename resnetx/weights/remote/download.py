"""Fetches one file over HTTPS into a cache: resumed after errors, locked between processes, verified by its SHA-256."""

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnetx import __version__
from resnetx.errors import FileError, MissingExtraError, SourceError
from resnetx.weights.remote.address import WebAddress, next_hop, same_origin
from resnetx.weights.remote.pace import paced

if TYPE_CHECKING:
    import httpx2

Progress = Callable[[str, int, int | None], None]

# ResNet-152 in float64 takes 0.5 GB, so a larger file is not a supported network.
MAX_BYTES = 2 * 2**30
MAX_REDIRECTS = 10
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 30
# Before the second, third... attempt. Received data is kept, so a later run resumes where this one stopped.
PAUSES_S: tuple[float, ...] = (0.5, 1, 2, 4)
TRY_AGAIN_STATUSES = (408, 425, 429)
STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,200}"')
CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


class _TryAgainError(Exception):
    """A temporary failure of the server or the network."""


@dataclass(frozen=True, kw_only=True)
class _Part:
    """The data received so far, and its ETag, by which the server knows whether its file is still the same."""

    path: Path
    etag_path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def etag(self) -> str | None:
        text = self.etag_path.read_text(errors="replace") if self.etag_path.exists() else ""
        return text if STRONG_ETAG.fullmatch(text) else None

    def restart(self, etag: str) -> None:
        self.discard()
        if STRONG_ETAG.fullmatch(etag):
            self.etag_path.write_text(etag)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.etag_path.unlink(missing_ok=True)


def fetch_file(address: WebAddress, *, cache: Path, progress: Progress | None = None) -> Path:
    """The file with the digest of the address, from the cache or from the server."""
    final = cache / f"{address.sha256}{address.suffix}"
    try:
        if _has_digest(final, address.sha256):
            return final
        _check_installed()
        cache.mkdir(parents=True, exist_ok=True)
        # Processes that need the same file wait here for the first one, then find it in the cache.
        with _locked(cache / f"{address.sha256}.lock"):
            if not _has_digest(final, address.sha256):
                _download(address, final, progress)
    except (OSError, NotImplementedError) as error:
        raise FileError(
            f"Cannot store {address.shown} in the cache folder {cache}: {getattr(error, 'strerror', None) or error}. "
            "Free some space there, or set another folder in the environment variable RESNETX_CACHE (HF_HOME for hf://)."
        ) from error
    return final


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _has_digest(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path) == sha256


def _check_installed() -> None:
    try:
        import httpx2  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "Weights from an https:// address need the package httpx2, which is not installed; "
            "run: pip install 'resnetx[hub]'"
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    from filelock import FileLock

    with FileLock(path):
        yield


def _download(address: WebAddress, final: Path, progress: Progress | None) -> None:
    stem = final.parent / address.sha256
    part = _Part(path=stem.with_suffix(".part"), etag_path=stem.with_suffix(".etag"))
    left_over = part.size > 0
    _receive_all(address, part, progress)
    if left_over and not _has_digest(part.path, address.sha256):
        # An earlier run may have received the beginning of another version of the file.
        part.discard()
        _receive_all(address, part, progress)
    found, size = sha256_of(part.path), part.size
    if found != address.sha256:
        part.discard()
        raise SourceError(
            f"The file at {address.shown} has the wrong SHA-256: expected {address.sha256}, got {found} "
            f"({size:,} bytes). It was deleted. The server sent another version, an error page or only a part of the "
            "file, or the digest is wrong; try again, or check both with the publisher."
        )
    with part.path.open("rb") as stream:
        os.fsync(stream.fileno())
    part.path.replace(final)
    part.discard()


def _receive_all(address: WebAddress, part: _Part, progress: Progress | None) -> None:
    """Retry until the file is complete or all attempts have failed."""
    import httpx2

    # A proxy from the environment cannot reach this machine's loopback.
    client = httpx2.Client(
        timeout=httpx2.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        trust_env=not address.is_loopback,
        # A compressed body could not be resumed: its ranges would count compressed bytes.
        headers={"User-Agent": f"resnetx/{__version__}", "Accept-Encoding": "identity"},
    )
    with client, paced(client, shown=address.shown):
        for pause in (*PAUSES_S, None):
            try:
                return _receive(client, address, part, progress)
            except (httpx2.TransportError, _TryAgainError) as error:
                if pause is None:
                    raise SourceError(_gave_up(address, part, str(error) or type(error).__name__)) from error
                time.sleep(pause)
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                raise SourceError(f"Cannot fetch {address.shown}: {error}. Check the address.") from error


def _gave_up(address: WebAddress, part: _Part, reason: str) -> str:
    kept = f" The {part.size:,} bytes received are kept, and the next run resumes from there." if part.size else ""
    return (
        f"Cannot fetch {address.shown}: all {len(PAUSES_S) + 1} attempts failed, the last one with: {reason}.{kept} "
        "Check the network and the address, or fetch the file by other means and give its path."
    )


def _receive(client: "httpx2.Client", address: WebAddress, part: _Part, progress: Progress | None) -> None:
    """One attempt: resumes the download if the server supports it, and starts over if it doesn't."""
    done = part.size
    headers = {"Range": f"bytes={done}-"} if done else {}
    if done and part.etag:
        headers["If-Range"] = part.etag
    with _opened(client, address, headers) as response:
        if response.status_code == 416 and done:
            if response.headers.get("Content-Range") != f"bytes */{done}":
                part.discard()
                raise _TryAgainError("the file on the server has changed since an earlier run")
            return
        total = _total(response, address, part)
        if response.status_code == 200:
            part.restart(response.headers.get("ETag", ""))
        _append(response, address, part, total, progress)
    if total is not None and part.size != total:
        raise _TryAgainError(f"the response ended after {part.size:,} of {total:,} bytes")


def _append(
    response: "httpx2.Response", address: WebAddress, part: _Part, total: int | None, progress: Progress | None
) -> None:
    done = part.size
    with part.path.open("ab") as stream:
        for chunk in response.iter_raw():
            done += len(chunk)
            if done > MAX_BYTES:
                part.discard()
                raise _too_big(address, done)
            stream.write(chunk)
            if progress:
                progress(address.name, done, total)


def _total(response: "httpx2.Response", address: WebAddress, part: _Part) -> int | None:
    """The size of the whole file according to the response, None if unknown; an error if the response is unusable."""
    status, headers = response.status_code, response.headers
    if status >= 500 or status in TRY_AGAIN_STATUSES:
        raise _TryAgainError(f"the server answered {status} {response.reason_phrase[:80]}")
    if status not in (200, 206):
        raise SourceError(_refused(address, response))
    if headers.get("Content-Encoding", "identity") != "identity":
        raise SourceError(
            f"Cannot fetch {address.shown}: the server compresses it ({headers['Content-Encoding'][:40]}), although "
            "the request excludes that. Fetch it by other means and give its path."
        )
    length = headers.get("Content-Length", "")
    total = int(length) if re.fullmatch(r"\d{1,15}", length) else None
    if status == 206:
        found = CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        if not found or int(found[1]) != part.size or int(found[2]) + 1 != int(found[3]):
            part.discard()
            raise _TryAgainError("the server sent another range than requested")
        total = int(found[3])
    if total is not None and total > MAX_BYTES:
        raise _too_big(address, total)
    return total


def _too_big(address: WebAddress, size: int) -> SourceError:
    return SourceError(
        f"Cannot fetch {address.shown}: it has {size / 2**30:.1f} GiB or more, and a ResNet has less than "
        f"{MAX_BYTES // 2**30} GiB. Check the address."
    )


def _refused(address: WebAddress, response: "httpx2.Response") -> str:
    status = response.status_code
    if status in (404, 410):
        advice = "there is no such file; check the address"
    elif status in (401, 403, 407):
        advice = "it requires signing in, which resnetx doesn't support; fetch it by other means and give its path"
    else:
        advice = "check the address, or fetch the file by other means and give its path"
    return f"Cannot fetch {address.shown}: the server answered {status} {response.reason_phrase[:80]}: {advice}."


@contextmanager
def _opened(client: "httpx2.Client", address: WebAddress, headers: dict[str, str]) -> Iterator["httpx2.Response"]:
    """The response after all redirects, each of which is checked before it is followed."""
    url = address.url
    for _ in range(MAX_REDIRECTS + 1):
        same_host = same_origin(url, address.url)
        secret = {"Authorization": address.authorization} if address.authorization and same_host else {}
        with client.stream("GET", url, headers=headers | secret) as response:
            if not response.has_redirect_location:
                yield response
                return
            url = next_hop(url, response.headers["Location"], shown=address.shown)
    raise SourceError(f"Cannot fetch {address.shown}: it redirects more than {MAX_REDIRECTS} times. Check the address.")
