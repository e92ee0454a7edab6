"""Our networks against the ones their weights come from, saved by each library's own function."""

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

from resnetx.errors import CheckpointError
from resnetx.model.preprocessing import CAFFE, Preprocessing
from resnetx.weights.checkpoint import Checkpoint, load_checkpoint, load_network, weights_sha256
from tests.support import peers

pytestmark = [
    # torchvision, timm, transformers and keras deprecate each other's and torch's interfaces on import and on saving.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

BATCH = peers.images()
EXACT = 1e-9
KERAS_EXACT = 1e-4  # Keras computes in float32
STAGES = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def agreement(checkpoint: Checkpoint, wanted: torch.Tensor) -> float:
    return peers.relative_error(peers.logits(load_network(checkpoint), BATCH), wanted)


@pytest.mark.parametrize("depth", [18, 50, 101])
def test_torchvision(depth: int, tmp_path: Path) -> None:
    peer = peers.torchvision_resnet(depth)
    torch.save(peer.state_dict(), tmp_path / "weights.pth")
    checkpoint = load_checkpoint(tmp_path / "weights.pth")
    assert (checkpoint.naming, checkpoint.config.stages, checkpoint.config.classes) == (
        "torchvision",
        STAGES[depth],
        11,
    )
    assert checkpoint.config.depth == depth
    assert any("v1.5" in sentence for sentence in checkpoint.assumed) == (depth != 18)
    assert agreement(checkpoint, peers.logits(peer, BATCH)) < EXACT


@pytest.mark.parametrize("depth", [18, 50, 101])
def test_timm(depth: int, tmp_path: Path) -> None:
    from safetensors.torch import save_model

    peer = peers.timm_model(f"resnet{depth}")
    save_model(peer, str(tmp_path / "model.safetensors"))
    wanted = peers.logits(peer, BATCH)
    checkpoint = load_checkpoint(tmp_path / "model.safetensors")
    assert checkpoint.config.depth == depth and checkpoint.config.variant == "v1.5"
    assert agreement(checkpoint, wanted) < EXACT


def test_a_timm_folder_brings_preprocessing_and_labels(tmp_path: Path) -> None:
    from timm.models import save_for_hf

    peer = peers.timm_model("resnet18", classes=3)
    save_for_hf(peer, str(tmp_path), model_config={"label_names": ["cat", "dog", "eel"]}, safe_serialization=True)
    assert json.loads((tmp_path / "config.json").read_text())["architecture"] == "resnet18"
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.labels == ("cat", "dog", "eel")
    default = peer.pretrained_cfg
    wanted = Preprocessing(crop=default["crop_pct"], interpolation=default["interpolation"])
    assert checkpoint.preprocessing == wanted
    assert agreement(checkpoint, peers.logits(peer, BATCH)) < EXACT


def test_huggingface_basic(tmp_path: Path) -> None:
    peer = peers.huggingface_resnet(18)
    peer.save_pretrained(tmp_path)
    checkpoint = load_checkpoint(tmp_path)
    assert (checkpoint.naming, checkpoint.config.depth, checkpoint.assumed) == ("huggingface", 18, ())
    assert checkpoint.labels is None  # LABEL_0, LABEL_1... are placeholders
    assert agreement(checkpoint, peers.logits(peer, BATCH)) < EXACT


@pytest.mark.parametrize(("in_bottleneck", "variant", "other"), [(False, "v1.5", "v1"), (True, "v1", "v1.5")])
def test_huggingface_bottleneck(in_bottleneck: bool, variant: str, other: Any, tmp_path: Path) -> None:
    labels = {index: f"kind {index}" for index in range(11)}
    peer = peers.huggingface_resnet(50, downsample_in_bottleneck=in_bottleneck, id2label=labels)
    peer.save_pretrained(tmp_path)
    wanted = peers.logits(peer, BATCH)
    checkpoint = load_checkpoint(tmp_path)
    assert (checkpoint.config.variant, checkpoint.assumed) == (variant, ())
    assert checkpoint.labels == tuple(labels.values())
    assert agreement(checkpoint, wanted) < EXACT
    # The wrong place of the stride loads without complaint and computes something else.
    assert agreement(load_checkpoint(tmp_path, variant=other), wanted) > 1e-3
    bare = load_checkpoint(tmp_path / "model.safetensors")
    assert bare.config.variant == "v1.5" and "huggingface naming" in bare.assumed[0]
    assert weights_sha256(load_network(bare)) == weights_sha256(load_network(checkpoint))


def test_huggingface_image_processor(tmp_path: Path) -> None:
    peers.huggingface_resnet(18).save_pretrained(tmp_path)
    processor = {"do_normalize": True, "do_rescale": True, "rescale_factor": 1 / 255}
    means = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    resized = {"crop_pct": 0.9, "resample": 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor | means | resized))
    kept = {"crop": 0.9, "interpolation": "bicubic"}
    wanted = Preprocessing(scale=1 / 255, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), **kept)
    assert load_checkpoint(tmp_path).preprocessing == wanted


