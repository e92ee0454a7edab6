"""Reads and checks untrusted ONNX files, and decodes their tensors."""
