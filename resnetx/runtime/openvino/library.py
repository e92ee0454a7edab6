"""OpenVINO's library: loaded once, and its errors as one line."""

from functools import cache

import openvino as ov

__all__ = ["core", "error_line", "ov"]


@cache
def core() -> ov.Core:
    """The one core of this process: it loads the plugins of the devices."""
    return ov.Core()


def error_line(error: Exception) -> str:
    """The line of the error that names its cause, without the locations in OpenVINO's sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "from src/" not in line and not line.startswith("Check '")]
    # A list of operators without support comes after its headings.
    listed = [line.removeprefix("-- ") for line in told if line.startswith("-- ")]
    return (listed or told or lines or [type(error).__name__])[0][:300]
