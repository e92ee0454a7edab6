"""Imports ONNX Runtime for all modules of this package, without its telemetry."""

from resnetx.base.telemetry import without_telemetry

__all__ = ["ort"]

with without_telemetry():
    import onnxruntime as ort
