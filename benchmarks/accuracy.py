"""What each precision costs in accuracy: a small ResNet, trained here on scikit-learn's handwritten digits.

    python benchmarks/accuracy.py --out out/accuracy [--seconds 40]

The digits become PNG files of 32 x 32 pixels, a folder for each class. The network is trained for at most `--seconds`,
exported, converted to fp16 and quantized for `cpu` and `openvino` on training images; every file then classifies the
test images, and each drop has a 95 % interval of the pairs. Exit status 1 if fp32 is below 97 %, or an interval of
another precision lies wholly above a drop of 1 %.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits

import resnetx
from resnetx.base.precisions import SessionPrecision
from resnetx.conversion.quantization.agreement import Accuracy, Scores, measured_accuracy, scores
from resnetx.errors import ResnetxError
from resnetx.graph.card import ModelCard, read_card
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.inputs.image_folder import read_image
from resnetx.inputs.labelled import LabelledImages
from resnetx.inputs.synthetic import card_inputs, network_input
from resnetx.model.config import ResNetConfig, resnet_config
from resnetx.model.initialization import initialize
from resnetx.model.network import build_network
from resnetx.model.preprocessing import IMAGENET
from resnetx.runtime.catalog import open_runner

SIZE = 32
TEST = 600
WEIGHTS = "digits.safetensors"
RATE = 3e-3
LEAST_TOP1, MOST_DROP = 0.97, 0.01
CONFIG: ResNetConfig = resnet_config(stages=(1, 1, 1), width=16, block="basic", classes=10)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A precision on a provider; `accuracy` is None with the `reason` where it cannot run."""

    precision: str
    provider: str
    accuracy: Accuracy | None
    reason: str = ""

    def line(self) -> str:
        name = f"{self.precision:6}{self.provider:10}"
        if self.accuracy is None:
            return f"{name}{self.reason}"
        found = self.accuracy
        drop = f"drop {found.drop:7.2%} [{found.low:.2%}, {found.high:.2%}]"
        return f"{name}top-1 {found.after_top1:7.2%}  top-5 {found.after_top5:7.2%}  {drop}"


def write_images(folder: Path) -> None:
    """Training and test digits as PNG files; the order is drawn once, from a seed."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    for number, place in enumerate(order):
        pixels = Image.fromarray((digits.images[place] * (255 / 16)).astype(np.uint8)).resize((SIZE, SIZE))
        where = folder / ("test" if number < TEST else "train") / str(digits.target[place])
        where.mkdir(parents=True, exist_ok=True)
        pixels.convert("RGB").save(where / f"{place}.png")


def trained(folder: Path, seconds: float) -> torch.nn.Module:
    """A network that was trained on the images of a folder until the time is over."""
    torch.manual_seed(0)
    network = build_network(CONFIG)
    initialize(network, 0)
    paths = sorted(folder.rglob("*.png"))
    # As the card says: resized and cropped like the images that are classified later.
    pixels = np.stack([read_image(path, SIZE, IMAGENET) for path in paths])
    images = torch.from_numpy(network_input(pixels, IMAGENET))
    labels = torch.tensor([int(path.parent.name) for path in paths])
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
    network.train()
    begin, epochs, left = time.monotonic(), 0, 1.0
    while left > 0:
        # Large steps first, small ones when the time is nearly over.
        optimizer.param_groups[0]["lr"] = RATE * left
        for batch in torch.randperm(len(images)).split(64):
            moved = torch.roll(images[batch], tuple(torch.randint(-2, 3, (2,)).tolist()), (2, 3))
            loss = torch.nn.functional.cross_entropy(network(moved), labels[batch], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        epochs += 1
        left = 1 - (time.monotonic() - begin) / seconds
    print(f"trained for {epochs} epochs, last loss {loss.item():.4f}", flush=True)
    return network.eval()


def classified(path: Path, images: LabelledImages, provider: str, precision: SessionPrecision = "fp32") -> Scores:
    card = _card(path)
    with closing(open_runner(path, provider=provider, precision=precision)) as runner:
        return scores(runner, (card_inputs(card, pixels[None]) for pixels in images))


def _card(path: Path) -> ModelCard:
    card = read_card(read_onnx(path))
    assert card is not None
    return card


def measured(folder: Path, providers: Sequence[str]) -> list[Row]:
    """Export, convert and quantize the trained weights, and classify the test images with each file."""
    exported = folder / "fp32.onnx"
    assert resnetx.export(None, exported, weights=folder / WEIGHTS, image_size=SIZE).passed
    assert resnetx.convert(exported, folder / "fp16.onnx").written
    images = LabelledImages(folder / "test", _card(exported))
    before = classified(exported, images, "cpu")

    def row(precision: str, provider: str, path: Path, session: SessionPrecision) -> Row:
        try:
            after = classified(path, images, provider, session)
        except ResnetxError as error:
            return Row(precision=precision, provider=provider, accuracy=None, reason=str(error))
        accuracy = measured_accuracy(before, after, images.labels, skipped=images.skipped)
        return Row(precision=precision, provider=provider, accuracy=accuracy)

    rows = []
    for provider in providers:
        quantized = folder / f"int8-{provider}.onnx"
        resnetx.quantize(exported, quantized, calibrate=folder / "train", target=provider)
        files = (("fp32", exported, "fp32"), ("fp16", folder / "fp16.onnx", "default"), ("int8", quantized, "default"))
        rows += [row(precision, provider, path, session) for precision, path, session in files]  # type: ignore[arg-type]
    return [*rows, row("bf16", "openvino", exported, "bf16")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder for images, files and results")
    parser.add_argument("--seconds", type=float, default=40, help="of training")
    parser.add_argument("--provider", default="cpu,openvino")
    arguments = parser.parse_args()
    write_images(arguments.out)
    network = trained(arguments.out / "train", arguments.seconds)
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, arguments.out / WEIGHTS)
    rows = measured(arguments.out, arguments.provider.split(","))
    print("\n".join(row.line() for row in rows))
    (arguments.out / "accuracy.json").write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    sys.exit(0 if acceptable(rows) else 1)


def acceptable(rows: Sequence[Row]) -> bool:
    """Whether fp32 is right often enough, and no other precision is certain to lose too much."""
    found = [row.accuracy for row in rows if row.accuracy is not None]
    return bool(found) and found[0].before_top1 >= LEAST_TOP1 and all(each.low <= MOST_DROP for each in found)


if __name__ == "__main__":
    main()
