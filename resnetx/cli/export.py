"""`resnetx export`."""


def export() -> None:
    """(being written)"""
