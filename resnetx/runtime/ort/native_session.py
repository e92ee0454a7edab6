"""The one place where ONNX Runtime opens a session: quietly, without its own fallback, errors as text."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnxruntime as ort

from resnetx.errors import RuntimeUnavailableError
from resnetx.runtime.ort.providers import ExecutionProvider
from resnetx.runtime.ort.session_options import Settings

WARNINGS, SILENT = 2, 4
LOAD_CONFIG = "ORT_LOAD_CONFIG_FROM_MODEL"


class OpeningError(Exception):
    """ONNX Runtime refused; the message is its own, and the caller knows whose fault it is."""


def refuse_configured_models() -> None:
    """An untrusted file must not set options that nobody sees."""
    if os.environ.get(LOAD_CONFIG, "0") not in ("", "0"):
        raise RuntimeUnavailableError(
            f"The environment sets {LOAD_CONFIG}={os.environ[LOAD_CONFIG][:20]}, with which a model file chooses the "
            f"options of the session that runs it. Nothing is run that way; unset {LOAD_CONFIG}."
        )


def open_native(provider: ExecutionProvider, model: Path | bytes, settings: Settings) -> ort.InferenceSession:
    """A session of ONNX Runtime with `provider` first. Whether it runs anything there is not checked here."""
    refuse_configured_models()
    options = settings.session_options()
    options.log_severity_level = SILENT
    source: str | bytes = model if isinstance(model, bytes) else str(model)
    with quiet():
        try:
            if provider.attach:
                provider.attach(options, settings.native)
                return ort.InferenceSession(source, options, enable_fallback=0)
            providers = [(provider.native, dict(settings.native))]
            if provider.companion:
                # Never less exact than what was asked for: it runs only what the first one leaves over.
                providers.append((provider.companion.native, provider.companion.defaults("fp32")))
            return ort.InferenceSession(source, options, providers=providers, enable_fallback=0)
        except RuntimeUnavailableError:
            raise
        except Exception as error:  # the runtime raises its own types, which share no base below Exception
            raise OpeningError(first_line(error)) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Providers log through the process's logger, which has no way to ask for its severity: its default returns."""
    ort.set_default_logger_severity(SILENT)
    try:
        yield
    finally:
        ort.set_default_logger_severity(WARNINGS)


def first_line(error: Exception) -> str:
    """What happened, without the traceback of the runtime's own sources that some messages begin or end with."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # OpenVINO names its source files first, line by line, and says what is wrong last.
    if len(lines) > 1 and "Exception from src/" in lines[0]:
        return lines[-1]
    return next(iter(lines), type(error).__name__)
