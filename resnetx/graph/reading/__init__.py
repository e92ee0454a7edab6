"""ONNX files of unknown origin: read, checked and their tensors decoded."""
