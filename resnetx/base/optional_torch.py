"""PyTorch is optional: whether it is installed, and the error of what needs it where it is not."""

from importlib.util import find_spec

from resnetx.errors import MissingExtraError

INSTALL_TORCH = "pip install torch"


def has_torch() -> bool:
    """Whether PyTorch is installed; it is not imported."""
    return find_spec("torch") is not None


def require_torch(what: str, *, instead: str | None = None) -> None:
    """Raise an error if PyTorch is not installed: `what` needs it, such as "resnetx export"; `instead` also helps."""
    if not has_torch():
        other = f", or {instead}" if instead else ""
        raise MissingExtraError(f"{what} needs PyTorch, which is not installed here: {INSTALL_TORCH}{other}.")
