"""resnetx: from a PyTorch image classifier to the fastest correct thing a machine can run."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from resnetx.api import convert, export, profile, quantize, tune, verify
    from resnetx.base.progress import Progress
    from resnetx.model.config import ResNetConfig, resnet_config

# Loaded at first use, because each brings heavy libraries along.
_LAZY = {
    "convert": "resnetx.api",
    "export": "resnetx.api",
    "profile": "resnetx.api",
    "quantize": "resnetx.api",
    "tune": "resnetx.api",
    "verify": "resnetx.api",
    "Progress": "resnetx.base.progress",
    "ResNetConfig": "resnetx.model.config",
    "resnet_config": "resnetx.model.config",
}

__all__ = [
    "Progress",
    "ResNetConfig",
    "__version__",
    "convert",
    "export",
    "profile",
    "quantize",
    "resnet_config",
    "tune",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
