"""PyTorch as a runner, eager and compiled."""
