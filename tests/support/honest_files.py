"""Honest files of many kinds: each computes what its network computes, and must raise no alarm."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from safetensors.torch import save_file
from torch import nn

import resnetx
from resnetx.base.loggers import silenced
from resnetx.conversion.checked_simplify import simplify_checked
from resnetx.graph.card import CARD_KEY, embed_card, metadata, read_card
from resnetx.inputs.synthetic import network_input
from resnetx.model.config import ResNetConfig, resnet_config
from resnetx.model.initialization import initialize
from resnetx.model.network import build_network
from resnetx.model.preprocessing import IMAGENET
from resnetx.verification.verify import VerifyOptions
from tests.support.images import synthetic_images
from tests.support.odd_modules import ODD, odd_module
from tests.support.quantization import quantize
from tests.support.reduced_networks import DYNAMO_ONLY, FAMILIES, IMAGE_SIZES, reduced

TINY = resnet_config(stages=(1, 2), width=4, classes=20)
# The older exporter is ten times faster, and writes other graphs than the newer one.
OLDER: dict[str, Any] = {"exporter": "torchscript", "opset": 18}
NEWER: dict[str, Any] = {"exporter": "dynamo", "opset": 20}
OPTIMIZATIONS = ("basic", "extended")
Rewrite = Callable[[Path], None]
# A file, and how a user would verify it.
Made = tuple[Path, VerifyOptions]


@dataclass(frozen=True, kw_only=True)
class HonestFile:
    """`make` writes the file into a folder, and says how a user would verify it."""

    name: str
    make: Callable[[Path], Made]
    slow: bool = False


def optimized(path: Path, *, level: str) -> None:
    """As ONNX Runtime saves what it makes of a file; the card, which it drops, is put back."""
    import onnxruntime

    card = read_card(onnx.load(path))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level.upper()}")
    options.optimized_model_filepath = str(path.with_suffix(".optimized.onnx"))
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    model = onnx.load(path.with_suffix(".optimized.onnx"))
    if card is not None and CARD_KEY not in metadata(model):
        embed_card(model, card)
    onnx.save(model, path)


def simplified(path: Path) -> None:
    onnx.save(simplify_checked(onnx.load(path)).model, path)


def float16_throughout(path: Path) -> None:
    """Inputs and outputs too."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with silenced("onnxruntime.transformers.float16"):
        onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=False), path)


def int8(path: Path, *, per_channel: bool, size: int) -> None:
    images = network_input(synthetic_images(16, size, seed=1), IMAGENET)
    quantize(path, path, np.split(images, 4), per_channel=per_channel)


REWRITES: dict[str, Rewrite] = {
    "onnxsim": simplified,
    **{f"ONNX Runtime's {level}": partial(optimized, level=level) for level in OPTIMIZATIONS},
}


@cache
def _family_file(family: str, exporter: str, opset: int, simplify: bool) -> tuple[nn.Module, bytes]:
    size = IMAGE_SIZES.get(family, 64)
    network = reduced(family)
    options: dict[str, Any] = {"exporter": exporter, "opset": opset, "simplify": simplify, "verify": False}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        resnetx.export(network, path, example=torch.rand(2, 3, size, size), **options)
        return network, path.read_bytes()


def _family(
    folder: Path, *, family: str, rewrite: Rewrite | None = None, simplify: bool = False, **options: Any
) -> Made:
    network, data = _family_file(family, options["exporter"], options["opset"], simplify)
    path = folder / "m.onnx"
    path.write_bytes(data)
    if rewrite:
        rewrite(path)
    return path, VerifyOptions(module=network)


def _own(
    folder: Path, *, config: ResNetConfig = TINY, size: int = 48, rewrite: Rewrite | None = None, **options: Any
) -> Made:
    path = folder / "m.onnx"
    resnetx.export(config, path, image_size=size, verify=False, **{**OLDER, "simplify": False, **options})
    if rewrite:
        rewrite(path)
    return path, VerifyOptions()


def _trained(folder: Path, *, change: Callable[[nn.Module], None], size: int = 48, **options: Any) -> Made:
    """From a checkpoint whose weights are changed as training changes them."""
    network = build_network(TINY)
    initialize(network, 5)
    with torch.no_grad():
        change(network)
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, folder / "w.safetensors")
    path = folder / "m.onnx"
    form: dict[str, Any] = {**OLDER, "image_size": size, "verify": False, "simplify": False, **options}
    resnetx.export(None, path, weights=folder / "w.safetensors", variant="v1.5", **form)
    return path, VerifyOptions()


def _odd(
    folder: Path, *, name: str, rewrite: Rewrite | None = None, precision: str | None = None, **options: Any
) -> Made:
    odd, module, path = ODD[name], odd_module(name), folder / "m.onnx"
    example = torch.zeros(2, 3, odd.size, odd.size, dtype=odd.dtype)
    resnetx.export(module, path, example=example, verify=False, simplify=False, **options)
    if rewrite:
        rewrite(path)
    return path, VerifyOptions(module=module, precision=precision)


