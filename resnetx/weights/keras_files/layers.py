"""Reads Keras files (.keras, .weights.h5, legacy .h5) without Keras: layers by name, in PyTorch's layout."""

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from resnetx.errors import CheckpointError
from resnetx.model.config import Variant
from resnetx.model.layer_names import parse_layer
from resnetx.weights.keras_files.config import NO_CONFIG, KerasConfig, read_config
from resnetx.weights.keras_files.hdf5 import datasets, open_hdf5, read_array, safe_child, text_attribute
from resnetx.weights.keras_files.order import name_counted_layers
from resnetx.weights.untrusted import MAX_BYTES, clip, listed

WEIGHTS_MEMBER = "model.weights.h5"
MAX_CONFIG_BYTES = 16 * 2**20
# Keras 1 stores the variance under the name `running_std`.
PARAMETERS = {
    "kernel": "kernel",
    "W": "kernel",
    "bias": "bias",
    "b": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "running_mean": "running_mean",
    "moving_variance": "running_var",
    "running_std": "running_var",
    "running_var": "running_var",
}
_PARAMETER = re.compile(rf"(?:.*_)??({'|'.join(PARAMETERS)})(?:_\d+)?(?::\d+)?")
# Keras 3 numbers a layer's variables.
NUMBERED = {2: ("kernel", "bias"), 4: ("weight", "bias", "running_mean", "running_var")}

Layers = dict[str, dict[str, h5py.Dataset]]


@dataclass(frozen=True, kw_only=True)
class KerasWeights:
    """Arrays under Keras's names of the layers, in PyTorch's layout; the rest is None if the file doesn't say it."""

    arrays: dict[str, np.ndarray]
    bn_eps: float | None
    variant: Variant | None


def read_archive(path: Path) -> KerasWeights:
    """The layers of a .keras archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            text = _member(archive, "config.json", MAX_CONFIG_BYTES)
            weights = _member(archive, WEIGHTS_MEMBER, MAX_BYTES)
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, NotImplementedError) as error:
        raise CheckpointError(
            f"it looks like a .keras archive, but cannot be read ({clip(error, 200)}): it is truncated or damaged; "
            "fetch or save it again."
        ) from error
    return _read(weights, read_config(text.decode("utf-8", errors="replace")))


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    if name not in archive.namelist():
        raise CheckpointError(f"the .keras archive has no {name}; save the model again with Keras 3.")
    info = archive.getinfo(name)
    if info.file_size > limit or info.file_size > 20 * info.compress_size + 2**20:
        raise CheckpointError(
            f"{name} in the .keras archive has {info.compress_size} bytes and unpacks to {info.file_size}: "
            "it looks like a decompression bomb, not weights."
        )
    with archive.open(info) as stream:
        return stream.read(limit)


def read_h5(path: Path) -> KerasWeights:
    """The layers of an HDF5 file in the format of Keras 3 or the legacy format."""
    return _read(path, None)


def _read(source: Path | bytes, config: KerasConfig | None) -> KerasWeights:
    with open_hdf5(source) as file:
        if config is None:
            text = text_attribute(file, "model_config")
            config = read_config(text) if text else NO_CONFIG
        layers = _layers(file, config)
        arrays: dict[str, np.ndarray] = {}
        for name, parameters in _with_known_classifier(layers).items():
            for parameter, dataset in parameters.items():
                torch_name, array = _to_torch(parameter, read_array(f"{name}/{parameter}", dataset))
                arrays[f"{name}.{torch_name}"] = array
    return KerasWeights(arrays=arrays, bn_eps=config.bn_eps, variant=config.variant)


def _layers(file: h5py.File, config: KerasConfig) -> Layers:
    for root in ("layers", "_layer_checkpoint_dependencies"):
        if root in file:
            return _numbered_layers(safe_child(file, root), config)
    if "model_weights" in file:
        return _legacy_layers(safe_child(file, "model_weights"))
    return _legacy_layers(file)


def _legacy_layers(group: h5py.Group | h5py.Dataset) -> Layers:
    """Layers by name: `conv1_conv/conv1_conv/kernel:0`, or `bn_conv1/bn_conv1_gamma_1:0` in Keras 1."""
    layers: Layers = {}
    for path, dataset in datasets(_group(group)).items():
        layer, leaf = path.split("/")[0], path.split("/")[-1]
        match = _PARAMETER.fullmatch(leaf)
        if match is None or "/" not in path:
            raise CheckpointError(f"{clip(path)} is not a parameter of a Keras convolution, BatchNorm or dense layer.")
        parameter = PARAMETERS[match.group(1)]
        if parameter in layers.setdefault(layer, {}):
            raise CheckpointError(
                f"{clip(layer)} has two parameters {parameter}: it is a nested model, "
                "and resnetx reads a ResNet that is the whole model. Save the inner model separately."
            )
        layers[layer][parameter] = dataset
    return layers


def _numbered_layers(group: h5py.Group | h5py.Dataset, config: KerasConfig) -> Layers:
    """Layers by class counter, `conv2d_12/vars/0`; their names come from the configuration, the file, or the order."""
    counted: Layers = {}
    names: dict[str, str] = {}
    for path, dataset in datasets(_group(group)).items():
        counter, *middle, number = path.split("/")
        if middle != ["vars"] or not number.isdecimal():
            raise CheckpointError(
                f"{clip(path)} belongs to a nested model (or to no Keras layer); "
                "resnetx reads a ResNet that is the whole model. Save the inner model separately."
            )
        counted.setdefault(counter, {})[number] = dataset
    for counter, variables in counted.items():
        parameters = NUMBERED.get(len(variables), ("kernel",))
        if set(variables) != {str(index) for index in range(len(parameters))}:
            raise CheckpointError(
                f"{clip(counter)} has the variables {listed(variables)}; a convolution or dense layer has 1 or 2 "
                "and a BatchNorm 4."
            )
        counted[counter] = {name: variables[str(index)] for index, name in enumerate(parameters)}
        inner = _group(safe_child(_group(safe_child(_group(group), counter)), "vars"))
        name = config.names.get(counter) or text_attribute(inner, "name")
        if name is None and parse_layer(counter, "keras"):
            name = counter
        if name is not None:
            names[counter] = name
    if len(names) < len(counted) or len(set(names.values())) < len(names):
        names = name_counted_layers({counter: _shapes(variables) for counter, variables in counted.items()})
    return {names[counter]: variables for counter, variables in counted.items()}


def _shapes(variables: Mapping[str, h5py.Dataset]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(dataset.shape) for name, dataset in variables.items()}


def _with_known_classifier(layers: Layers) -> Layers:
    """Rename the only dense layer to `predictions`: a custom classifier can have any name."""
    dense = [name for name, variables in layers.items() if "kernel" in variables and variables["kernel"].ndim == 2]
    if len(dense) != 1 or not any(parse_layer(name, "keras") for name in layers if name != dense[0]):
        return layers
    return {"predictions" if name == dense[0] else name: variables for name, variables in layers.items()}


def _to_torch(parameter: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    """Keras stores kernels as HWIO (and inputs x outputs), PyTorch as OIHW (and outputs x inputs)."""
    if parameter != "kernel":
        return parameter, array
    if array.ndim == 4:
        return "weight", array.transpose(3, 2, 0, 1)
    return "weight", array.T if array.ndim == 2 else array


def _group(item: h5py.Group | h5py.Dataset) -> h5py.Group:
    if not isinstance(item, h5py.Group):
        raise CheckpointError(f"{clip(item.name)} is a dataset, but Keras has a group there.")
    return item
