"""Checkpoints of every naming into our networks, on tiny networks of our own."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from resnetx.errors import CheckpointError, FileError, UsageError
from resnetx.model.config import Block, ResNetConfig, Variant
from resnetx.model.initialization import initialize
from resnetx.model.labels import imagenet_labels, read_labels
from resnetx.model.layer_names import Naming, translate_layer
from resnetx.model.network import build_network
from resnetx.weights.checkpoint import load_checkpoint, load_network, weights_sha256

TINY = (1, 1, 1, 1)


def tiny(seed: int = 0, image_size: int | None = None, **options: Any) -> nn.Module:
    config = ResNetConfig(**{"stages": TINY, "width": 8, "classes": 5} | options)
    network = build_network(config, image_size=image_size)
    initialize(network, seed)
    return network


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}


def renamed(network: nn.Module, target: Naming) -> dict[str, Tensor]:
    """The state dict in another ecosystem's names."""
    config = network.config
    names = {}
    for name, tensor in state(network).items():
        path, _, parameter = name.rpartition(".")
        names[f"{translate_layer(path, 'torchvision', target, config.stages, config.classes)}.{parameter}"] = tensor
    return names


def saved(tensors: dict[str, Tensor], folder: Path) -> Path:
    save_file(tensors, folder / "weights.safetensors")
    return folder / "weights.safetensors"


def write_keras1(network: nn.Module, path: Path) -> None:
    """As Keras 1 named a layer's parameters: `W`, `b`, and a variance that it called a deviation."""
    words = {"running_mean": "running_mean", "running_var": "running_std"}
    with h5py.File(path, "w") as file:
        for name, tensor in state(network).items():
            layer, _, parameter = name.rpartition(".")
            values = tensor.numpy()
            if values.ndim == 4:
                values = values.transpose(2, 3, 1, 0)
            if layer.startswith("bn"):
                word = {"weight": "gamma", "bias": "beta"}.get(parameter) or words[parameter]
            else:
                word = {"weight": "W", "bias": "b"}[parameter]
            file[f"{layer}/{layer}_{word}_1:0"] = values.T if values.ndim == 2 else values


def write_keras(network: nn.Module, path: Path, biases: dict[str, np.ndarray]) -> None:
    """Our network in the layout of a Keras weight file; `biases` by convolution."""
    with h5py.File(path, "w") as file:
        for name, tensor in renamed(network, "keras").items():
            layer, _, parameter = name.rpartition(".")
            values = tensor.double().numpy()
            if values.ndim == 4:
                file[f"{layer}/{layer}/kernel:0"] = values.transpose(2, 3, 1, 0).astype("float32")
                file[f"{layer}/{layer}/bias:0"] = biases[layer]
            elif values.ndim == 2:
                file[f"{layer}/{layer}/kernel:0"] = values.T.astype("float32")
            else:
                norm = {
                    "weight": "gamma",
                    "bias": "beta",
                    "running_mean": "moving_mean",
                    "running_var": "moving_variance",
                }
                word = norm[parameter] if layer.endswith("bn") else parameter
                if word == "moving_mean":
                    values = values + biases[layer.replace("_bn", "_conv")].astype("float64")
                file[f"{layer}/{layer}/{word}:0"] = values


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    block=st.sampled_from(["basic", "bottleneck"]),
    stages=st.lists(st.integers(1, 3), min_size=2, max_size=4).map(tuple),
    width=st.sampled_from([1, 2, 8, 12]),
    classes=st.integers(1, 9),
    naming=st.sampled_from(["torchvision", "huggingface", "keras"]),
    prefix=st.sampled_from(["", "module.", "model.", "_orig_mod.", "module._orig_mod.", "model.module._orig_mod."]),
)
def test_any_structure_is_recognised_from_any_naming(
    tmp_path: Path, block: Block, stages: tuple[int, ...], width: int, classes: int, naming: Naming, prefix: str
) -> None:
    network = tiny(block=block, stages=stages, width=width, classes=classes, variant="v1.5")
    tensors = {prefix + name: tensor for name, tensor in renamed(network, naming).items()}
    checkpoint = load_checkpoint(saved(tensors, tmp_path))
    found = checkpoint.config
    assert (found.block, found.stages, found.width, found.classes) == (block, stages, width, classes)
    assert checkpoint.naming == naming
    assert checkpoint.tensors.keys() == state(network).keys()
    assert all(torch.equal(checkpoint.tensors[name], tensor) for name, tensor in state(network).items())
    assert weights_sha256(load_network(checkpoint)) == weights_sha256(network)


