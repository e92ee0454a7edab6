"""The study of depth: the training loss of plain and residual twins as they get deeper, and 152 layers at work."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, product
from statistics import fmean, median

from torch.nn import functional

from resnetx.base.progress import OnProgress, Steps, ignore
from resnetx.errors import UsageError
from resnetx.model.config import resnet_config
from resnetx.model.network import build_network
from resnetx.study.digits import CLASSES, Digits, batches, load_digits
from resnetx.study.gradients import LAYER_AXIS, layer_line, layer_norms
from resnetx.study.networks import build_twin, check_depths, initialize, name_of, network_settings, share_weights
from resnetx.study.result import Column, Line, Panel, Study, finite, in_digits, judged, repeat_command
from resnetx.study.training import one_thread, train, training_settings

CLAIM = (
    "A deeper plain network trains worse, and a deeper residual network does not; residual networks of 152 layers have "
    "gradients that are finite and do not vanish in any layer."
)
RATE, BATCH = 0.02, 64
FEWEST_STEPS, MOST_STEPS = 10, 100_000
# A deeper network trains worse if its final loss is higher by more than this; guessing has a loss of 2.3.
WORSE = 0.1
# A gradient vanishes if its norm is below this.
VANISHED = 1e-6
DEEPEST, DEEPEST_SIZE, DEEPEST_BATCH = 152, 64, 16
COLUMNS = (
    Column(title="network", numeric=False),
    *(Column(title=title) for title in ("first loss", "final loss", "smallest gradient", "median gradient")),
    Column(title="largest gradient"),
)


@dataclass(frozen=True, kw_only=True)
class DepthOptions:
    """`depths` of the networks that are trained, and for how many `steps`."""

    depths: tuple[int, ...] = (8, 20, 56)
    steps: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        check_depths(self.depths)
        if not FEWEST_STEPS <= self.steps <= MOST_STEPS:
            raise UsageError(f"--steps takes {FEWEST_STEPS} to {MOST_STEPS}; found {self.steps}.")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The training loss of a network at every step; fewer than were asked for if the last is not finite."""

    depth: int
    plain: bool
    losses: tuple[float, ...]
    steps: int

    @property
    def final(self) -> float:
        """The mean of the last tenth of the steps; infinite if the training did not get there."""
        return fmean(self.losses[-(self.steps // 10) :]) if self._whole else math.inf

    @property
    def _whole(self) -> bool:
        return len(self.losses) == self.steps and math.isfinite(self.losses[-1])


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One run of 152 layers forward and backward: the loss, and the gradient norm of each convolution's weights."""

    plain: bool
    loss: float
    layers: tuple[float, ...]

    @property
    def sound(self) -> bool:
        return all(map(math.isfinite, (self.loss, *self.layers))) and min(self.layers) >= VANISHED


def study_depth(options: DepthOptions | None = None, *, progress: OnProgress = ignore) -> Study:
    options = options or DepthOptions()
    digits = load_digits(options.seed)
    cases = list(product(options.depths, (True, False)))
    tell = Steps(progress, len(cases) + 1)
    with one_thread():
        curves = [_trained(depth, plain, digits, options, tell) for depth, plain in cases]
        tell.begin(f"{DEEPEST} layers, forward and backward")
        passes = deepest_passes(digits, options.seed)
    held, verdict = judge_depth(curves, passes)
    return Study(
        name="depth",
        title="Plain and residual networks as they get deeper",
        claim=CLAIM,
        held=held,
        verdict=verdict,
        seed=options.seed,
        command=repeat_command("depth", options),
        settings=network_settings()
        | training_settings(rate=RATE, batch=BATCH)
        | {
            "steps": options.steps,
            f"{DEEPEST} layers": f"ResNet-{DEEPEST} of full width and its plain twin, with BatchNorm, untrained; "
            f"{DEEPEST_BATCH} digits of {DEEPEST_SIZE}x{DEEPEST_SIZE} pixels",
        },
        columns=COLUMNS,
        rows=(
            *(
                (name_of(each.depth, plain=each.plain), finite(each.losses[0]), finite(each.final), None, None, None)
                for plain in (True, False)
                for each in curves
                if each.plain == plain
            ),
            *(
                (
                    *(name_of(DEEPEST, plain=each.plain), finite(each.loss), None),
                    *(finite(function(each.layers)) for function in (min, median, max)),
                )
                for each in passes
            ),
        ),
        panels=(*(_loss_panel(curves, plain) for plain in (True, False)), _gradient_panel(passes)),
        panels_a_row=3,
        notes=(
            "Final loss: the mean of the last tenth of the training steps. Gradients: the norm for the weights of a "
            "convolution. A dash: not part of the study.",
        ),
    )


def deepest_passes(digits: Digits, seed: int, *, size: int = DEEPEST_SIZE) -> list[Pass]:
    """ResNet-152 and its plain twin, with the same weights in all layers that both have."""
    images, labels = digits.images[:DEEPEST_BATCH], digits.labels[:DEEPEST_BATCH]
    images = functional.interpolate(images, size=(size, size), mode="bilinear").expand(-1, 3, -1, -1)
    residual, plain = (
        build_network(resnet_config(DEEPEST, classes=CLASSES, plain=without)).train() for without in (False, True)
    )
    initialize(residual, seed)
    share_weights(residual, plain)
    passes = []
    for without, network in ((True, plain), (False, residual)):
        loss, layers = layer_norms(network, images, labels)
        passes.append(Pass(plain=without, loss=loss, layers=layers))
    return passes


def judge_depth(curves: Sequence[Curve], passes: Sequence[Pass]) -> tuple[bool, str]:
    """The deepest network beside the shallowest: the plain one must train worse, and the residual one must not, nor may
    a gradient of the residual network of 152 layers vanish.
    """
    depths = sorted({each.depth for each in curves})

    def ends(plain: bool) -> tuple[float, float]:
        finals = {each.depth: each.final for each in curves if each.plain == plain}
        return finals[depths[0]], finals[depths[-1]]

    def worse(plain: bool) -> bool:
        first, last = ends(plain)
        return not math.isfinite(last) or last > first + WORSE

    (deepest,) = (each for each in passes if not each.plain)
    plain, residual = (f"{in_digits(first)} to {in_digits(last)}" for first, last in map(ends, (True, False)))
    held = worse(True) and not worse(False) and deepest.sound
    return held, judged(
        held,
        f"from {depths[0]} to {depths[-1]} layers the final loss goes from {plain} in plain networks, and from "
        f"{residual} in residual ones; the gradients of the residual network of {DEEPEST} layers range from "
        f"{in_digits(min(deepest.layers))} to {in_digits(max(deepest.layers))}",
    )


def _trained(depth: int, plain: bool, digits: Digits, options: DepthOptions, tell: Steps) -> Curve:
    tell.begin(name_of(depth, plain=plain))
    network = build_twin(depth, plain=plain, seed=options.seed)
    images = batches(digits.images, digits.labels, size=BATCH, seed=options.seed)
    losses = []
    for loss in islice(train(network, images, rate=RATE), options.steps):
        losses.append(loss)
        tell.detail(f"training step {len(losses)} of {options.steps}", len(losses) / options.steps)
    return Curve(depth=depth, plain=plain, losses=tuple(losses), steps=options.steps)


def _loss_panel(curves: Sequence[Curve], plain: bool) -> Panel:
    shown = [each for each in curves if each.plain == plain]
    return Panel(
        title=f"Training loss, {'plain' if plain else 'residual'} networks",
        x_label="training step",
        y_label="loss, mean of the last 10 steps",
        lines=tuple(
            Line(
                name=name_of(each.depth, plain=plain),
                x=tuple(range(1, len(each.losses) + 1)),
                y=tuple(finite(fmean(each.losses[max(0, end - 10) : end])) for end in range(1, len(each.losses) + 1)),
                colour=place,
                dashed=plain,
            )
            for place, each in enumerate(shown)
        ),
    )


def _gradient_panel(passes: Sequence[Pass]) -> Panel:
    return Panel(
        title=f"Gradients in {DEEPEST} layers, before training",
        x_label=LAYER_AXIS,
        y_label="gradient norm",
        lines=tuple(
            layer_line(name_of(DEEPEST, plain=each.plain), each.layers, colour=3, dashed=each.plain) for each in passes
        ),
        log_y=True,
    )
