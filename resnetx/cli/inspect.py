"""`resnetx inspect`."""


def inspect() -> None:
    """(being written)"""
