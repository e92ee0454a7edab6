"""Converts recognised tensors to a state dict of resnetx: renames them, folds biases, checks shapes and values."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from resnetx.errors import CheckpointError
from resnetx.model.config import ResNetConfig
from resnetx.model.layer_names import Layer, Naming, parse_layer, spell_layer
from resnetx.weights.other_architectures import Shape
from resnetx.weights.recognise import COUNTERS, Structure
from resnetx.weights.untrusted import MAX_BYTES, clip, listed

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def convert(
    tensors: Mapping[str, Tensor], found: Structure, config: ResNetConfig, expected: Mapping[str, Shape]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors in float32 under the names of `expected` (a network's state dict), and notes for the user."""
    target: Naming = "original" if config.variant == "textbook" else "torchvision"
    ours = {
        name: f"{spell_layer(place, target, config.stages, config.classes)}.{what}"
        for name, (place, what) in found.places.items()
    }
    folds = _folded_biases(found) if found.naming == "keras" else {}
    theirs = {ours[name]: name for name in tensors if name in ours and name not in folds}
    _compare(theirs, {name: tuple(tensors[name].shape) for name in tensors}, expected, found, [*found.unexpected])
    _check_folds(folds, tensors)
    _check_types(tensors)
    biases = {statistic: tensors[bias] for bias, statistic in folds.items()}
    converted = {name: _float32(tensors[own], biases.get(own)) for name, own in theirs.items()}
    _check_values(converted, theirs)
    types = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()} - {"float32"})
    notes = (f"weights of type {', '.join(types)}, converted to float32",) if types else ()
    return converted, notes


def _folded_biases(found: Structure) -> dict[str, str]:
    """Maps each convolution bias to the running mean that absorbs it: BN(y + b) is BN(y) with the mean m - b."""
    means = {place: name for name, (place, what) in found.places.items() if what == "running_mean"}
    folds: dict[str, str] = {}
    convolutions = [(name, place, what) for name, (place, what) in found.places.items() if place.kind == "conv"]
    for name, place, what in convolutions:
        mean = means.get(replace(place, kind="bn"))
        if what == "bias" and mean:
            folds[name] = mean
    without = [name for name, place, what in convolutions if what == "weight" and not _has_bias(place, found)]
    if folds and without:
        raise CheckpointError(
            f"some convolutions have a bias, but others have none ({listed(without)}); save the checkpoint again."
        )
    return folds


def _has_bias(place: Layer, found: Structure) -> bool:
    return (place, "bias") in found.places.values()


def _check_folds(folds: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
    for bias, mean in folds.items():
        if tensors[bias].shape != tensors[mean].shape:
            raise CheckpointError(
                f"{clip(bias)} has shape {tuple(tensors[bias].shape)}; expected {tuple(tensors[mean].shape)}."
            )


def _compare(
    theirs: Mapping[str, str],
    shapes: Mapping[str, Shape],
    expected: Mapping[str, Shape],
    found: Structure,
    unexpected: list[str],
) -> None:
    """Check for missing and unexpected tensors and wrong shapes; errors use the names of the file."""
    wanted = {name: shape for name, shape in expected.items() if name.rpartition(".")[2] not in COUNTERS}
    missing = [_in_naming(name, found) for name in wanted if name not in theirs]
    unexpected += [own for name, own in theirs.items() if name not in wanted]
    wrong = [
        f"{clip(own)} has shape {shapes[own]}, expected {wanted[name]}"
        for name, own in theirs.items()
        if name in wanted and shapes[own] != wanted[name]
    ]
    problems = []
    if missing:
        problems.append(f"{_tensors(len(missing))} missing ({listed(missing)})")
    if unexpected:
        problems.append(f"{_tensors(len(unexpected))} unexpected ({listed(unexpected)})")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        problems.append(f"{_tensors(len(wrong))} of the wrong shape: {'; '.join(wrong[:3])}{more}")
    if problems:
        raise CheckpointError(
            f"it looks like a {found.block} ResNet with stages {','.join(map(str, found.stages))} and width "
            f"{found.width}, but {', '.join(problems)}. resnetx loads only complete checkpoints; save it again "
            "from the original network."
        )


def _tensors(count: int) -> str:
    return "1 tensor is" if count == 1 else f"{count} tensors are"


def _in_naming(name: str, found: Structure) -> str:
    """The name of a resnetx tensor in the naming of the file."""
    path, _, parameter = name.rpartition(".")
    place = parse_layer(path, "torchvision") or parse_layer(path, "original")
    return name if place is None else f"{spell_layer(place, found.naming, found.stages, found.classes)}.{parameter}"


def _check_types(tensors: Mapping[str, Tensor]) -> None:
    if sum(tensor.numel() for tensor in tensors.values()) * 4 > MAX_BYTES:
        raise CheckpointError(f"its weights need more than {MAX_BYTES // 2**30} GiB in float32, more than any ResNet.")
    for name, tensor in tensors.items():
        if tensor.dtype not in FLOATS:
            raise CheckpointError(
                f"{clip(name)} is of type {tensor.dtype}; resnetx supports floating-point weights only. If the "
                "checkpoint is quantized, use the floating-point checkpoint that it was made from."
            )


def _float32(tensor: Tensor, bias: Tensor | None) -> Tensor:
    if bias is not None:
        # In double precision, so that only the conversion to float32 rounds.
        tensor = tensor.double() - bias.double()
    return tensor.detach().to(torch.float32).contiguous()


def _check_values(converted: Mapping[str, Tensor], theirs: Mapping[str, str]) -> None:
    broken = [theirs[name] for name, tensor in converted.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise CheckpointError(
            f"{_tensors(len(broken))} not finite ({listed(broken)}): NaN or infinity in float32. "
            "The training diverged or the file is damaged; use an earlier checkpoint."
        )
    negative = [
        theirs[name] for name, tensor in converted.items() if name.endswith(".running_var") and bool((tensor < 0).any())
    ]
    if negative:
        raise CheckpointError(
            f"{_tensors(len(negative))} negative ({listed(negative)}), which a variance cannot be: "
            "the file is damaged; fetch or save it again."
        )
