"""Adapts the settings and errors of huggingface_hub to resnetx."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from resnetx.errors import FileError, MissingExtraError, SourceError
from resnetx.weights.remote.address import check_transport

ENDPOINT = "https://huggingface.co"


def check_installed() -> None:
    try:
        import httpx2  # noqa: F401
        import huggingface_hub  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "Weights from hf:// need the package huggingface-hub, which is not installed; "
            "run: pip install 'resnetx[hub]'"
        ) from error


def hub_endpoint() -> str:
    # huggingface_hub reads the variable only once, when it is imported.
    endpoint = (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    try:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError
    except ValueError as error:
        raise SourceError(
            f"HF_ENDPOINT={endpoint!r} is not an address such as {ENDPOINT}; correct or unset it."
        ) from error
    # The digests come from this endpoint, too.
    check_transport(parts.scheme, parts.hostname, shown=f"HF_ENDPOINT={endpoint}")
    return endpoint


@contextmanager
def plain_and_quiet() -> Iterator[None]:
    """Disable Xet, which bypasses HTTP and its proxies; telemetry, which contacts another server; and warnings."""
    from huggingface_hub import constants
    from huggingface_hub.utils import logging as hub_logging

    before = constants.HF_HUB_DISABLE_XET, constants.HF_HUB_DISABLE_TELEMETRY
    verbosity = hub_logging.get_verbosity()
    constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_TELEMETRY = True
    hub_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET, constants.HF_HUB_DISABLE_TELEMETRY = before
        hub_logging.set_verbosity(verbosity)


@contextmanager
def hub_errors(shown: str, *, endpoint: str, repo: str, revision: str) -> Iterator[None]:
    """Convert errors to those of resnetx; subclasses first: most derive from HfHubHTTPError, and that from OSError."""
    import httpx2
    from huggingface_hub import errors

    def failed(what: str) -> SourceError:
        return SourceError(f"{shown} cannot be fetched: {what}.")

    try:
        yield
    except errors.GatedRepoError as error:
        raise failed(
            f"the repository is gated; request access at {endpoint}/{repo}, then set HF_TOKEN to your access token"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise failed(
            f"{endpoint} has no such repository, or it is private; check the name, and for a private one set "
            "HF_TOKEN to an access token with read permission"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise failed(f"the repository has no branch, tag or commit {revision!r}; check the text after the @") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        advice = {401: "set HF_TOKEN to a valid access token", 404: "check the name and HF_ENDPOINT"}
        advice[403] = advice[401]
        raise failed(f"{endpoint} answered {status}; {advice.get(status, 'try again later')}") from error
    except httpx2.HTTPError as error:
        raise failed(f"the connection failed ({error or type(error).__name__}); try again") from error
    except (errors.FileMetadataError, errors.HFValidationError, ValueError) as error:
        raise failed(
            f"{endpoint} does not respond like a Hugging Face hub ({short(error)}); check HF_ENDPOINT"
        ) from error
    except OSError as error:
        if error.errno is None:
            # huggingface_hub raises this if the length of the body differs from the announced one.
            raise failed(f"the download is incomplete ({short(error)}); try again") from error
        raise FileError(
            f"Cannot store {shown} in the cache: {error.strerror} ({error.filename}). "
            "Free some space there, or set another folder in the environment variable HF_HOME."
        ) from error


def short(error: BaseException) -> str:
    """The beginning of a library's message, on one line."""
    return " ".join(str(error).split())[:200].rstrip(".")
