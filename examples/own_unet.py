"""A network of your own, here a small U-Net: exported, verified on two runtimes, in float16, and run.

python examples/own_unet.py --out unet
"""

import argparse
import os
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # official builds of ONNX Runtime send telemetry otherwise

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

import resnetx


def block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())


class UNet(nn.Module):
    """Two levels down and up again, with the maps of each level carried over."""

    def __init__(self, width: int = 8, classes: int = 2) -> None:
        super().__init__()
        self.first, self.second = block(3, width), block(width, 2 * width)
        self.bottom = block(2 * width, 4 * width)
        self.up_second = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.merge_second = block(4 * width, 2 * width)
        self.up_first = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.merge_first = block(2 * width, width)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        first = self.first(images)
        second = self.second(nn.functional.max_pool2d(first, 2))
        bottom = self.bottom(nn.functional.max_pool2d(second, 2))
        up = self.merge_second(torch.cat((second, self.up_second(bottom)), dim=1))
        return self.head(self.merge_first(torch.cat((first, self.up_first(up)), dim=1)))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--out", type=Path, default=Path("unet"), help="The folder to write to.")
    chosen = options.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    file, half = chosen.out / "unet.onnx", chosen.out / "unet-fp16.onnx"

    torch.manual_seed(0)
    unet = UNet().eval()
    # An example of the input is all that is needed; its batch size is free in the file.
    exported = resnetx.export(unet, file, example=torch.zeros(2, 3, 64, 64), golden=chosen.out / "unet.npz")
    print(f"{file}: {'verified' if exported.passed else 'FAILED'}")

    # The same module again, on every runtime that will run the file.
    verified = resnetx.verify(file, unet, providers=("cpu", "openvino"))
    for verdict in verified.verdicts:
        worst = max(check.multiple or 0 for check in verdict.parity.checks)
        print(
            f"  {verdict.provider}: at most {worst:.2g} times PyTorch's own error, {'ok' if verdict.passed else 'no'}"
        )

    converted = resnetx.convert(file, half)
    print(f"{half}: {'verified' if converted.written else 'not written'}, {len(converted.kept)} layers kept in float32")

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    (scores,) = session.run(None, {session.get_inputs()[0].name: image})
    print(f"The mask has {int((scores.argmax(axis=1) == 1).sum())} of {scores[0, 0].size} pixels.")
    if not (exported.passed and verified.passed and converted.written):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
