"""Reads the addresses of remote weights strictly: what they may say, and what of them may be shown."""

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import PurePosixPath
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from resnetx.errors import SourceError

SHA256 = re.compile(r"[0-9a-f]{64}")
SUFFIX = re.compile(r"(\.weights)?\.[A-Za-z0-9]{1,12}$")
# The cache's own files beside the weights.
RESERVED_SUFFIXES = (".part", ".etag", ".lock")
# The hub's own rules for names are a little wider; nothing that begins with a dot or holds two of them is needed.
HUB_NAME = re.compile(r"[A-Za-z0-9_](?!.*(?:--|\.\.))[A-Za-z0-9_.-]{0,95}(?<![.-])")
REVISION = re.compile(r"[A-Za-z0-9_](?!.*(?:\.\.|//))[A-Za-z0-9_.+/-]{0,199}(?<![/.])")


@dataclass(frozen=True, kw_only=True)
class WebAddress:
    """`shown` is for messages and the model card: a query or a password may be a secret.

    `authorization` is a header for the host of the address itself, and for no other that it redirects to.
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
            f"{text!r} does not name a repository: after hf:// stand an owner and a repository and nothing else, "
            "such as hf://timm/resnet50.a1_in1k or hf://microsoft/resnet-50@main."
        )
    if has_revision and not REVISION.fullmatch(revision):
        raise SourceError(
            f"{text!r} has no usable revision after the @: it takes a branch, a tag or a commit, made of letters, "
            "digits and . _ + - /, such as hf://microsoft/resnet-50@main."
        )
    return HubAddress(repo=repo, revision=revision or "main")


def parse_web_address(text: str) -> WebAddress:
    """`https://host/file#sha256=...`; plain http only from this machine's loopback."""
    parts = _split(text)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    check_transport(parts.scheme, parts.hostname, shown=shown)
    kind, _, digest = parts.fragment.partition("=")
    if kind.lower() != "sha256" or not SHA256.fullmatch(digest.lower()):
        raise SourceError(
            f"{shown} needs the file's SHA-256 behind it, as #sha256= and 64 hexadecimal digits, so that what arrives "
            "can be told from anything else; take it from the publisher, or compute it from a copy you trust with "
            "`sha256sum FILE`."
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
    """Where a redirect leads, if that is no worse than where it comes from."""
    try:
        target = urljoin(url, location)
        parts, before = _split(target), urlsplit(url)
    except (SourceError, ValueError) as error:
        raise SourceError(f"Cannot fetch {shown}: it redirects to an address that cannot be read.") from error
    hidden = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:200]
    problem = None
    if parts.scheme not in ("https", "http"):
        problem = "which is not HTTP"
    elif is_loopback(parts.hostname) and not is_loopback(before.hostname):
        # A stranger's server must not choose what is asked of services on this machine.
        problem = "which is this machine itself"
    elif parts.scheme == "http" and not is_loopback(parts.hostname):
        problem = "which is not encrypted"
    if problem:
        raise SourceError(f"Cannot fetch {shown}: it redirects to {hidden}, {problem}. Check the address.")
    return target


def check_transport(scheme: str, host: str | None, *, shown: str) -> None:
    """Nothing unencrypted, except on this machine's loopback."""
    if scheme == "http" and not is_loopback(host):
        raise SourceError(
            f"{shown} is not encrypted, so anybody on the way could change what arrives; use https:// "
            "(http:// is taken only for this machine itself, such as http://127.0.0.1:8000)."
        )


def same_origin(one: str, other: str) -> bool:
    """Whether a credential for the one may be sent to the other."""
    first, second = urlsplit(one), urlsplit(other)
    return (first.scheme, first.hostname, first.port) == (second.scheme, second.hostname, second.port)


def is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def _split(text: str) -> SplitResult:
    try:
        # urlsplit drops tabs and line breaks silently; what is asked for must be what was written.
        if not text.isprintable() or " " in text:
            raise ValueError("it contains a space or a control character")
        parts = urlsplit(text)
        if not parts.hostname:
            raise ValueError("it names no host")
        _ = parts.port
    except ValueError as error:
        raise SourceError(
            f"{text!r} is not an address: {error}; one looks like https://example.org/resnet50.pth#sha256=<64 digits>."
        ) from error
    return parts
