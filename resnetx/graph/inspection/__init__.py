"""What an ONNX file holds: layers, shapes, parameters, multiply-accumulates and its card."""
