"""Weights from a seed: the same bits on every machine, and BatchNorm statistics that reveal a wrong fold."""

import math

import torch
from torch import Tensor, nn

from resnetx.model.network import BasicBlock, Bottleneck
from resnetx.model.textbook import TextbookResNet

# Small weights in the last BatchNorm of a block keep the activations of deep networks finite (Glorot's are small).
RESIDUAL_GAIN = 0.2


@torch.no_grad()
def initialize(network: nn.Module, seed: int = 0) -> None:
    """Fill every parameter and statistic of `network` from `seed`.

    Only uniform draws and single-rounding arithmetic: normal draws differ in the last bit between processors,
    and a network must be reproducible on other machines from its seed alone.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor: Tensor, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=generator).sub_(0.5).mul_(high - low).add_((low + high) / 2))

    glorot = isinstance(network, TextbookResNet)
    last_norms = {
        id(block.bn2 if isinstance(block, BasicBlock) else block.bn3)
        for block in network.modules()
        if isinstance(block, BasicBlock | Bottleneck) and not block.plain
    }
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            fan_out = module.weight.numel() // module.weight.shape[1]
            bound = math.sqrt(6 / (fan_in + fan_out) if glorot or isinstance(module, nn.Linear) else 6 / fan_in)
            uniform(module.weight, -bound, bound)
            if module.bias is not None:
                uniform(module.bias, -0.05, 0.05)
        elif isinstance(module, nn.BatchNorm2d):
            gain = RESIDUAL_GAIN if id(module) in last_norms else 1.0
            uniform(module.weight, 0.8 * gain, 1.2 * gain)
            uniform(module.bias, -0.2, 0.2)
            assert module.running_mean is not None and module.running_var is not None
            uniform(module.running_mean, -0.2, 0.2)
            uniform(module.running_var, 0.6, 1.4)
