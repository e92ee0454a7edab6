"""What the studies need beside resnetx itself, looked for before the work begins."""

from importlib.util import find_spec

from resnetx.base.optional_torch import require_torch
from resnetx.errors import MissingExtraError

INSTALL = "pip install 'resnetx[study]'"


def require_packages(*, picture: bool) -> None:
    """Raise an error if the digits, or the library of a `picture`, are not installed; none of them is imported."""
    require_torch("resnetx study")
    wanted = {"sklearn": "scikit-learn"} | ({"matplotlib": "matplotlib"} if picture else {})
    missing = [name for module, name in wanted.items() if find_spec(module) is None]
    if missing:
        verb = "which is" if len(missing) == 1 else "which are"
        raise MissingExtraError(f"resnetx study needs {' and '.join(missing)}, {verb} not installed here: {INSTALL}.")
