"""Turns off the telemetry of ONNX Runtime, which sends events to its maker unless it is off when it is loaded."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

# Read once, when the library is loaded. Without it, loading writes an identifier of the device and a database of events
# to the user's cache folder and `.ses` to the temporary folder, and a thread sends the events over HTTPS.
NO_TELEMETRY = {"ORT_DISABLE_TELEMETRY": "1"}


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Import onnxruntime within this context; afterwards the environment is as before."""
    before = {name: os.environ.get(name) for name in NO_TELEMETRY}
    os.environ.update(NO_TELEMETRY)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