@pytest.mark.parametrize(("block", "variant", "said"), [
    ("bottleneck", None, "v1.5"), ("bottleneck", "v1", "v1"), ("bottleneck", "v1.5", "v1.5"), ("basic", None, "v1.5"),
])  # fmt: skip
def test_the_variant_is_assumed_or_said(tmp_path: Path, block: Block, variant: Variant | None, said: str) -> None:
    checkpoint = load_checkpoint(saved(state(tiny(block=block)), tmp_path), variant=variant)
    assert checkpoint.config.variant == said
    # Nothing is assumed where the user said it, and nothing where it makes no difference.
    expected = ("v1.5 (stride on the 3x3), from the torchvision naming; --variant overrides",)
    assert checkpoint.assumed == (expected if block == "bottleneck" and variant is None else ())


def test_the_strides_place_changes_a_bottleneck_and_not_a_basic_block(tmp_path: Path) -> None:
    batch = torch.rand((2, 3, 64, 64), dtype=torch.float64)
    for block, same in (("basic", True), ("bottleneck", False)):
        path = saved(state(tiny(block=block)), tmp_path)
        one, other = (load_network(load_checkpoint(path, variant=v)).double()(batch) for v in ("v1", "v1.5"))
        assert torch.equal(one, other) == same


def test_the_counters_of_batches_may_be_there_or_not(tmp_path: Path) -> None:
    network = tiny()
    torch.save(network.state_dict(), tmp_path / "with.pt")
    torch.save(state(network), tmp_path / "without.pt")
    networks = [load_network(load_checkpoint(tmp_path / name)) for name in ("with.pt", "without.pt")]
    assert not any(network.training for network in networks)
    assert {weights_sha256(loaded) for loaded in networks} == {weights_sha256(network)}


