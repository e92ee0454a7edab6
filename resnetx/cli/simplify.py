"""`resnetx simplify`."""


def simplify() -> None:
    """(being written)"""
