"""Honest files that the cases are made from: a tiny network exported, its checkpoints, golden bundle and benchmark."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

LAST = "result.json"
TINY = ("--stages", "1,1", "--width", "4", "--classes", "5", "--image-size", "32", "--block", "basic")


@dataclass(frozen=True)
class Corpus:
    """The folder with the files; it is never written to by a case."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        """`corpus.model` is the path of `model.*`."""
        if name.startswith("_"):
            raise AttributeError(name)
        return next(self.folder.glob(f"{name}.*"))


def make_corpus(folder: Path) -> Corpus:
    """Make the files, unless they are there: in another process, as the runtime's threads would not survive a fork."""
    if not (folder / LAST).exists():
        subprocess.run([sys.executable, "-m", "tests.fuzz.corpus", str(folder)], check=True)
    return Corpus(folder)


def _make(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from resnetx.model.config import resnet_config
    from tests.conftest import random_network
    from tests.support.onnx_models import quantized_convolution, small_classifier
    from tests.support.sample_benchmark import sample_benchmark
    from tests.weights.test_checkpoint import state, write_keras1

    command = [sys.executable, "-m", "resnetx", "export", *TINY, "-o", str(folder / "model.onnx")]
    subprocess.run([*command, "--golden", str(folder / "golden.npz")], check=True, capture_output=True)
    (folder / "plain.onnx").write_bytes(small_classifier())
    (folder / "quantized.onnx").write_bytes(quantized_convolution())
    network = random_network(resnet_config(stages=(1, 1), width=4, classes=5, block="basic"))
    tensors = {name: tensor.contiguous() for name, tensor in state(network).items()}
    save_file(tensors, folder / "safe.safetensors")
    torch.save(tensors, folder / "zipped.pt")
    torch.save(tensors, folder / "legacy.bin", _use_new_zipfile_serialization=False)
    textbook = random_network(resnet_config(stages=(1, 1), width=2, classes=5, variant="textbook"))
    write_keras1(textbook, folder / "keras.h5")
    (folder / LAST).write_text(json.dumps(sample_benchmark().to_json()))


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
