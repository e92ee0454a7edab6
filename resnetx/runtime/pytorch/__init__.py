"""Runs PyTorch modules, eager and compiled."""
