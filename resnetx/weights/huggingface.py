"""Reads a local Hugging Face folder: the weight file and its config.json."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resnetx.errors import CheckpointError, FileError
from resnetx.model.config import Block, ResNetConfig, Variant
from resnetx.model.preprocessing import SMALLEST_CROP, Preprocessing
from resnetx.weights.other_architectures import EXPORT, FILE
from resnetx.weights.untrusted import clip

MAX_JSON_BYTES = 16 * 2**20
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
BUILDS = "resnetx supports `model_type: resnet` of transformers and timm's plain resnets (resnet18, resnet50...)"
# In the order of Pillow's numbers, which transformers stores.
RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
# The defaults of transformers/models/resnet/configuration_resnet.py; a saved config may omit them.
DEFAULTS: dict[str, Any] = {
    "num_channels": 3,
    "embedding_size": 64,
    "hidden_sizes": [256, 512, 1024, 2048],
    "depths": [3, 4, 6, 3],
    "layer_type": "bottleneck",
    "hidden_act": "relu",
    "downsample_in_first_stage": False,
    "downsample_in_bottleneck": False,
}


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A folder's weight file and the values in its configuration; None for a value that is not given."""

    weights: Path
    variant: Variant | None
    labels: tuple[str, ...] | None
    preprocessing: Preprocessing | None
    block: Block | None = None
    stages: tuple[int, ...] | None = None
    width: int | None = None
    classes: int | None = None

    def check(self, config: ResNetConfig) -> None:
        """Check that the configuration matches the weights."""
        for what in ("block", "stages", "width", "classes"):
            stated, found = getattr(self, what), getattr(config, what)
            if stated is not None and stated != found:
                raise CheckpointError(
                    f"its config.json says {what} {stated}, but the weights in {self.weights.name} have {found}; "
                    "the two files don't belong together."
                )
        if self.labels is not None and len(self.labels) != config.classes:
            raise CheckpointError(
                f"its config.json has {len(self.labels)} labels, but the classifier has {config.classes} classes; "
                "the two files don't belong together."
            )


def read_folder(folder: Path) -> ModelFolder:
    """The weight file and configuration in a folder of transformers or timm."""
    weights = _weights(folder)
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(f"the folder has {weights.name} but no config.json; give {weights} as the weights.")
    config = read_json(path)
    try:
        if "architecture" in config:
            return _timm(weights, config)
        return _transformers(weights, config, folder / "preprocessor_config.json")
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"{path.name} is not a valid configuration of transformers or timm "
            f"({type(error).__name__}: {clip(error)}); fetch the folder again."
        ) from error


def _weights(folder: Path) -> Path:
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    if list(folder.glob("*.index.json")):
        raise CheckpointError("its weights are split over several files; save them as one model.safetensors.")
    raise CheckpointError(
        f"the folder has neither {' nor '.join(WEIGHT_FILES)}; give a folder that `save_pretrained` wrote, "
        "or a weight file."
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a small file."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise CheckpointError(
                f"{path.name} has {path.stat().st_size} bytes, too many for a configuration; fetch the folder again."
            )
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is not JSON ({clip(error)}); fetch the folder again.") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path.name} contains a {type(data).__name__}, not an object; fetch the folder again.")
    return data


def _transformers(weights: Path, config: dict[str, Any], preprocessor: Path) -> ModelFolder:
    if config.get("model_type") != "resnet":
        named = ", ".join(map(str, config.get("architectures") or [])) or "no architecture"
        raise CheckpointError(
            f"its config.json says model_type {clip(config.get('model_type'))} ({clip(named)}); {BUILDS}.",
            code=(
                "import resnetx, torch, transformers",
                f'network = transformers.AutoModelForImageClassification.from_pretrained("{FILE}")',
                EXPORT,
            ),
        )
    values = DEFAULTS | config
    for key, wanted in (("hidden_act", "relu"), ("num_channels", 3), ("downsample_in_first_stage", False)):
        if values[key] != wanted:
            raise CheckpointError(f"its config.json says {key} {clip(values[key])}; resnetx supports only {wanted}.")
    block: Block = "bottleneck" if values["layer_type"] == "bottleneck" else "basic"
    stages = tuple(int(depth) for depth in values["depths"])
    width = int(values["embedding_size"])
    channels = [int(size) for size in values["hidden_sizes"]]
    fitting = [width * 2**stage * (4 if block == "bottleneck" else 1) for stage in range(min(len(stages), 16))]
    if values["layer_type"] not in ("basic", "bottleneck") or channels != fitting:
        raise CheckpointError(
            f"its config.json describes {clip(values['layer_type'])} blocks of {clip(channels)} channels; after a stem "
            f"of width {width}, resnetx supports basic or bottleneck blocks of {clip(fitting)}."
        )
    labels = _labels(config.get("id2label"))
    return ModelFolder(
        weights=weights,
        # A basic block has only one place for the stride.
        variant="v1" if values["downsample_in_bottleneck"] and block == "bottleneck" else "v1.5",
        labels=labels,
        preprocessing=_preprocessing(read_json(preprocessor)) if preprocessor.is_file() else None,
        block=block,
        stages=stages,
        width=width,
    )


