"""OpenVINO as a plugin of ONNX Runtime: registered once per process, attached to a session by device."""

import importlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetx.errors import RuntimeUnavailableError, UsageError

if TYPE_CHECKING:
    import onnxruntime as ort

NATIVE = "OpenVINOExecutionProvider"
DEVICE = "CPU"
PACKAGE = "onnxruntime-ep-openvino"


def openvino_problem() -> str | None:
    """Why the plugin does not work here, or None."""
    problem = _register()
    if problem or _device() is not None:
        return problem
    from resnetx.runtime.ort.library import ort

    vendor = next((device.device.vendor for device in ort.get_ep_devices() if device.device.vendor), "unknown")
    return (
        f"{PACKAGE} is installed, but it offers no CPU device here: the processor's vendor is {vendor}, "
        "and the plugin supports Intel processors only"
    )


def attach_openvino(options: "ort.SessionOptions", properties: Mapping[str, str]) -> None:
    """Make `options` open sessions on OpenVINO's CPU device with these device properties."""
    problem = openvino_problem()
    if problem:
        raise RuntimeUnavailableError(f"The provider openvino-ep does not run here: {problem}.")
    # The plugin silently ignores properties that are not nested by device.
    options.add_provider_for_devices([_device()], {"load_config": json.dumps({DEVICE: dict(properties)})})


def openvino_library() -> Path | None:
    """The library file of the plugin."""
    try:
        plugin = importlib.import_module("onnxruntime_ep_openvino")
    except ImportError:
        return None
    return Path(plugin.get_library_path())


def openvino_properties(options: Mapping[str, str]) -> dict[str, str]:
    """User options as device properties; the plugin's own `load_config` is split into them."""
    properties = {}
    for key, value in options.items():
        if key == "load_config":
            properties.update(_load_config(value))
        elif key == key.upper():
            properties[key] = value
        else:
            raise UsageError(
                f"The provider openvino-ep has no option {key[:80]!r}: it takes the device properties of OpenVINO, in "
                "capitals, such as INFERENCE_PRECISION_HINT=bf16 or NUM_STREAMS=1."
            )
    return properties


def _load_config(text: str) -> dict[str, str]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The option load_config of the provider openvino-ep is not JSON: {error}.") from error
    if not isinstance(config, dict) or list(config) != [DEVICE] or not isinstance(config[DEVICE], dict):
        raise UsageError(
            f"The option load_config of the provider openvino-ep must contain properties of the device {DEVICE} only, "
            f'such as {{"{DEVICE}": {{"NUM_STREAMS": "1"}}}}; found {text[:80]}.'
        )
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in config[DEVICE].items()}


@cache
def _register() -> str | None:
    """Why the plugin could not be registered, or None. It stays registered, because sessions may outlive the caller."""
    if _device() is not None:
        return None  # registered by another library in this process; a second registration would fail
    from resnetx.runtime.ort.library import ort

    try:
        plugin = importlib.import_module("onnxruntime_ep_openvino")
    except ImportError:
        return f"the package {PACKAGE} is not installed"
    try:
        ort.register_execution_provider_library(NATIVE, plugin.get_library_path())
    except Exception as error:  # the runtime raises its own types, which share no base below Exception
        return f"{PACKAGE} is installed, but ONNX Runtime could not load it: {str(error).strip()[:300]}"
    return None


def _device() -> Any | None:
    """OpenVINO's CPU device; virtual ones such as AUTO have longer provider names."""
    from resnetx.runtime.ort.library import ort

    for device in ort.get_ep_devices():
        if device.ep_name == NATIVE and device.ep_metadata.get("ov_device") == DEVICE:
            return device
    return None
