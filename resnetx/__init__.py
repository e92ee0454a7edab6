"""resnetx: from a PyTorch image classifier to the fastest correct thing a machine can run."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from resnetx.api.conversion import convert, export, quantize, simplify
    from resnetx.api.measurement import bench, compare, profile, tune
    from resnetx.api.session import open_session
    from resnetx.api.verification import inspect, verify
    from resnetx.base.progress import Progress
    from resnetx.model.config import ResNetConfig, resnet_config

# Loaded at first use, because each brings heavy libraries along.
_LAZY = {
    "bench": "resnetx.api.measurement",
    "compare": "resnetx.api.measurement",
    "convert": "resnetx.api.conversion",
    "export": "resnetx.api.conversion",
    "inspect": "resnetx.api.verification",
    "open_session": "resnetx.api.session",
    "profile": "resnetx.api.measurement",
    "quantize": "resnetx.api.conversion",
    "simplify": "resnetx.api.conversion",
    "tune": "resnetx.api.measurement",
    "verify": "resnetx.api.verification",
    "Progress": "resnetx.base.progress",
    "ResNetConfig": "resnetx.model.config",
    "resnet_config": "resnetx.model.config",
}

__all__ = [
    "Progress",
    "ResNetConfig",
    "__version__",
    "bench",
    "compare",
    "convert",
    "export",
    "inspect",
    "open_session",
    "profile",
    "quantize",
    "resnet_config",
    "simplify",
    "tune",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return __all__
