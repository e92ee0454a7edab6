"""The networks in PyTorch and their checkpoints in every ecosystem's naming."""
