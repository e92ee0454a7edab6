"""A network with its preprocessing and output form, as one torch module."""

from typing import cast

import torch
from torch import Tensor, nn

from resnetx.model.preprocessing import Preprocessing, top_k


class Normalize(nn.Module):
    """Raw uint8 pixels (N, H, W, 3) to the input of the network, (N, 3, H, W)."""

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
        # Contiguous, because the exporter decomposes pooling over a permuted layout into a dozen nodes.
        x = pixels.permute(0, 3, 1, 2).contiguous().to(self.factor.dtype)
        if self.reverse:
            x = torch.cat([x[:, 2:], x[:, 1:2], x[:, :1]], dim=1)
        return x * self.factor + self.offset


class Deployed(nn.Module):
    """A network as exported: takes pixels or tensors; returns logits, probabilities or the top k classes."""

    def __init__(self, network: nn.Module, preprocessing: Preprocessing | None, output: str) -> None:
        super().__init__()
        self.preprocess = Normalize(preprocessing) if preprocessing else None
        self.network = network
        self.output = output
        self.k = top_k(output)
        self.softmax = None if output == "logits" else nn.Softmax(dim=1)

    def with_logits(self) -> "Deployed":
        """The same network and preprocessing, with logits as the output."""
        copy = Deployed(self.network, None, "logits")
        copy.preprocess = self.preprocess
        return copy

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        logits = cast(Tensor, self.network(x if self.preprocess is None else self.preprocess(x)))
        if self.softmax is None:
            return logits
        probabilities = cast(Tensor, self.softmax(logits))
        if not self.k:
            return probabilities
        scores, indices = torch.topk(probabilities, self.k, dim=1)
        return indices, scores