@pytest.mark.parametrize(
    "changes",
    [{"hidden_act": "gelu"}, {"downsample_in_first_stage": True}, {"hidden_sizes": [64, 128, 256, 500]}],
    ids=lambda changes: next(iter(changes)),
)
def test_huggingface_networks_that_are_not_ours(changes: dict[str, Any], tmp_path: Path) -> None:
    peers.huggingface_resnet(18, **changes).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"config\.json (says|describes)"):
        load_checkpoint(tmp_path)


def test_huggingface_vision_transformer(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    ViTForImageClassification(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"model_type vit \(ViTForImageClassification\)"):
        load_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="vision transformer"):
        load_checkpoint(tmp_path / "model.safetensors")


@pytest.fixture(scope="module")
def keras_peer() -> Any:
    return peers.keras_resnet(50)


@pytest.fixture(scope="module")
def keras_files(keras_peer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras")
    keras_peer.save(folder / "model.keras")
    keras_peer.save(folder / "model.h5")
    keras_peer.save_weights(folder / "model.weights.h5")
    peers.save_keras_legacy_weights(keras_peer, folder / "legacy.h5")
    return folder


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.weights.h5", "legacy.h5"])
def test_keras(name: str, keras_peer: Any, keras_files: Path) -> None:
    checkpoint = load_checkpoint(keras_files / name)
    assert (checkpoint.naming, checkpoint.config.variant, checkpoint.config.depth) == ("keras", "v1", 50)
    assert checkpoint.config.bn_eps == pytest.approx(1.001e-5)
    assert checkpoint.preprocessing == CAFFE
    # The whole models bring their configuration, the weights alone don't.
    assert bool(checkpoint.assumed) == (name not in ("model.keras", "model.h5"))
    assert agreement(checkpoint, peers.keras_logits(keras_peer, BATCH)) < KERAS_EXACT


def test_keras_weights_without_layer_names_are_mapped_by_order(keras_files: Path, tmp_path: Path) -> None:
    nameless = tmp_path / "nameless.weights.h5"
    nameless.write_bytes((keras_files / "model.weights.h5").read_bytes())
    with h5py.File(nameless, "r+") as file:
        for layer in file["layers"].values():
            del layer["vars"].attrs["name"]
    found, wanted = load_checkpoint(nameless), load_checkpoint(keras_files / "model.weights.h5")
    assert weights_sha256(load_network(found)) == weights_sha256(load_network(wanted))


def test_keras_archive_names_its_layers_by_its_configuration(keras_files: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(keras_files / "model.keras") as archive:
        archive.extract("model.weights.h5", tmp_path)
        config = archive.read("config.json")
    with h5py.File(tmp_path / "model.weights.h5", "r+") as file:
        for layer in file["layers"].values():
            layer["vars"].attrs["name"] = "conv1_conv"
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.write(tmp_path / "model.weights.h5", "model.weights.h5")
        archive.writestr("config.json", config)
    found, wanted = load_checkpoint(tmp_path / "model.keras"), load_checkpoint(keras_files / "model.keras")
    assert weights_sha256(load_network(found)) == weights_sha256(load_network(wanted))


@pytest.mark.slow
def test_keras_101(tmp_path: Path) -> None:
    peer = peers.keras_resnet(101)
    peer.save_weights(tmp_path / "model.weights.h5")
    checkpoint = load_checkpoint(tmp_path / "model.weights.h5")
    assert checkpoint.config.depth == 101
    assert agreement(checkpoint, peers.keras_logits(peer, BATCH)) < KERAS_EXACT


def test_keras_pre_activation(tmp_path: Path) -> None:
    import keras

    peer = keras.applications.ResNet50V2(weights=None, classes=3, input_shape=(32, 32, 3))
    peer.save_weights(tmp_path / "v2.weights.h5")
    peer.save(tmp_path / "v2.keras")
    for name in ("v2.weights.h5", "v2.keras"):
        with pytest.raises(
            CheckpointError, match=r"ResNet V2 \(pre-activation\), such as Keras's ResNet50V2"
        ) as caught:
            load_checkpoint(tmp_path / name)
        assert caught.value.code == (), "PyTorch has no module for it"


FOREIGN = {
    "resnext50_32x4d": r"ResNeXt: layer1\.0\.conv2\.weight has shape \(128, 4, 3, 3\), a grouped convolution",
    "wide_resnet50_2": "Wide ResNet: layer1.0.conv3.weight has shape",
    "resnet18d": "deep stem",
    "resnet50c": "deep stem",
    "seresnet18": "squeeze-and-excitation",
    "ecaresnet26t": "squeeze-and-excitation",
    "seresnext26d_32x4d": "squeeze-and-excitation",
    "resnetv2_50": r"ResNet V2 \(pre-activation\)",
    "res2net50_26w_4s": "Res2Net",
    "resnest14d": "ResNeSt",
    "resnet50_gn": "no BatchNorm statistics",
    "vit_tiny_patch16_224": "vision transformer",
    "convnext_atto": "ConvNeXt",
    "densenet121": "DenseNet",
    "mobilenetv3_small_050": "MobileNet or EfficientNet",
    "vgg11_bn": "VGG",
    "regnetx_002": "RegNet",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_architectures_are_named(name: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        peer = peers.timm_model(name, classes=3)
    torch.save(
        {name: torch.zeros(t.shape, dtype=torch.float16) for name, t in peer.state_dict().items()}, tmp_path / "w.pt"
    )
    with pytest.raises(CheckpointError, match=FOREIGN[name]) as caught:
        load_checkpoint(tmp_path / "w.pt")
    assert "\n" not in caught.value.message
    # A ResNet of another norm may be anything.
    if name != "resnet50_gn":
        libraries, build, export = caught.value.code
        compile("\n".join(caught.value.code), "code", "exec")
        assert libraries == "import resnetx, timm, torch" and export.startswith("resnetx.export(network, ")
        assert f'checkpoint_path="{tmp_path / "w.pt"}"' in build and "exported from Python" in caught.value.message


@pytest.mark.parametrize("kind", ["timm", "transformers"])
def test_the_code_for_another_architecture_exports_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "timm":
        peer = peers.timm_model("resnet18d", classes=3)
        torch.save(peer.state_dict(), tmp_path / "pytorch_model.bin")
        (tmp_path / "config.json").write_text('{"architecture": "resnet18d", "num_classes": 3}')
    else:
        import transformers

        config = transformers.ConvNextConfig(hidden_sizes=[4, 8, 8, 8], depths=[1, 1, 1, 1], num_labels=3)
        transformers.ConvNextForImageClassification(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert len(caught.value.code) == 3
    exec("\n".join(caught.value.code).replace("224, 224", "64, 64"), {})
    assert (tmp_path / "model.onnx").is_file()
