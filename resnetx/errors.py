"""The one error tree: every deliberate error says what was asked, what was found and what to do."""

from collections.abc import Sequence


class ResnetxError(Exception):
    """Something could not be done; the message is one paragraph a user can act on. The CLI exits with 2.

    `code` are lines of Python that would do it, shown below the message.
    """

    def __init__(self, message: str = "", *, code: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = tuple(code)

    @property
    def message(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return "\n    ".join((self.message, *self.code))


class UsageError(ResnetxError):
    """What was asked contradicts itself or is out of range."""


class FileError(ResnetxError):
    """A file or folder could not be read or written."""


class CheckpointError(ResnetxError):
    """Weights are broken, hostile, or belong to another architecture."""


class SourceError(ResnetxError):
    """Weights could not be fetched from where they were said to be."""


class GraphError(ResnetxError):
    """An ONNX file is broken, hostile, or could not be made."""


class RuntimeUnavailableError(ResnetxError):
    """The runtime or provider that was asked for does not run here.

    `problem` is why, without the provider's name and without advice; `reason` also says what to do about it.
    """

    def __init__(self, message: str, *, problem: str | None = None, advice: str | None = None) -> None:
        super().__init__(message)
        self.problem = problem or message
        self.reason = f"{self.problem}; {advice}" if advice else self.problem


class MissingExtraError(ResnetxError):
    """An optional dependency is not installed."""
