"""ONNX Runtime: its providers, sessions, options and placement."""