@pytest.mark.parametrize(
    ("wrap", "noted"),
    [
        (lambda s: s, None),
        (lambda s: {"state_dict": s, "epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}}, None),
        (lambda s: {"model": {f"module.{k}": v for k, v in s.items()}, "lr_scheduler": {"last_epoch": 1}}, None),
        (lambda s: {"checkpoint": 1, "model_state_dict": {"state_dict": s}}, None),
        (lambda s: {"ema": {"n_averaged": torch.tensor(3)} | {f"module.{k}": v for k, v in s.items()}}, "averaged"),
        (lambda s: {"state_dict": s, "state_dict_ema": {k: v + 1 for k, v in s.items()}}, "not the moving average"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("legacy", [False, True])
def test_wrappers_of_training_scripts(tmp_path: Path, wrap: Any, noted: str | None, legacy: bool) -> None:
    network = tiny()
    torch.save(wrap(state(network)), tmp_path / "c.pth", _use_new_zipfile_serialization=not legacy)
    checkpoint = load_checkpoint(tmp_path / "c.pth", variant="v1.5")
    assert weights_sha256(load_network(checkpoint)) == weights_sha256(network)
    assert [noted in sentence for sentence in checkpoint.assumed] == ([True] if noted else [])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_become_float32_and_that_is_said(tmp_path: Path, dtype: torch.dtype) -> None:
    network = tiny()
    tensors = {name: tensor.to(dtype) for name, tensor in state(network).items()}
    checkpoint = load_checkpoint(saved(tensors, tmp_path), variant="v1")
    assert checkpoint.assumed == (f"weights of type {str(dtype)[6:]}, converted to float32",)
    assert all(torch.equal(checkpoint.tensors[name], tensor.float()) for name, tensor in tensors.items())


def test_the_content_decides_and_not_the_extension(tmp_path: Path) -> None:
    path = saved(state(tiny()), tmp_path)
    path.rename(tmp_path / "weights.h5")
    torch.save(state(tiny()), tmp_path / "weights.safetensors")
    one, other = load_checkpoint(tmp_path / "weights.h5"), load_checkpoint(tmp_path / "weights.safetensors")
    assert weights_sha256(load_network(one)) == weights_sha256(load_network(other))


def test_keras_biases_are_folded_with_one_rounding(tmp_path: Path) -> None:
    network, rng = tiny(variant="v1"), np.random.default_rng(0)
    keras = renamed(network, "keras")
    biases = {
        name.removesuffix(".weight"): rng.uniform(-3, 3, tensor.shape[0]).astype("float32")
        for name, tensor in keras.items()
        if tensor.ndim == 4
    }
    write_keras(network, tmp_path / "k.h5", biases)
    checkpoint = load_checkpoint(tmp_path / "k.h5")
    assert (checkpoint.config.variant, checkpoint.config.bn_eps) == ("v1", 1.001e-5)
    # The file holds mean + bias in float64, so that the subtraction gives back the very bits.
    assert weights_sha256(load_network(checkpoint)) == weights_sha256(network)
    assert load_checkpoint(tmp_path / "k.h5", variant="v1.5").config.variant == "v1.5"


def test_a_keras_head_of_another_name_is_the_classifier(tmp_path: Path) -> None:
    network = tiny(variant="v1")
    zeros = {
        n.removesuffix(".weight"): np.zeros(t.shape[0]) for n, t in renamed(network, "keras").items() if t.ndim == 4
    }
    write_keras(network, tmp_path / "k.h5", zeros)
    with h5py.File(tmp_path / "k.h5", "r+") as file:
        file.move("predictions", "my_dense")
    assert load_checkpoint(tmp_path / "k.h5").config.classes == 5


@pytest.mark.parametrize(("multiple", "stages"), [(4, (1, 1, 2)), (8, (1, 1, 1, 2)), (4, (1, 1, 1, 3)), (4, TINY)])
@pytest.mark.parametrize("form", ["safetensors", "keras1"])
def test_textbook(tmp_path: Path, multiple: int, stages: tuple[int, ...], form: str) -> None:
    options: dict[str, Any] = {
        "variant": "textbook",
        "stages": stages,
        "last_identity_multiple": multiple,
        "bn_eps": 1e-3,
    }
    network = tiny(**options)
    path = tmp_path / "t.h5"
    if form == "keras1":
        write_keras1(network, path)
    else:
        path = saved(state(network), tmp_path)
    checkpoint = load_checkpoint(path)
    assert (checkpoint.naming, checkpoint.config) == ("original", network.config)
    assert "textbook" in checkpoint.assumed[0] and "0.001" in checkpoint.assumed[1]
    assert weights_sha256(load_network(checkpoint)) == weights_sha256(network)


def test_textbook_pooling_follows_the_image_size(tmp_path: Path) -> None:
    options: dict[str, Any] = {"variant": "textbook", "bn_eps": 1e-3}
    pooled = saved(state(tiny(image_size=128, **options)), tmp_path)
    assert load_checkpoint(pooled, image_size=128).config.avg_pool == 2
    with pytest.raises(CheckpointError, match=r"takes 2x2 pixels of 256 channels.*--image-size"):
        load_checkpoint(pooled)
    whole = saved(state(tiny(avg_pool=0, image_size=224, **options)), tmp_path)
    checkpoint = load_checkpoint(whole, image_size=224)
    assert checkpoint.config.avg_pool == 0 and "global" in checkpoint.assumed[-1]
    assert load_network(checkpoint, image_size=224)(torch.zeros(1, 3, 224, 224)).shape == (1, 5)
    assert load_checkpoint(whole).config.avg_pool == 2
    with pytest.raises(UsageError, match="--image-size"):
        load_network(load_checkpoint(whole), image_size=224)


def test_textbook_and_residual_weights_are_not_interchangeable(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="torchvision names, but the textbook variant is a different network"):
        load_checkpoint(saved(state(tiny()), tmp_path), variant="textbook")
    with pytest.raises(CheckpointError, match="leave --variant v1 out"):
        load_checkpoint(saved(state(tiny(variant="textbook")), tmp_path), variant="v1")


@pytest.mark.parametrize("variant", ["v1.5", "textbook"])
def test_a_new_head_keeps_the_body(tmp_path: Path, variant: Variant) -> None:
    network = tiny(seed=3, variant=variant)
    checkpoint = load_checkpoint(saved(state(network), tmp_path))
    one, again, other = (load_network(checkpoint, new_head_classes=7, seed=seed) for seed in (1, 1, 2))
    assert one.config.classes == 7 and one(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
    assert weights_sha256(one) == weights_sha256(again) != weights_sha256(other)
    body = {name: tensor for name, tensor in state(network).items() if not name.startswith("fc")}
    assert all(torch.equal(tensor, one.state_dict()[name]) for name, tensor in body.items())
    # The checkpoint stays as it was: its tensors are not the network's.
    with torch.no_grad():
        one.conv1.weight.zero_()
    assert checkpoint.tensors["conv1.weight"].abs().sum() > 0


def test_the_digest_sees_every_bit() -> None:
    network = tiny()
    before = weights_sha256(network)
    network.get_buffer("bn1.num_batches_tracked").add_(1)
    assert weights_sha256(network) == before
    with torch.no_grad():
        network.fc.bias[4] = torch.nextafter(network.fc.bias[4], torch.tensor(9.0))
    assert weights_sha256(network) != before
    assert len(before) == 64


def spoil(name: str, value: Tensor | None) -> Any:
    def change(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        changed = tensors | ({} if value is None else {name: value})
        return {key: tensor for key, tensor in changed.items() if value is not None or key != name}

    return change


NAN = torch.zeros(256, 64, 1, 1).index_fill_(0, torch.tensor(3), torch.nan)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (spoil("layer2.0.bn1.bias", None), r"1 tensor is missing \(layer2\.0\.bn1\.bias\)"),
        (spoil("layer2.0.downsample.0.weight", None), r"missing \(layer2\.0\.downsample\.0\.weight\)"),
        (spoil("layer2.0.bn7.bias", torch.ones(1)), r"1 tensor is unexpected \(layer2\.0\.bn7\.bias\)"),
        (spoil("layer2.0.conv1.bias", torch.ones(16)), r"is unexpected \(layer2\.0\.conv1\.bias\)"),
        (spoil("head.weight", torch.ones(1)), r"is unexpected \(head\.weight\)"),
        (spoil("layer4.0.conv1.weight", torch.ones(64, 99, 1, 1)),
         r"layer4\.0\.conv1\.weight has shape \(64, 99, 1, 1\), expected \(64, 128, 1, 1\)"),
        (spoil("bn1.running_var", -torch.ones(8)), r"1 tensor is negative \(bn1\.running_var\)"),
        (spoil("layer4.0.conv3.weight", NAN), r"1 tensor is not finite \(layer4\.0\.conv3\.weight\)"),
        (spoil("fc.bias", torch.full((5,), 1e300, dtype=torch.float64)), r"not finite \(fc\.bias\).*in float32"),
        (spoil("fc.bias", torch.ones(5, dtype=torch.int8)), r"fc\.bias is of type torch\.int8"),
        (spoil("fc.weight", None), r"no classifier.*fc\.weight is missing"),
        (spoil("conv1.weight", None), r"no stem: conv1\.weight is missing"),
        (spoil("conv1.weight", torch.ones(8, 3, 3, 3)), r"ResNet for small images \(CIFAR\): conv1\.weight"),
        (spoil("conv1.weight", torch.ones(8, 1, 7, 7)), r"1 input channels"),
        (spoil("layer9.0.conv1.weight", torch.ones(8)), r"9 stages"),
        (spoil("layer7.0.conv1.weight", torch.ones(8)), r"whole stage is missing: there is no layer5\.0\.conv1"),
        (spoil("layer1.999999999999.conv1.weight", torch.ones(8)), r"the limits are 8 and 200"),
        (lambda t: {k: v for k, v in t.items() if "running" not in k}, "no BatchNorm statistics"),
        (lambda t: {k: v for k, v in t.items() if "downsample" not in k}, "20 tensors are missing"),
        (lambda t: {f"x.{k}": v for k, v in t.items()}, "none of its tensors has a name"),
        (lambda t: {"weight": torch.ones(3)}, "it contains weight"),
        (lambda t: t | {f"layer{n}.0.bn1.weight": torch.ones(8 * 2**n) for n in (2, 3, 4)},
         r"ResNet V2 \(pre-activation\)"),
        (spoil("layer2.0.bn1.weight", torch.ones(32)), r"bn1\.weight has shape \(32,\), expected \(16,\)"),
        (spoil("layer2.0.conv3.weight", torch.ones(60, 16, 1, 1)), r"\(60, 16, 1, 1\), expected \(64, 16, 1, 1\)"),
        (spoil("layer2.0.conv2.weight", torch.ones(16, 1, 3, 3)), r"\(16, 1, 3, 3\), expected \(16, 16, 3, 3\)"),
        (lambda t: {k.replace("conv1", "layer0.0.conv1", 1) if k == "conv1.weight" else k: v for k, v in t.items()},
         r"no stem: conv1\.weight is missing"),
    ],
)  # fmt: skip
def test_a_broken_checkpoint_is_refused_whole(tmp_path: Path, change: Any, words: str) -> None:
    torch.save(change(state(tiny())), tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=words) as caught:
        load_checkpoint(tmp_path / "w.pt")
    assert str(caught.value).startswith(f"Cannot load the weights in {tmp_path / 'w.pt'}: ")
    assert "\n" not in caught.value.message and len(caught.value.message) < 900


def test_missing_tensors_are_told_in_the_files_own_names(tmp_path: Path) -> None:
    tensors = renamed(tiny(), "huggingface")
    missing = "resnet.encoder.stages.2.layers.0.layer.1.normalization.bias"
    del tensors[missing]
    with pytest.raises(CheckpointError, match=missing.replace(".", r"\.")):
        load_checkpoint(saved(tensors, tmp_path))


def test_a_keras_file_lacking_some_biases(tmp_path: Path) -> None:
    network = tiny(variant="v1")
    zeros = {
        n.removesuffix(".weight"): np.zeros(t.shape[0]) for n, t in renamed(network, "keras").items() if t.ndim == 4
    }
    write_keras(network, tmp_path / "k.h5", zeros)
    with h5py.File(tmp_path / "k.h5", "r+") as file:
        del file["conv3_block1_2_conv/conv3_block1_2_conv/bias:0"]
    with pytest.raises(CheckpointError, match="conv3_block1_2_conv"):
        load_checkpoint(tmp_path / "k.h5")


def hf_config(**changes: Any) -> dict[str, Any]:
    shape = {"depths": list(TINY), "embedding_size": 8, "hidden_sizes": [32, 64, 128, 256]}
    return {"model_type": "resnet", "architectures": ["ResNetForImageClassification"], **shape} | changes


def hf_folder(folder: Path, config: object) -> Path:
    save_file(renamed(tiny(), "huggingface"), folder / "model.safetensors")
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return folder


def test_a_folder_with_pytorch_weights(tmp_path: Path) -> None:
    torch.save(renamed(tiny(), "huggingface"), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(hf_config(downsample_in_bottleneck=True)))
    assert load_checkpoint(tmp_path).config.variant == "v1"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (hf_config(model_type="regnet", architectures=["RegNetModel"]), r"model_type regnet \(RegNetModel\)"),
        ({}, "model_type None"),
        (hf_config(depths=[1, 1, 2, 1]), r"says stages \(1, 1, 2, 1\), but the weights in model.safetensors have"),
        (hf_config(embedding_size=16), "of width 16, resnetx supports"),
        (hf_config(layer_type="weird"), "weird blocks"),
        (hf_config(id2label={"0": "a", "1": "b"}), "has 2 labels, but the classifier has 5"),
        (hf_config(id2label={"zero": "a"}), "not a valid configuration of transformers or timm"),
        (hf_config(depths=7), "not a valid configuration of transformers or timm"),
        (hf_config(hidden_sizes=None), "not a valid configuration of transformers or timm"),
        ("{", "is not JSON"),
        ("[1]", "contains a list"),
        ("[" * 100_000, "is not JSON"),
        ({"architecture": "seresnet50"}, "architecture seresnet50"),
        ({"architecture": "resnet50d"}, "architecture resnet50d"),
        ({"architecture": "resnet50", "model_args": {"act_layer": "silu"}}, "act_layer"),
        ({"architecture": "resnet50", "num_classes": 7}, "classes 7"),
        (
            {"architecture": "resnet50", "pretrained_cfg": {"mean": 1, "std": 2}},
            "not a valid configuration of transformers or timm",
        ),
    ],
)
def test_folders_that_are_refused(tmp_path: Path, config: Any, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(hf_folder(tmp_path, config))


def test_folders_lacking_a_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"neither model\.safetensors nor pytorch_model\.bin"):
        load_checkpoint(tmp_path)
    (tmp_path / "model.safetensors.index.json").touch()
    with pytest.raises(CheckpointError, match="split over several files"):
        load_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        load_checkpoint(tmp_path)
    with pytest.raises(FileError, match="no file"):
        load_checkpoint(tmp_path / "absent.pt")


def test_imagenet_labels() -> None:
    labels = imagenet_labels()
    assert len(labels) == 1000 == len({label.lower() for label in labels})
    assert (labels[0], labels[1], labels[999]) == ("tench", "goldfish", "toilet tissue")


@pytest.mark.parametrize(
    "text", ["cat\ndog\n", '["cat", "dog"]', '{"1": "dog", "0": "cat"}', "\ufeffcat\r\n dog \r\n\n"]
)
def test_label_files(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels").write_text(text, encoding="utf-8", newline="")
    assert read_labels(tmp_path / "labels", 2) == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cat\n", "has 1 name, but the classifier has 2 classes"),
        ("cat\n\ndog\n", "has 3 names"),
        ("\ncat\n", "empty name for class 0"),
        ('{"0": "cat", "2": "dog"}', "none for class 1"),
        ("[1, 2]", "contains values that are not names"),
        ("[", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
    ],
)
def test_bad_label_files(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "labels").write_text(text)
    with pytest.raises((UsageError, FileError), match=words):
        read_labels(tmp_path / "labels", 2)


def test_labels_that_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="not UTF-8"):
        read_labels(tmp_path / "labels", 2)
    with pytest.raises(FileError, match="no label file"):
        read_labels(tmp_path / "absent", 2)
    with pytest.raises(FileError, match="no label file"):
        read_labels(tmp_path, 2)
