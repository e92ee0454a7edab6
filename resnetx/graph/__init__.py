"""Everything that makes, rewrites or reads an ONNX file."""
