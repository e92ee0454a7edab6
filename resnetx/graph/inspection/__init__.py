"""The contents of an ONNX file: layers, shapes, parameters, multiply-accumulates and its card."""
