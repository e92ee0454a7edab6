"""Makes huggingface_hub behave and speak as the rest of resnetx does."""

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
    # huggingface_hub reads the variable once, when it is imported, which may have been long ago.
    endpoint = (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    try:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError
    except ValueError as error:
        raise SourceError(
            f"HF_ENDPOINT={endpoint!r} is not an address such as {ENDPOINT}; correct or unset it."
        ) from error
    # The digests come from there too.
    check_transport(parts.scheme, parts.hostname, shown=f"HF_ENDPOINT={endpoint}")
    return endpoint


@contextmanager
def plain_and_quiet() -> Iterator[None]:
    """Without Xet, which leaves HTTP and its proxies; telemetry, which asks another server; and warnings."""
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
    """In the order from kind to kin: most are kinds of HfHubHTTPError, and that is one of OSError."""
    import httpx2
    from huggingface_hub import errors

    def said(what: str) -> SourceError:
        return SourceError(f"{shown} cannot be fetched: {what}.")

    try:
        yield
    except errors.GatedRepoError as error:
        raise said(
            f"its owner gives access on request only; ask for it at {endpoint}/{repo}, then set HF_TOKEN "
            "to your access token"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise said(
            f"{endpoint} has no such repository, or a private one; check the name, and for a private one set "
            "HF_TOKEN to an access token that may read it"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise said(f"the repository has no branch, tag or commit {revision!r}; check what is behind the @") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        advice = {401: "set HF_TOKEN to a valid access token", 404: "check the name and HF_ENDPOINT"}
        advice[403] = advice[401]
        raise said(f"{endpoint} answered {status}; {advice.get(status, 'try again later')}") from error
    except httpx2.HTTPError as error:
        raise said(f"the connection failed ({error or type(error).__name__}); try again") from error
    except (errors.FileMetadataError, errors.HFValidationError, ValueError) as error:
        raise said(f"{endpoint} answers like no Hugging Face hub ({short(error)}); check HF_ENDPOINT") from error
    except OSError as error:
        if error.errno is None:
            # What huggingface_hub raises for a body of another length than announced.
            raise said(f"it did not arrive whole ({short(error)}); try again") from error
        raise FileError(
            f"Cannot keep {shown} in the cache: {error.strerror} ({error.filename}). "
            "Make room there, or choose another folder with the environment variable HF_HOME."
        ) from error


def short(error: BaseException) -> str:
    """The first sentences of a library's message, on one line."""
    return " ".join(str(error).split())[:200].rstrip(".")
