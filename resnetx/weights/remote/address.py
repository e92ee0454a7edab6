"""Parses the addresses of remote weights strictly, and removes secrets from what is shown of them."""

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import PurePosixPath
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from resnetx.errors import SourceError

SHA256 = re.compile(r"[0-9a-f]{64}")
SUFFIX = re.compile(r"(\.weights)?\.[A-Za-z0-9]{1,12}$")
# The suffixes of the cache's own files.
RESERVED_SUFFIXES = (".part", ".etag", ".lock")
# A little stricter than the hub's own rules for names: no dot at the start, no two dots in a row.
HUB_NAME = re.compile(r"[A-Za-z0-9_](?!.*(?:--|\.\.))[A-Za-z0-9_.-]{0,95}(?<![.-])")
REVISION = re.compile(r"[A-Za-z0-9_](?!.*(?:\.\.|//))[A-Za-z0-9_.+/-]{0,199}(?<![/.])")


@dataclass(frozen=True, kw_only=True)
class WebAddress:
    """`shown` is for messages and the model card; it has no query or password, which may be secret.

    `authorization` is a header that is sent only to the host of the address, not to hosts that it redirects to.
    """

    url: str
    sha256: str
    name: str
    suffix: str
    shown: str
    is_loopback: bool
    authorization: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class HubAddress:
    repo: str
    revision: str


def parse_hub_address(text: str) -> HubAddress:
    """`hf://owner/repo[@revision]`."""
    rest = text.partition("://")[2]
    repo, has_revision, revision = rest.partition("@")
    names = repo.split("/")
    if len(names) != 2 or not all(HUB_NAME.fullmatch(name) for name in names):
        raise SourceError(
            f"{text!r} is not a repository: hf:// is followed by an owner and a repository and nothing else, "
            "such as hf://timm/resnet50.a1_in1k or hf://microsoft/resnet-50@main."
        )
    if has_revision and not REVISION.fullmatch(revision):
        raise SourceError(
            f"{text!r} has no valid revision after the @: give a branch, a tag or a commit, made of letters, "
            "digits and . _ + - /, such as hf://microsoft/resnet-50@main."
        )
    return HubAddress(repo=repo, revision=revision or "main")


def parse_web_address(text: str) -> WebAddress:
    """`https://host/file#sha256=...`; plain http is accepted for loopback only."""
    parts = _split(text)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    check_transport(parts.scheme, parts.hostname, shown=shown)
    kind, _, digest = parts.fragment.partition("=")
    if kind.lower() != "sha256" or not SHA256.fullmatch(digest.lower()):
        raise SourceError(
            f"{shown} has no SHA-256, which is required to verify the download; append #sha256= and 64 hexadecimal "
            "digits. Get them from the publisher, or compute them from a copy that you trust with `sha256sum FILE`."
        )
    name = PurePosixPath(unquote(parts.path)).name
    found = SUFFIX.search(name)
    suffix = found[0].lower() if found else ""
    return WebAddress(
        url=parts._replace(fragment="").geturl(),
        sha256=digest.lower(),
        name=name or str(parts.hostname),
        suffix="" if suffix in RESERVED_SUFFIXES else suffix,
        shown=shown,
        is_loopback=is_loopback(parts.hostname),
    )


def next_hop(url: str, location: str, *, shown: str) -> str:
    """The target of a redirect; an error if it is less safe than the address that redirects."""
    try:
        target = urljoin(url, location)
        parts, before = _split(target), urlsplit(url)
    except (SourceError, ValueError) as error:
        raise SourceError(f"Cannot fetch {shown}: it redirects to an invalid address.") from error
    hidden = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:200]
    problem = None
    if parts.scheme not in ("https", "http"):
        problem = "which is not HTTP"
    elif is_loopback(parts.hostname) and not is_loopback(before.hostname):
        # A remote server must not be able to send requests to services on this machine.
        problem = "which is this machine"
    elif parts.scheme == "http" and not is_loopback(parts.hostname):
        problem = "which is not encrypted"
    if problem:
        raise SourceError(f"Cannot fetch {shown}: it redirects to {hidden}, {problem}. Check the address.")
    return target


def check_transport(scheme: str, host: str | None, *, shown: str) -> None:
    """Reject unencrypted connections, except to loopback."""
    if scheme == "http" and not is_loopback(host):
        raise SourceError(
            f"{shown} is not encrypted, so the file could be changed in transit; use https:// "
            "(http:// is accepted only for this machine, such as http://127.0.0.1:8000)."
        )


def same_origin(one: str, other: str) -> bool:
    """Whether a credential for one URL may be sent to the other."""
    first, second = urlsplit(one), urlsplit(other)
    return (first.scheme, first.hostname, first.port) == (second.scheme, second.hostname, second.port)


def is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def _split(text: str) -> SplitResult:
    try:
        # urlsplit removes tabs and line breaks silently, so that it would request another address.
        if not text.isprintable() or " " in text:
            raise ValueError("it contains a space or a control character")
        parts = urlsplit(text)
        if not parts.hostname:
            raise ValueError("it has no host")
        _ = parts.port
    except ValueError as error:
        raise SourceError(
            f"{text!r} is not a valid address: {error}; "
            "give one such as https://example.org/resnet50.pth#sha256=<64 digits>."
        ) from error
    return parts
