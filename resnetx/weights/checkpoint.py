"""Loads weights with any supported naming into a resnetx network: the whole checkpoint fits, or nothing is loaded."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from resnetx.errors import CheckpointError, UsageError
from resnetx.model.config import ResNetConfig, Variant
from resnetx.model.initialization import initialize
from resnetx.model.network import build_network
from resnetx.model.preprocessing import CAFFE, Preprocessing
from resnetx.weights.convert import convert
from resnetx.weights.huggingface import ModelFolder, read_folder
from resnetx.weights.other_architectures import FILE, FROM_PYTHON
from resnetx.weights.readers import read_tensors
from resnetx.weights.readers.raw import RawCheckpoint
from resnetx.weights.recognise import COUNTERS, recognise, strip_names
from resnetx.weights.resolve_config import resolve_config

KERAS_SUFFIXES = (".h5", ".keras")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights in float32 under the names of `build_network(config)`, and the assumptions made about them."""

    config: ResNetConfig
    tensors: dict[str, Tensor]
    naming: str
    assumed: tuple[str, ...]
    labels: tuple[str, ...] | None
    preprocessing: Preprocessing | None


def load_checkpoint(path: Path, *, variant: Variant | None = None, image_size: int | None = None) -> Checkpoint:
    """Load the weights in a file or a local Hugging Face folder; `variant` overrides what the naming implies."""
    path = Path(path)
    try:
        folder = read_folder(path) if path.is_dir() else None
        raw = read_tensors(folder.weights if folder else path)
        return _checkpoint(raw, folder, variant, image_size)
    except CheckpointError as error:
        # PyTorch has no module for what Keras saved.
        escaped = json.dumps(str(path), ensure_ascii=False)[1:-1]  # within quotes
        code = () if path.suffix in KERAS_SUFFIXES else [line.replace(FILE, escaped) for line in error.code]
        advice = f" {FROM_PYTHON}" if code else ""
        raise CheckpointError(f"Cannot load the weights in {path}: {error.message}{advice}", code=code) from error


def load_network(
    checkpoint: Checkpoint, *, image_size: int | None = None, new_head_classes: int | None = None, seed: int = 0
) -> nn.Module:
    """The network with these weights, in evaluation mode; `new_head_classes` sets a new random classifier."""
    config = checkpoint.config if new_head_classes is None else replace(checkpoint.config, classes=new_head_classes)
    network = _meta_network(config, image_size).to_empty(device="cpu")
    weights = dict(checkpoint.tensors)
    if new_head_classes is not None:
        initialize(network, seed)
        weights = {name: tensor for name, tensor in weights.items() if not is_classifier(name, checkpoint.config)}
    own = network.state_dict()
    for name, tensor in own.items():
        if name.rpartition(".")[2] in COUNTERS:
            weights[name] = torch.zeros_like(tensor)
        elif new_head_classes is not None and is_classifier(name, config):
            weights[name] = tensor
        elif weights[name].shape != tensor.shape:
            raise UsageError(
                f"The checkpoint's {name} has shape {tuple(weights[name].shape)}, but for image size "
                f"{image_size or config.image_size} {config.name} needs {tuple(tensor.shape)}; "
                "set --image-size to the size that it was trained with."
            )
    network.load_state_dict(weights, strict=True)
    return network.eval()


def is_classifier(name: str, config: ResNetConfig) -> bool:
    """Whether a tensor belongs to the last layer."""
    return name.rpartition(".")[0] == (f"fc{config.classes}" if config.variant == "textbook" else "fc")


def weights_sha256(network: nn.Module) -> str:
    """The SHA-256 of a network's weights; it does not depend on the file that they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if name.rpartition(".")[2] in COUNTERS:
            continue
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {str(values.dtype).removeprefix('torch.')} {tuple(values.shape)}\n".encode())
        numbers = values.view(torch.uint8).numpy() if values.dtype is torch.bfloat16 else values.numpy()
        digest.update(numbers.astype(numbers.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def _checkpoint(
    raw: RawCheckpoint, folder: ModelFolder | None, variant: Variant | None, image_size: int | None
) -> Checkpoint:
    tensors = strip_names(raw.tensors)
    found = recognise(tensors)
    config, assumed = resolve_config(found, raw, folder, variant=variant, image_size=image_size)
    if folder:
        folder.check(config)
    expected = {name: tuple(tensor.shape) for name, tensor in _meta_network(config, image_size).state_dict().items()}
    converted, notes = convert(tensors, found, config, expected)
    return Checkpoint(
        config=config,
        tensors=converted,
        naming=found.naming,
        assumed=(*raw.assumed, *assumed, *notes),
        labels=folder.labels if folder else None,
        preprocessing=CAFFE if found.naming == "keras" else folder.preprocessing if folder else None,
    )


def _meta_network(config: ResNetConfig, image_size: int | None) -> nn.Module:
    with torch.device("meta"):
        return build_network(config, image_size=image_size)
