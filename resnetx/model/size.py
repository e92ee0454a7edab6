"""The size of a residual network from its configuration, without building it."""

from resnetx.model.config import ResNetConfig

STEM_KERNEL = 7


def weight_count(config: ResNetConfig) -> int:
    """The weights of the convolutions and, at its smallest, of the classifier; neither biases nor BatchNorm.

    Every file of the network holds these, however it was fused, folded or quantized.
    """
    total = 3 * config.width * STEM_KERNEL**2
    channels = config.width
    last = len(config.stages) - 1
    for stage, blocks in enumerate(config.stages):
        width = config.width * 2**stage
        outputs = width * config.expansion
        narrow = config.width * config.last_identity_multiple
        for index in range(blocks):
            # The textbook's identity blocks of the last stage have an inner width of their own.
            textbook = config.variant == "textbook" and stage == last > 0 and index > 0
            total += _block(config, channels, narrow if textbook else width, outputs)
            if not config.plain and index == 0 and (channels != outputs or stage > 0):
                total += channels * outputs
            channels = outputs
    return total + channels * config.classes


def _block(config: ResNetConfig, channels: int, width: int, outputs: int) -> int:
    if config.block == "basic":
        return 9 * channels * width + 9 * width * width
    return channels * width + 9 * width * width + width * outputs
