"""The tensors in what a module returns, each with a name: a file's outputs are a flat list of named tensors."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass

from torch import Tensor

from resnetx.errors import UsageError

OUTPUT = "output"


def named_tensors(result: object) -> dict[str, Tensor]:
    """The tensors in order, by the keys and fields that lead to them: `boxes`, `heads.scores`, `output0`.

    Dictionaries, lists, tuples and dataclasses may be nested; None is left out, and anything else is refused.
    """
    found: dict[str, Tensor] = {}
    for path, leaf in _leaves(result, ()):
        if not isinstance(leaf, Tensor):
            place = f" in {'.'.join(path)}" if path else ""
            raise UsageError(
                f"The module returns {_described(leaf)}{place}, but the outputs of a file are tensors. Return tensors, "
                "alone or in a dictionary, list, tuple or dataclass."
            )
        name = _name(path)
        if name in found:
            raise UsageError(f"The module returns two tensors that would both be the output {name!r}; rename one.")
        found[name] = leaf
    if not found:
        raise UsageError(f"The module returns {_described(result)}, and no tensor that could be an output of a file.")
    if len(found) == 1 and not isinstance(result, Mapping) and list(found) == [f"{OUTPUT}0"]:
        return {OUTPUT: found[f"{OUTPUT}0"]}
    return found


def _leaves(value: object, path: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], object]]:
    entries = _entries(value)
    if entries is None:
        return [] if value is None else [(path, value)]
    return [leaf for key, item in entries for leaf in _leaves(item, (*path, key))]


def _entries(value: object) -> list[tuple[str, object]] | None:
    if isinstance(value, Mapping):
        return [(str(key), item) for key, item in value.items()]
    if isinstance(value, list | tuple):
        names = getattr(value, "_fields", range(len(value)))
        return [(str(name), item) for name, item in zip(names, value, strict=True)]
    if is_dataclass(value):
        return [(each.name, getattr(value, each.name)) for each in fields(value)]
    return None


def _name(path: tuple[str, ...]) -> str:
    """A number alone says nothing: the first tensor of a tuple is `output0`."""
    first = f"{OUTPUT}{path[0]}" if path and path[0].isdecimal() else ""
    return ".".join([first, *path[1:]] if first else path) or OUTPUT


def _described(value: object) -> str:
    return "nothing" if value is None else f"a value of the type {type(value).__name__}"
