"""Providers that cannot run a file: their reasons are kept, and the others are verified all the same."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from resnetx.base.progress import ignore
from resnetx.base.text import grouped
from resnetx.errors import GraphError, ResnetxError, RuntimeUnavailableError, UsageError
from resnetx.verification.result import NotRun


class Attempts:
    """The steps on each provider, and what went wrong in them.

    `tell` gets the name of a provider while it is tried, and "" between. `ended` are providers that ended an earlier
    process, and how.
    """

    def __init__(self, tell: Callable[[str], object] = ignore, *, ended: Mapping[str, str] | None = None) -> None:
        self._tell = tell
        self._ended = ended or {}
        self._errors: list[tuple[str, ResnetxError]] = []

    @contextmanager
    def of(self, provider: str) -> Iterator[None]:
        """A step on a provider, whose errors are its own; misuse of an option is the user's."""
        self._tell(provider)
        try:
            yield
        except UsageError:
            raise
        except ResnetxError as error:
            self._errors.append((provider, error))
        self._tell("")

    def refuse_ended(self, provider: str) -> None:
        """Fail if this provider ended the process in which it was tried before."""
        if provider in self._ended:
            raise GraphError(self._ended[provider])

    def require_one(self, done: Sequence[object]) -> None:
        """Raise if no provider is left."""
        if done:
            return
        if len(self._errors) == 1:
            raise self._errors[0][1]
        reasons = grouped((not_run.provider, not_run.reason) for not_run in self.failed)
        words = (f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
        raise RuntimeUnavailableError(f"No provider could run the file. {' '.join(words)}")

    @property
    def failed(self) -> tuple[NotRun, ...]:
        return tuple(
            NotRun(provider=provider, reason=error.reason if isinstance(error, RuntimeUnavailableError) else str(error))
            for provider, error in self._errors
        )
