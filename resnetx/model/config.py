"""The configuration of a residual network, and the table of standard depths."""

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from resnetx.errors import UsageError

Block = Literal["basic", "bottleneck"]
Variant = Literal["v1.5", "v1", "textbook"]
VARIANTS: tuple[str, ...] = get_args(Variant)

# Table 1 of "Deep Residual Learning for Image Recognition": blocks per stage.
DEPTHS: dict[int, tuple[Block, tuple[int, ...]]] = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
EXPANSION: dict[Block, int] = {"basic": 1, "bottleneck": 4}


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """One residual network.

    `v1.5` strides the 3x3 convolution of a bottleneck, `v1` the first 1x1; `textbook` is v1 as in the
    classic description for 64x64 images (see `textbook.py`). `plain` omits the shortcuts.
    """

    block: Block = "bottleneck"
    stages: tuple[int, ...] = (3, 4, 6, 3)
    variant: Variant = "v1.5"
    width: int = 64
    classes: int = 1000
    bn_eps: float = 1e-5
    plain: bool = False
    # Textbook only: the inner width of the identity blocks in the last stage, as a multiple of `width`.
    # That description has 256 filters (4); the original network has 512 (8).
    last_identity_multiple: int = field(default=4)
    # Textbook only: the window of the final average pooling; 0 pools the whole map.
    avg_pool: int = 2

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise UsageError(problem)

    def _problem(self) -> str | None:
        if self.variant not in VARIANTS:
            return f"There is no variant {self.variant!r}; choose one of {', '.join(VARIANTS)}."
        if self.block not in EXPANSION:
            return f"There is no block {self.block!r}; choose basic or bottleneck."
        if not 1 <= len(self.stages) <= 8 or not all(1 <= blocks <= 200 for blocks in self.stages):
            return f"The stages {self.stages} cannot be built: give 1 to 8 stages of 1 to 200 blocks each."
        if not 1 <= self.width <= 1024:
            return f"A width of {self.width} cannot be built: choose 1 to 1024 filters."
        if not 1 <= self.classes <= 1_000_000:
            return f"{self.classes} classes cannot be built: choose 1 to 1000000."
        if not 0 < self.bn_eps < 1:
            return f"A BatchNorm epsilon of {self.bn_eps} is not valid: choose a value between 0 and 1."
        if not (1 <= self.last_identity_multiple <= 1024 and 0 <= self.avg_pool <= 1024):
            return (
                f"A last stage of {self.last_identity_multiple} times the width with a pooling window of "
                f"{self.avg_pool} cannot be built: choose 1 to 1024, and a window of 0 to 1024."
            )
        if self.variant == "textbook" and self.block != "bottleneck":
            return "The textbook variant has bottleneck blocks only: choose depth 50, 101 or 152."
        return None

    @property
    def expansion(self) -> int:
        return EXPANSION[self.block]

    @property
    def depth(self) -> int:
        """The number of layers with weights, counted as in the paper (without shortcuts)."""
        return 2 + sum(self.stages) * (2 if self.block == "basic" else 3)

    @property
    def name(self) -> str:
        family = "PlainNet" if self.plain else "ResNet"
        standard = DEPTHS.get(self.depth) == (self.block, self.stages) and self.width == 64
        shape = "" if standard else f" ({self.block}, stages {','.join(map(str, self.stages))}, width {self.width})"
        return f"{family}-{self.depth} {self.variant}{shape}"

    @property
    def image_size(self) -> int:
        """The side of the images that the network is designed for."""
        return 64 if self.variant == "textbook" else 224


def resnet_config(
    depth: int | None = None,
    *,
    variant: Variant | None = None,
    stages: tuple[int, ...] | None = None,
    width: int | None = None,
    block: Block | None = None,
    classes: int | None = None,
    plain: bool = False,
    last_identity_multiple: int | None = None,
) -> ResNetConfig:
    """The config of a depth from the table (50 by default), or of a custom stage list."""
    if depth is not None and stages is not None:
        raise UsageError(
            "Both a depth and a stage list were given; the stages determine the depth, so give only one of them."
        )
    if depth is not None and depth not in DEPTHS:
        raise UsageError(
            f"There is no ResNet of depth {depth} in the table; choose {', '.join(map(str, DEPTHS))}, "
            "or define another network by its stages and width."
        )
    table_block, table_stages = DEPTHS[depth or 50]
    config = ResNetConfig(
        block=block or (table_block if stages is None else "bottleneck"),
        stages=table_stages if stages is None else stages,
        variant=variant or "v1.5",
        width=64 if width is None else width,
        classes=1000 if classes is None else classes,
        plain=plain,
        last_identity_multiple=last_identity_multiple or 4,
    )
    # Keras's default, because that description uses Keras and does not give a value.
    return replace(config, bn_eps=1e-3) if config.variant == "textbook" else config
