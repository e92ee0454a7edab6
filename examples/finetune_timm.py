"""From a fine-tuned timm ResNet to a served file: train, save the checkpoint, export it, classify pixels through it.

python examples/finetune_timm.py --out digits        # half a minute on two cores; needs timm and scikit-learn
"""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # official builds of ONNX Runtime send telemetry otherwise

import numpy as np
import onnxruntime
import timm
import torch
from sklearn.datasets import load_digits
from torch import nn

import resnetx

SIZE = 32
# What timm trains its ResNets with, and what resnetx takes for a checkpoint that says nothing else.
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
Classifier = Callable[[np.ndarray], list[str]]


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits as a camera gives images, (N, 32, 32, 3) in bytes, and which digits they are."""
    data = load_digits()
    grey = np.kron(data.images * 15, np.ones((1, SIZE // 8, SIZE // 8))).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3), data.target


def fine_tune(network: nn.Module, images: np.ndarray, targets: np.ndarray, steps: int) -> None:
    inputs = torch.from_numpy(((images / np.float32(255) - MEAN) / STD).transpose(0, 3, 1, 2).copy())
    labels = torch.from_numpy(targets)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    network.train()
    for _ in range(steps):
        chosen = torch.randint(len(inputs), (64,))
        loss = nn.functional.cross_entropy(network(inputs[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def open_classifier(path: Path) -> Classifier:
    """A function from pixels to labels. It needs ONNX Runtime and the file, which contains the preprocessing."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map["resnetx.card"])

    def classify(pixels: np.ndarray) -> list[str]:
        (probabilities,) = session.run(None, {"input": pixels})
        return [card["labels"][best] for best in probabilities.argmax(axis=1)]

    return classify


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--out", type=Path, default=Path("digits"), help="The folder to write to.")
    options.add_argument("--steps", type=int, default=60, help="Steps of training, with 64 images each.")
    options.add_argument("--pretrained", action="store_true", help="Start from timm's weights, which are downloaded.")
    chosen = options.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    checkpoint, labels, file = (chosen.out / name for name in ("digits.pt", "labels.txt", "digits.onnx"))

    images, targets = digits()
    training = len(images) * 4 // 5
    torch.manual_seed(0)
    network = timm.create_model("resnet18", pretrained=chosen.pretrained, num_classes=10)
    fine_tune(network, images[:training], targets[:training], chosen.steps)
    torch.save(network.state_dict(), checkpoint)

    # Depth, classes and naming are found in the checkpoint; the file takes raw pixels.
    labels.write_text("\n".join(f"digit {number}" for number in range(10)))
    result = resnetx.export(
        None, file, weights=checkpoint, labels=labels, image_size=SIZE, preprocess="uint8", output="probabilities"
    )
    if not result.passed:
        raise SystemExit("The exported file disagrees with the network, and was not written.")

    classify = open_classifier(file)
    found = classify(images[training:])
    right = np.mean([label == f"digit {target}" for label, target in zip(found, targets[training:], strict=True)])
    print(f"{file} is right on {right:.1%} of {len(found)} images that it was not trained on.")
    print(f"The first is {classify(images[training : training + 1])[0]!r}; it is a {targets[training]}.")


if __name__ == "__main__":
    main()