def _timm(weights: Path, config: dict[str, Any]) -> ModelFolder:
    architecture = str(config["architecture"])
    if not re.fullmatch(r"(tv_)?resnet\d+(\.\w+)?", architecture):
        classes = config.get("num_classes")
        head = f", num_classes={int(classes)}" if classes is not None else ""
        raise CheckpointError(
            f"its config.json says architecture {clip(architecture)}; {BUILDS}.",
            code=(
                "import resnetx, timm, torch",
                f'network = timm.create_model("{clip(architecture)}"{head}, checkpoint_path="{FILE}/{weights.name}")',
                EXPORT,
            ),
        )
    arguments = dict(config.get("model_args") or {})
    changed = {key for key in arguments if key not in ("num_classes", "in_chans", "global_pool", "pretrained")}
    pooling = arguments.get("global_pool") or config.get("global_pool") or "avg"
    if changed or pooling not in ("avg", "fast"):
        what = f"model_args {clip(sorted(changed))}" if changed else f"global_pool {clip(pooling)}"
        raise CheckpointError(f"its config.json modifies {clip(architecture)} with {what}; {BUILDS}.")
    pretrained = dict(config.get("pretrained_cfg") or {})
    names = config.get("label_names") or pretrained.get("label_names")
    classes = config.get("num_classes")
    return ModelFolder(
        weights=weights,
        variant="v1.5",
        labels=tuple(map(str, names)) if isinstance(names, list) else None,
        preprocessing=_timm_preprocessing(pretrained) if "mean" in pretrained else None,
        classes=None if classes is None else int(classes),
    )


def _labels(id2label: Any) -> tuple[str, ...] | None:
    """The names in order; None for the placeholders of transformers (LABEL_0, LABEL_1...)."""
    if not id2label:
        return None
    labels = tuple(str(id2label[str(index)]) for index in range(len(id2label)))
    placeholders = all(label == f"LABEL_{index}" for index, label in enumerate(labels))
    return None if placeholders else labels


def _timm_preprocessing(pretrained: dict[str, Any]) -> Preprocessing:
    found = _normalization(pretrained["mean"], pretrained["std"])
    return _cropped(found, pretrained.get("crop_pct"), pretrained.get("interpolation"))


def _preprocessing(data: dict[str, Any]) -> Preprocessing:
    names: dict[object, str] = dict(enumerate(RESAMPLING))
    return _cropped(_transformers_normalization(data), data.get("crop_pct"), names.get(data.get("resample")))


def _cropped(found: Preprocessing, crop: Any, interpolation: Any) -> Preprocessing:
    """With how photographs are resized, where the configuration says that in terms of ours."""
    if isinstance(crop, int | float) and SMALLEST_CROP <= crop <= 1:
        found = replace(found, crop=float(crop))
    return replace(found, interpolation=interpolation) if interpolation in RESAMPLING else found


def _transformers_normalization(data: dict[str, Any]) -> Preprocessing:
    scale = float(data.get("rescale_factor", 1 / 255)) if data.get("do_rescale", True) else 1.0
    if not data.get("do_normalize", True):
        return _normalization((0, 0, 0), (1, 1, 1), scale)
    default = Preprocessing()
    return _normalization(data.get("image_mean") or default.mean, data.get("image_std") or default.std, scale)


def _normalization(mean: Any, std: Any, scale: float = 1 / 255) -> Preprocessing:
    means, stds = [float(value) for value in mean], [float(value) for value in std]
    if len(means) != 3 or len(stds) != 3 or not all(abs(value) < 1e6 for value in (*means, *stds, scale)):
        raise ValueError(f"mean {mean}, std {std} and scale {scale} are not values for three channels")
    if min(stds) <= 0 or scale <= 0:
        raise ValueError("std and scale must be positive")
    return Preprocessing(scale=scale, mean=(means[0], means[1], means[2]), std=(stds[0], stds[1], stds[2]))
