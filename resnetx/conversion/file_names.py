"""The name of a file that the user did not name: it carries what differs from the defaults."""

from resnetx.graph.card import ModelCard
from resnetx.model.config import ResNetConfig


def default_name(card: ModelCard, *, precision: str = "fp32", batch: int | None = None) -> str:
    """`resnet50.onnx`, `resnet50-textbook-6.onnx`, `resnet18-10-64px-fp16.onnx`.

    The order is family and depth, variant, width, classes, image size, form of the input, form of the output, batch
    and precision; each but the first is left out where it is the default of `resnetx export`.
    """
    config = card.config
    if config is None:
        return "model.onnx"
    usual = ResNetConfig()
    own_output = "probabilities" if config.variant == "textbook" else "logits"
    parts = (
        (f"{'plainnet' if config.plain else 'resnet'}{config.depth}", True),
        (config.variant, config.variant != usual.variant),
        (f"w{config.width}", config.width != usual.width),
        (str(config.classes), config.classes != usual.classes),
        (f"{card.image_size}px", card.image_size != config.image_size),
        (card.input, card.input != "none"),
        (card.output, card.output != own_output),
        (f"batch{batch}", batch is not None),
        (precision, precision != "fp32"),
    )
    return "-".join(part for part, differs in parts if differs) + ".onnx"
