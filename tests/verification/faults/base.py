"""What a fault is, and the healthy files that faults are seeded into."""

import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx
import torch
from onnx import ModelProto
from safetensors.torch import save_file
from torch import nn

import resnetx
from resnetx.model.config import ResNetConfig
from resnetx.model.initialization import initialize
from resnetx.model.network import build_network
from tests.verification.faults.graph_edits import Edit, changed

Base = Literal["floats", "pixels", "probabilities", "small variances"]
# What an inspection must look at to see the fault; "any image" shows the others.
Needs = Literal["any image", "extreme images", "large magnitudes", "batch 2", "batch 3"]

CONFIG = ResNetConfig(stages=(2, 1, 2), width=8, classes=20)
IMAGE_SIZE = 64
EXPORT_OPTIONS: dict[Base, dict[str, Any]] = {
    "floats": {},
    "pixels": {"preprocess": "uint8"},
    "probabilities": {"output": "probabilities"},
    "small variances": {},
}
# As BatchNorms have them behind channels that hardly ever fire: here eps 1.001e-5 is not 1e-5 any more.
SMALL = 1e-4


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
    built = build_network(CONFIG)
    initialize(built, seed)
    if base == "small variances":
        shrink_variances(built)
    return built


@torch.no_grad()
def shrink_variances(built: nn.Module) -> None:
    """Weaker convolutions with statistics to match: the BatchNorms make nearly the same of it."""
    for module in built.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.mul_(SMALL**0.5)
        elif isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.mul_(SMALL**0.5)
            module.running_var.mul_(SMALL)


@functools.cache
def _exported(base: Base) -> tuple[bytes, bytes | None]:
    """The healthy file and its weights' file, made once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "weights.safetensors" if base == "small variances" else None
        if source:
            tensors = {key: value.contiguous() for key, value in network(base).state_dict().items()}
            save_file(tensors, source)
        result = resnetx.export(
            None if source else CONFIG,
            folder / "m.onnx",
            weights=source,
            variant=CONFIG.variant if source else None,
            image_size=IMAGE_SIZE,
            **EXPORT_OPTIONS[base],
        )
        assert result.passed
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
