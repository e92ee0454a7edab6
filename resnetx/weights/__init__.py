"""Checkpoints of every ecosystem, read without running anything in them."""
