"""A network with its preprocessing and its output form around it, as one torch module."""

from typing import cast

import torch
from torch import Tensor, nn

from resnetx.model.preprocessing import Preprocessing, top_k


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
        # Contiguous, because the exporter decomposes pooling over a permuted layout into a dozen nodes.
        x = pixels.permute(0, 3, 1, 2).contiguous().to(self.factor.dtype)
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
        self.softmax = None if output == "logits" else nn.Softmax(dim=1)

    def with_logits(self) -> "Deployed":
        """The same network and preprocessing, with logits coming out."""
        twin = Deployed(self.network, None, "logits")
        twin.preprocess = self.preprocess
        return twin

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        logits = cast(Tensor, self.network(x if self.preprocess is None else self.preprocess(x)))
        if self.softmax is None:
            return logits
        probabilities = cast(Tensor, self.softmax(logits))
        if not self.k:
            return probabilities
        scores, indices = torch.topk(probabilities, self.k, dim=1)
        return indices, scores
