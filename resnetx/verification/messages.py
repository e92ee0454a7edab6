"""The messages between a verification and the process in which it runs, validated on arrival."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from resnetx.base.validation import validated
from resnetx.verification.result import Verification
from resnetx.verification.verify import VerifyOptions

# A module cannot be sent, and arrays go through a file.
NOT_SENT = ("module", "images")
_HINTS = get_type_hints(VerifyOptions)
# Derived from the options, so that a new option needs no change here.
_Settings: Any = make_dataclass(
    "_Settings",
    [(each.name, _HINTS[each.name], field()) for each in fields(VerifyOptions) if each.name not in NOT_SENT],
    frozen=True,
    kw_only=True,
)


@dataclass(frozen=True, kw_only=True)
class VerifyOrder:
    """The file to verify. Images are those of a folder, or an array in a file."""

    path: Path
    images_folder: Path | None = None
    images_file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Verified:
    verification: Verification


def write_order(path: Path, options: VerifyOptions, folder: Path) -> dict[str, Any]:
    """The request for the child; arrays are written to `folder`."""
    assert options.module is None
    order = VerifyOrder(path=path)
    if isinstance(options.images, Path):
        order = replace(order, images_folder=options.images)
    elif options.images is not None:
        order = replace(order, images_file=folder / "images.npy")
        with (folder / "images.npy").open("wb") as stream:
            np.save(stream, options.images, allow_pickle=False)
    sent = {name: value for name, value in _shallow(options).items() if name not in NOT_SENT}
    return {"order": _texts(asdict(order)), "options": _texts(sent)}


def read_order(request: Mapping[str, Any]) -> tuple[Path, VerifyOptions]:
    order = validated(VerifyOrder, request["order"])
    settings = validated(_Settings, request["options"])
    images: np.ndarray | Path | None = order.images_folder
    if order.images_file is not None:
        images = np.load(order.images_file, allow_pickle=False)
    return order.path, VerifyOptions(images=images, **_shallow(settings))


def _shallow(value: Any) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in fields(value)}


def _texts(value: Any) -> Any:
    """JSON's types: options consist of numbers, text, paths, lists and small dataclasses."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _texts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(item) for item in value]
    return _texts(asdict(value)) if hasattr(value, "__dataclass_fields__") else value
