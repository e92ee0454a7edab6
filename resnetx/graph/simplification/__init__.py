"""Runs onnxsim in a child process, and checks its result."""
