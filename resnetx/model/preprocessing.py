"""What happens to pixels before the network sees them, and to logits after: stated once, in torch and in words."""

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from resnetx.errors import UsageError

InputForm = Literal["none", "uint8"]
INPUT_FORMS: tuple[str, ...] = get_args(InputForm)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """A network's input from 8-bit pixels: y = (x * scale - mean) / std, channels in `order`."""

    order: Literal["RGB", "BGR"] = "RGB"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Preprocessing":
        return cls(**{**data, "mean": tuple(data["mean"]), "std": tuple(data["std"])})


IMAGENET = Preprocessing()
# What keras.applications' ResNets were trained with: the original network's, without scaling.
CAFFE = Preprocessing(order="BGR", scale=1.0, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0))
UNIT = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class Normalize(nn.Module):
    """Raw pixels (N, H, W, 3) in uint8 to what the network takes, (N, 3, H, W)."""

    factor: Tensor
    offset: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.reverse = preprocessing.order == "BGR"
        std = torch.tensor(preprocessing.std, dtype=torch.float64)
        mean = torch.tensor(preprocessing.mean, dtype=torch.float64)
        self.register_buffer("factor", (preprocessing.scale / std).float().view(1, 3, 1, 1))
        self.register_buffer("offset", (-mean / std).float().view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels.permute(0, 3, 1, 2).to(self.factor.dtype)
        if self.reverse:
            x = torch.cat([x[:, 2:], x[:, 1:2], x[:, :1]], dim=1)
        return x * self.factor + self.offset


class Deployed(nn.Module):
    """A network as it is shipped: pixels or tensors in; logits, probabilities or the k best classes out."""

    def __init__(self, network: nn.Module, preprocessing: Preprocessing | None, output: str) -> None:
        super().__init__()
        self.preprocess = Normalize(preprocessing) if preprocessing else None
        self.network = network
        self.output = output
        self.k = top_k(output)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        logits = cast(Tensor, self.network(x if self.preprocess is None else self.preprocess(x)))
        if self.output == "logits":
            return logits
        probabilities = torch.softmax(logits, dim=1)
        if not self.k:
            return probabilities
        scores, indices = torch.topk(probabilities, self.k, dim=1)
        return indices, scores


def top_k(output: str) -> int:
    """The k of an output form `topK`, 0 for logits and probabilities."""
    match = re.fullmatch(r"top([1-9]\d*)", output)
    if match is None and output not in ("logits", "probabilities"):
        raise UsageError(f"There is no output form {output!r}: choose logits, probabilities, or topK such as top5.")
    return int(match.group(1)) if match else 0


def output_names(output: str) -> tuple[str, ...]:
    return ("indices", "scores") if top_k(output) else (output,)
