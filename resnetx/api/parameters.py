"""Lets errors of public functions name parameters, where those of the commands name options."""

import inspect
import re
from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar

from resnetx.errors import ResnetxError

P = ParamSpec("P")
R = TypeVar("R")
# Commands stay as they are: `resnetx bench --json`.
FLAG = re.compile(r"`[^`]*`|resnetx [a-z]+(?: --[a-z-]+)+|(?<![\w-])--(?P<option>[a-z][a-z-]*[a-z])")
# Parameters whose options have other names.
OTHERS = {"out": ("path", "folder")}


def names_parameters(function: Callable[P, R]) -> Callable[P, R]:
    """The function, with errors that speak of its parameters: `batches` for --batch."""
    known = tuple(inspect.signature(function).parameters)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except ResnetxError as error:
            error.args = (in_python(error.message, known),)
            raise

    return call


def in_python(text: str, parameters: Iterable[str]) -> str:
    """The text with the parameters in place of the options that stand for them."""
    known = tuple(parameters)
    return FLAG.sub(lambda found: (found["option"] and parameter_of(found["option"], known)) or found[0], text)


def parameter_of(option: str, parameters: Iterable[str]) -> str | None:
    """The parameter that an option stands for: of the same name, in the plural, or with its unit."""
    word, known = option.replace("-", "_"), tuple(parameters)
    negated = word.removeprefix("no_")
    if negated != word and negated in known:
        return f"`{negated}=False`"
    alike = (word, f"{word}s", f"{word}es", *OTHERS.get(option, ()))
    return next((f"`{name}`" for name in known if name in alike or name.startswith(f"{word}_")), None)