def norms(network: nn.Module) -> Iterator[nn.BatchNorm2d]:
    return (module for module in network.modules() if isinstance(module, nn.BatchNorm2d))


def scaled(network: nn.Module, *, factor: float) -> None:
    """Convolutions of another scale, and statistics to match."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.mul_(factor)
    for norm in norms(network):
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.mul_(factor)
        norm.running_var.mul_(factor**2)


def some_variances(network: nn.Module, *, variance: float) -> None:
    """A channel of each norm that hardly ever varied: its scale is near gamma over the root of eps."""
    for norm in norms(network):
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_var[0] = variance
        norm.weight[0] *= (variance + norm.eps) ** 0.5


def zero_gammas(network: nn.Module) -> None:
    for path, module in network.named_modules():
        if path.endswith("bn3"):
            assert isinstance(module, nn.BatchNorm2d)
            module.weight.zero_()


def denormal_weights(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.view(-1)[::7] = 1e-40


def pruned_filters(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight[::2] = 0


def large_biases(network: nn.Module) -> None:
    for norm in norms(network):
        norm.bias.add_(100)


WEIGHTS: dict[str, Callable[[nn.Module], None]] = {
    **{f"variances of {value:g}": partial(some_variances, variance=value) for value in (1e-4, 1e-6, 1e-8, 1e-9, 0.0)},
    **{f"weights of scale {value:g}": partial(scaled, factor=value) for value in (1e-4, 1e-2, 1e2, 1e4)},
    "zero residual gammas": zero_gammas,
    "denormal weights": denormal_weights,
    "pruned filters": pruned_filters,
    "large biases": large_biases,
}
OWN_FORMS: dict[str, dict[str, Any]] = {
    "floats": {},
    "pixels": {"preprocess": "uint8"},
    "probabilities": {"output": "probabilities"},
    "top 3 of pixels": {"preprocess": "uint8", "output": "top3"},
    "fp16": {"precision": "fp16"},
}


def honest_files(newest_opset: int) -> list[HonestFile]:
    """The whole table; `newest_opset` is the newest that the installed runtime loads."""
    files: list[HonestFile] = []

    def add(title: str, maker: Callable[..., Made], *, slow: bool = False, **options: Any) -> None:
        files.append(HonestFile(name=title, make=partial(maker, **options), slow=slow))

    for family in FAMILIES:
        traced = NEWER if family in DYNAMO_ONLY else OLDER
        add(f"{family}, {traced['exporter']}", _family, family=family, **traced)
        for words, rewrite in REWRITES.items():
            add(f"{family}, {words}", _family, family=family, rewrite=rewrite, slow=words == "onnxsim", **traced)
        add(f"{family}, dynamo and simplified", _family, family=family, simplify=True, slow=True, **NEWER)
    for family, opset in product(("densenet", "mobilenet_v3", "regnet_y", "shufflenet_v2"), (13, 14, 16, 17)):
        add(f"{family}, opset {opset}", _family, family=family, exporter="torchscript", opset=opset)
    for opset in range(20, newest_opset + 1):
        add(f"efficientnet, opset {opset}", _family, family="efficientnet", exporter="dynamo", opset=opset, slow=True)
    for (form, options), (words, rewrite) in product(OWN_FORMS.items(), REWRITES.items()):
        add(f"{form}, {words}", _own, rewrite=rewrite, **options)
    for batch in range(1, 18):
        add(f"batches of {batch}", _own, batch=batch)
    for batch, form in product((1, 4, 9), ("pixels", "probabilities", "fp16")):
        add(f"batches of {batch}, {form}", _own, batch=batch, **OWN_FORMS[form])
    for size in (32, 40, 64, 96, 100, 128, 160, 192, 224, 256):
        add(f"images of {size}", _own, size=size)
    for form in ("floats", "pixels"):
        add(f"images of 768, {form}", _own, size=768, slow=True, **OWN_FORMS[form])
    for words, change in WEIGHTS.items():
        add(words, _trained, change=change)
        add(
            f"{words}, probabilities, newer exporter",
            _trained,
            change=change,
            slow=True,
            output="probabilities",
            **NEWER,
        )
    for per_channel in (True, False):
        name = f"int8, a scale {'a channel' if per_channel else 'a tensor'}"
        add(name, _own, rewrite=partial(int8, per_channel=per_channel, size=48))
    add("one class", _own, config=replace(TINY, classes=1))
    add("two classes", _own, config=replace(TINY, classes=2), output="probabilities")
    for name in ODD:
        add(f"{name}, torchscript", _odd, name=name, **OLDER)
        add(f"{name}, dynamo", _odd, name=name, slow=True, **NEWER)
        add(f"{name}, ONNX Runtime's extended", _odd, name=name, rewrite=REWRITES["ONNX Runtime's extended"], **OLDER)
    for name in ("softmax", "one output", "SiLU"):
        form: dict[str, Any] = {"rewrite": float16_throughout, "precision": "fp16", **OLDER}
        add(f"{name}, float16 inputs and outputs", _odd, name=name, **form)
    return files
