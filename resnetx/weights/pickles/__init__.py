"""Pickles of PyTorch, read in a process with limits and without PyTorch: only where each tensor lies in the file."""
