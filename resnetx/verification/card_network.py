"""Compares the convolutions of a file with those of the network that its card describes."""

from collections import Counter
from collections.abc import Iterator, Sequence

from resnetx.graph.stored_weights import StoredWeights, is_convolution
from resnetx.model.config import ResNetConfig


def network_problems(weights: Sequence[StoredWeights], config: ResNetConfig) -> list[str]:
    """What the numbers and shapes of the stored kernels contradict."""
    found = Counter(each.shape for each in weights if is_convolution(each))
    expected = Counter[tuple[int, ...]](convolution_shapes(config))
    if found.total() != expected.total():
        return [
            f"the card's network ({config.name}) has {expected.total()} convolutions, but the file has {found.total()}"
        ]
    if found != expected:
        odd = next((found - expected).elements())
        spelled = "x".join(map(str, odd))
        return [f"the card's network ({config.name}) has no convolution of the shape {spelled}, which the file has"]
    return []


def convolution_shapes(config: ResNetConfig) -> Iterator[tuple[int, int, int, int]]:
    """The kernel of every convolution of a network: outputs, inputs, height, width."""
    channels = config.width
    yield channels, 3, 7, 7
    for stage, blocks in enumerate(config.stages):
        for index in range(blocks):
            width = config.width * 2**stage
            outputs = width * config.expansion
            if config.variant == "textbook" and stage == len(config.stages) - 1 > 0 and index > 0:
                width = config.width * config.last_identity_multiple
            if config.block == "basic":
                yield from ((width, channels, 3, 3), (width, width, 3, 3))
            else:
                yield from ((width, channels, 1, 1), (width, width, 3, 3), (outputs, width, 1, 1))
            if index == 0 and not config.plain and (stage > 0 or channels != outputs or config.variant == "textbook"):
                yield outputs, channels, 1, 1
            channels = outputs
