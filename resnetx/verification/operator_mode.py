"""Sees every operator that torch runs, to record it or to replace it."""

from torch.utils._python_dispatch import TorchDispatchMode


class OperatorMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode that leaves torch's compiler alone."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here. Otherwise torch imports its compiler, which takes seconds and sets a variable.

        Mirrors torch/utils/_python_dispatch.py.
        """
        return False
