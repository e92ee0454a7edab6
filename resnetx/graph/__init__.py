"""Creates, rewrites and reads ONNX files."""
