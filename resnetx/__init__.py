"""resnetx: from a PyTorch image classifier to the fastest correct thing a machine can run."""

__version__ = "0.1.0"
