"""Opens the sessions of ONNX Runtime, without log output and without its own fallback."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnetx.base.text import readable
from resnetx.errors import RuntimeUnavailableError
from resnetx.runtime.ort.library import ort
from resnetx.runtime.ort.providers import ExecutionProvider
from resnetx.runtime.ort.session_options import Settings

WARNINGS, SILENT = 2, 4
LOAD_CONFIG = "ORT_LOAD_CONFIG_FROM_MODEL"
# What follows it in the message are types of C++.
NO_KERNEL = re.compile(r"running (\w+) node\. Name:'([^']*)' Status Message: Failed to initialize CUDNN Frontend")


class OpeningError(Exception):
    """ONNX Runtime could not open the model; the message is its own, and the caller determines the cause."""


def refuse_configured_models() -> None:
    """Raise if the environment lets untrusted files set session options."""
    if os.environ.get(LOAD_CONFIG, "0") not in ("", "0"):
        raise RuntimeUnavailableError(
            f"The environment sets {LOAD_CONFIG}={os.environ[LOAD_CONFIG][:20]}, with which a model file sets the "
            f"options of its session. This is not supported, because files are untrusted; unset {LOAD_CONFIG}."
        )


def open_native(provider: ExecutionProvider, model: Path | bytes, settings: Settings) -> ort.InferenceSession:
    """A session of ONNX Runtime with `provider` first. Whether the provider runs any node is not checked here."""
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
                # Runs the nodes that the first one does not support, in fp32: never less exact than requested.
                providers.append((provider.companion.native, provider.companion.defaults("fp32")))
            return ort.InferenceSession(source, options, providers=providers, enable_fallback=0)
        except RuntimeUnavailableError:
            raise
        except Exception as error:  # the runtime raises its own types, which share no base below Exception
            raise OpeningError(first_line(error)) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the process-wide logger, then set its default severity: the current one cannot be read."""
    ort.set_default_logger_severity(SILENT)
    try:
        yield
    finally:
        ort.set_default_logger_severity(WARNINGS)


def first_line(error: Exception) -> str:
    """The error, without the locations in the runtime's sources that some messages begin or end with."""
    text = str(error)
    if found := NO_KERNEL.search(text):
        operator, name = found.groups()
        return (
            f"cuDNN has no kernel for the {operator} {readable(name[:60])!r} in this precision, layout and shape. Try "
            "another batch size or provider; where float32 was asked for, use_tf32=1 allows more kernels"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # OpenVINO lists its source files first and the error last.
    if len(lines) > 1 and "Exception from src/" in lines[0]:
        return lines[-1]
    return next(iter(lines), type(error).__name__)
