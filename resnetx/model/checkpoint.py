"""Loads weights of any naming into a network of ours: the whole checkpoint fits, or nothing is loaded."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from resnetx.errors import CheckpointError, UsageError
from resnetx.model.config import ResNetConfig, Variant
from resnetx.model.convert import to_network_names
from resnetx.model.huggingface import ModelFolder, read_folder
from resnetx.model.network import build_network
from resnetx.model.preprocessing import CAFFE, Preprocessing
from resnetx.model.random_init import initialize
from resnetx.model.readers import read_tensors
from resnetx.model.readers.raw import RawCheckpoint
from resnetx.model.recognise import COUNTERS, Structure, recognise, strip_names

KERAS_BN_EPS = 1.001e-5  # keras/src/applications/resnet.py
TEXTBOOK_BN_EPS = 1e-3


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights under the names of `build_network(config)`, in float32, and what had to be assumed about them."""

    config: ResNetConfig
    tensors: dict[str, Tensor]
    naming: str
    assumed: tuple[str, ...]
    labels: tuple[str, ...] | None
    preprocessing: Preprocessing | None


def load_checkpoint(path: Path, *, variant: Variant | None = None, image_size: int | None = None) -> Checkpoint:
    """The weights in a file or a local Hugging Face folder; `variant` overrides what the naming suggests."""
    path = Path(path)
    try:
        folder = read_folder(path) if path.is_dir() else None
        raw = read_tensors(folder.weights if folder else path)
        return _checkpoint(raw, folder, variant, image_size)
    except CheckpointError as error:
        raise CheckpointError(f"Cannot load the weights in {path}: {error}") from error


def load_network(
    checkpoint: Checkpoint, *, image_size: int | None = None, new_head_classes: int | None = None, seed: int = 0
) -> nn.Module:
    """The network with these weights, in evaluation mode; with `new_head_classes` its classifier starts from `seed`."""
    config = checkpoint.config
    if new_head_classes is not None:
        config = replace(config, classes=new_head_classes)
    network = _unfilled(config, image_size).to_empty(device="cpu")
    initialize(network, seed)
    own = network.state_dict()
    counters = {name: torch.zeros_like(own[name]) for name in own if name.rpartition(".")[2] in COUNTERS}
    weights = dict(checkpoint.tensors)
    if new_head_classes is not None:
        weights = {name: tensor for name, tensor in weights.items() if not is_classifier(name, checkpoint.config)}
        weights |= {name: tensor for name, tensor in own.items() if is_classifier(name, config)}
    for name, tensor in weights.items():
        if name in own and own[name].shape != tensor.shape:
            raise UsageError(
                f"The checkpoint's {name} has shape {tuple(tensor.shape)}, and for images of "
                f"{image_size or config.image_size} the {config.name} needs {tuple(own[name].shape)}; "
                "choose the --image-size that it was trained for."
            )
    network.load_state_dict(weights | counters, strict=True)
    return network.eval()


def is_classifier(name: str, config: ResNetConfig) -> bool:
    """Whether a tensor belongs to the last layer."""
    return name.rpartition(".")[0] == (f"fc{config.classes}" if config.variant == "textbook" else "fc")


def weights_sha256(network: nn.Module) -> str:
    """The digest of what a network computes with: the same for the same weights, whatever file they came from."""
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
    structure = recognise(tensors)
    config, assumed = _config(structure, raw, folder, variant, image_size)
    if folder:
        folder.check(config)
    expected = {name: tuple(tensor.shape) for name, tensor in _unfilled(config, image_size).state_dict().items()}
    converted, notes = to_network_names(tensors, structure, config, expected)
    return Checkpoint(
        config=config,
        tensors=converted,
        naming=structure.naming,
        assumed=(*raw.assumed, *assumed, *notes),
        labels=folder.labels if folder else None,
        preprocessing=CAFFE if structure.naming == "keras" else folder.preprocessing if folder else None,
    )


def _unfilled(config: ResNetConfig, image_size: int | None) -> nn.Module:
    with torch.device("meta"):
        return build_network(config, image_size=image_size)


def _config(
    found: Structure,
    raw: RawCheckpoint,
    folder: ModelFolder | None,
    variant: Variant | None,
    image_size: int | None,
) -> tuple[ResNetConfig, tuple[str, ...]]:
    """The config of what was found, and what had to be assumed for it."""
    if found.naming == "original":
        return _textbook_config(found, raw, variant, image_size)
    if variant == "textbook":
        raise UsageError(
            f"The weights have {found.naming} names, and the textbook variant is another network (biases, narrower "
            "blocks, other pooling), which these cannot fill; choose --variant v1.5 or v1, or leave it out."
        )
    chosen, assumed = _variant(found, raw, folder, variant)
    bn_eps = 1e-5
    if found.naming == "keras":
        bn_eps = raw.bn_eps or KERAS_BN_EPS
        if raw.bn_eps is None:
            assumed = (*assumed, f"a BatchNorm epsilon of {KERAS_BN_EPS}, from the Keras naming")
    return _built(found, variant=chosen, bn_eps=bn_eps), assumed


def _variant(
    found: Structure, raw: RawCheckpoint, folder: ModelFolder | None, variant: Variant | None
) -> tuple[Variant, tuple[str, ...]]:
    """The stride's place is invisible in the weights: the user's word, the file's own, or the naming's habit."""
    if variant is not None:
        return variant, ()
    if raw.variant is not None:
        return raw.variant, ()
    if folder is not None and folder.variant is not None:
        return folder.variant, ()
    if found.naming == "keras":
        return "v1", ("v1 (stride on the first 1x1), from the keras naming; --variant overrides",)
    if found.block == "basic":
        return "v1.5", ()
    return "v1.5", (f"v1.5 (stride on the 3x3), from the {found.naming} naming; --variant overrides",)


def _textbook_config(
    found: Structure, raw: RawCheckpoint, variant: Variant | None, image_size: int | None
) -> tuple[ResNetConfig, tuple[str, ...]]:
    if variant not in (None, "textbook"):
        raise UsageError(
            f"The weights have the original network's names and biases, which only the textbook variant takes; "
            f"leave --variant {variant} out."
        )
    from resnetx.model.names import CLASSIFIER, Layer  # noqa: F401

    raise NotImplementedError


def _built(found: Structure, **options: object) -> ResNetConfig:
    raise NotImplementedError


def _unused(_: Mapping[str, Tensor]) -> None: ...
