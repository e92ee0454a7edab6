"""The study of gradients: their norm in every layer of plain and residual twins, before training and during it."""

from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnetx.base.progress import OnProgress, Steps, ignore
from resnetx.errors import UsageError
from resnetx.study.digits import Digits, batches, load_digits
from resnetx.study.networks import INITIALIZATION, WIDTH, build_twin, check_depth, name_of
from resnetx.study.result import Column, Line, Panel, Study, finite, judged, repeat_command
from resnetx.study.training import MOMENTUM, one_thread, train

CLAIM = (
    "In a plain network the gradient of the shallow layers falls toward zero as the network gets deeper; in the "
    "residual network it does not."
)
RATE, BATCH, PROBE = 0.01, 64, 256
MOST_STEPS = 10_000


@dataclass(frozen=True, kw_only=True)
class GradientOptions:
    """`depths` of the networks, and the numbers of training `steps` after which the gradients are taken."""

    depths: tuple[int, ...] = (20, 56, 110)
    steps: tuple[int, ...] = (0, 10, 50)
    seed: int = 0

    def __post_init__(self) -> None:
        for depth in self.depths:
            check_depth(depth)
        if len(set(self.depths)) < 2 or list(self.depths) != sorted(set(self.depths)):
            raise UsageError("--depths takes two or more depths, each larger than the one before, such as 20,56,110.")
        if list(self.steps) != sorted(set(self.steps)) or not all(0 <= step <= MOST_STEPS for step in self.steps):
            raise UsageError(f"--steps takes increasing numbers of steps from 0 to {MOST_STEPS}, such as 0,10,50.")


@dataclass(frozen=True, kw_only=True)
class Norms:
    """The gradient norm of each convolution's weights, from the stem to the last, after some steps of training."""

    depth: int
    plain: bool
    normalized: bool
    step: int
    loss: float
    layers: tuple[float, ...]

    @property
    def shallow(self) -> float:
        """The median of the first third, which is the first stage with the stem."""
        return median(self.layers[: len(self.layers) // 3])

    @property
    def deep(self) -> float:
        """The median of the last third."""
        return median(self.layers[-(len(self.layers) // 3) :])


def study_gradients(options: GradientOptions | None = None, *, progress: OnProgress = ignore) -> Study:
    options = options or GradientOptions()
    digits = load_digits(options.seed)
    tell = Steps(progress, 4 * len(options.depths))
    found: list[Norms] = []
    with one_thread():
        for normalized in (False, True):
            for depth in options.depths:
                for plain in (True, False):
                    tell.begin(f"{name_of(depth, plain=plain)}, {'with' if normalized else 'without'} BatchNorm")
                    found += _network_norms(depth, plain, normalized, digits, options, tell)
    held, verdict = judge(found)
    return Study(
        name="gradients",
        title="Gradient norm by layer, plain and residual networks",
        claim=CLAIM,
        held=held,
        verdict=verdict,
        seed=options.seed,
        command=repeat_command("gradients", options),
        settings={
            "images": f"scikit-learn's digits, 8x8, {len(digits.images)} for training",
            "networks": f"three stages of basic blocks, {WIDTH}, {2 * WIDTH} and {4 * WIDTH} channels",
            "initialization": INITIALIZATION,
            "training": f"batches of {BATCH}, learning rate {RATE}, momentum {MOMENTUM}, the same for all networks",
            "gradient": f"of the mean cross-entropy of the first {PROBE} training images",
        },
        columns=tuple(Column(title=title, numeric=title not in ("network", "BatchNorm")) for title in TITLES),
        rows=tuple(
            (
                *(name_of(each.depth, plain=each.plain), "yes" if each.normalized else "no", each.step),
                *(finite(each.loss), finite(each.shallow), finite(each.deep)),
            )
            for each in found
        ),
        panels=tuple(_panel(found, normalized, step) for normalized in (False, True) for step in options.steps),
        panels_a_row=len(options.steps),
    )


TITLES = ("network", "BatchNorm", "steps", "loss", "first third", "last third")


def layer_norms(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, tuple[float, ...]]:
    """The loss and the gradient norm of each convolution's weights, those of the shortcuts left out."""
    network.zero_grad()
    loss = functional.cross_entropy(network(images), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    layers = [
        module.weight
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and ".downsample." not in name
    ]
    norms = tuple(float(torch.linalg.vector_norm(weight.grad)) for weight in layers if weight.grad is not None)
    network.zero_grad()
    return loss.item(), norms


def _network_norms(
    depth: int, plain: bool, normalized: bool, digits: Digits, options: GradientOptions, tell: Steps
) -> list[Norms]:
    network = build_twin(depth, plain=plain, normalized=normalized, seed=options.seed)
    training = train(network, batches(digits.images, digits.labels, size=BATCH, seed=options.seed), rate=RATE)
    found, done, last = [], 0, max(options.steps)
    for step in options.steps:
        while done < step and next(training, None) is not None:
            done += 1
            tell.detail(f"step {done} of {last}", done / last)
        if done < step:
            break
        loss, layers = layer_norms(network, digits.images[:PROBE], digits.labels[:PROBE])
        found.append(Norms(depth=depth, plain=plain, normalized=normalized, step=step, loss=loss, layers=layers))
    return found


def judge(found: list[Norms]) -> tuple[bool, str]:
    """First form."""
    plain = [each for each in found if each.plain and not each.normalized and each.step == found[0].step]
    residual = [each for each in found if not each.plain and not each.normalized and each.step == found[0].step]
    fall = plain[-1].shallow / plain[0].shallow
    stays = residual[-1].shallow / residual[0].shallow
    held = fall < 1e-3 and stays >= 1
    return held, judged(held, f"plain fell to {fall:.3g} of the shallowest network's, residual to {stays:.3g}")


def _panel(found: list[Norms], normalized: bool, step: int) -> Panel:
    lines = []
    for each in found:
        if each.normalized == normalized and each.step == step:
            last = len(each.layers) - 1
            lines.append(
                Line(
                    name=name_of(each.depth, plain=each.plain),
                    x=tuple(place / last for place in range(last + 1)),
                    y=tuple(map(finite, each.layers)),
                    colour=sorted({other.depth for other in found}).index(each.depth),
                    dashed=each.plain,
                )
            )
    return Panel(
        title=f"{'With' if normalized else 'Without'} BatchNorm, after {step} steps",
        x_label="layer, from the first (0) to the last (1)",
        y_label="gradient norm",
        lines=tuple(lines),
        log_y=True,
    )
