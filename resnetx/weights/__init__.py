"""Reads checkpoints of all supported frameworks without running any code in them."""
