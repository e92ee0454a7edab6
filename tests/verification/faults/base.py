"""What a fault is, and the healthy files that faults are seeded into."""

import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto
from safetensors.torch import save_file
from torch import nn

import resnetx
from resnetx.model.initialization import initialize
from resnetx.model.network import build_network
from tests.verification.faults.graph_edits import Edit, changed
from tests.verification.faults.healthy import BASES, IMAGE_SIZE, Base, Needs


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`apply` makes the faulty file from the healthy one of `base`.

    `layer` is the node whose tensor is the first, in the healthy file's order, to show the effect; None where that
    is in the normalization of the input, before all layers, or where there is nothing to show.
    """

    name: str
    layer: str | None
    apply: Callable[[ModelProto], ModelProto]
    base: Base = "floats"
    needs: Needs = "any image"
    observable: bool = True
    why: str = ""
    deterministic: bool = True


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A healthy file; where its network is not the one of a seed, the weights that it was made from."""

    path: Path
    weights: Path | None


@functools.cache
def network(base: Base = "floats", seed: int = 0) -> nn.Module:
    """The healthy network of a base, or one that differs in the seed."""
    recipe = BASES[base]
    if recipe.module is not None:
        return recipe.module(seed)
    built = build_network(recipe.config)
    initialize(built, seed)
    if recipe.adapt is not None:
        recipe.adapt(built)
    return built


@functools.cache
def _exported(base: Base) -> tuple[bytes, bytes | None]:
    """The healthy file and its weights' file, made once."""
    recipe = BASES[base]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "weights.safetensors" if recipe.adapt is not None else None
        if source:
            tensors = {key: value.contiguous() for key, value in network(base).state_dict().items()}
            save_file(tensors, source)
        own = recipe.module is None
        result = resnetx.export(
            (None if source else recipe.config) if own else network(base),
            folder / "m.onnx",
            weights=source,
            variant=recipe.config.variant if source else None,
            image_size=IMAGE_SIZE if own else None,
            **recipe.options,
        )
        assert result.passed
        if recipe.rewrite is not None:
            recipe.rewrite(result.path)
        return result.path.read_bytes(), source.read_bytes() if source else None


def reference(base: Base, folder: Path) -> Reference:
    """The healthy file of a base, written into `folder`."""
    model, source = _exported(base)
    path = folder / f"{base.replace(' ', '_')}.onnx"
    path.write_bytes(model)
    if source is None:
        return Reference(path=path, weights=None)
    path.with_suffix(".safetensors").write_bytes(source)
    return Reference(path=path, weights=path.with_suffix(".safetensors"))


def reference_model(tmp_path: Path) -> Path:
    return reference("floats", tmp_path).path


def healthy_model(base: Base) -> ModelProto:
    return onnx.load_from_string(_exported(base)[0])


def fault(name: str, layer: str | None, *edits: Edit, **fields: Any) -> Fault:
    return Fault(name=name, layer=layer, apply=changed(*edits), **fields)
