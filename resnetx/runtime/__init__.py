"""What can run an ONNX file: providers and sessions."""
