"""Evaluates an ONNX graph operator by operator in float64, or in a simulated lower precision."""
