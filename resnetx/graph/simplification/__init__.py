"""onnxsim in a child process, and the comparison of what it returns."""
