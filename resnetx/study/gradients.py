"""The study of gradients: their norm in every layer of plain and residual twins, before training and during it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnetx.base.progress import OnProgress, Steps, ignore
from resnetx.errors import UsageError
from resnetx.study.digits import Digits, batches, load_digits
from resnetx.study.networks import build_twin, check_depths, name_of, network_settings
from resnetx.study.result import Column, Line, Panel, Study, finite, in_digits, judged, repeat_command
from resnetx.study.training import one_thread, train, training_settings

CLAIM = (
    "In a plain network the gradient of the shallow layers falls toward zero as the network gets deeper; in the "
    "residual network it does not."
)
# Without BatchNorm, deep residual networks start with gradients so large that one step would ruin them.
RATE, CLIP, BATCH = 0.05, 1.0, 64
PROBE = 256
MOST_STEPS, MOST_PANELS = 10_000, 6
# A gradient fell if the deepest network has at most this share of what the shallowest has.
FALLEN = 0.1
COLUMNS = (
    Column(title="BatchNorm", numeric=False),
    *(Column(title=title) for title in ("steps", "layers", "plain: loss", "plain: gradient")),
    *(Column(title=title) for title in ("residual: loss", "residual: gradient", "plain / residual")),
)
LAYER_AXIS = "layer, from the first (0) to the last (1)"
NOTE = (
    "Gradient: the norm for the weights of a convolution, as the median of the first third of the layers, which are "
    "the shallow ones."
)


@dataclass(frozen=True, kw_only=True)
class GradientOptions:
    """`depths` of the networks, and the numbers of training `steps` after which the gradients are taken."""

    depths: tuple[int, ...] = (20, 56, 110)
    steps: tuple[int, ...] = (0, 10, 50)
    seed: int = 0

    def __post_init__(self) -> None:
        check_depths(self.depths)
        rising = list(self.steps) == sorted(set(self.steps)) and all(0 <= step <= MOST_STEPS for step in self.steps)
        if not rising or not 1 <= len(self.steps) <= MOST_PANELS:
            raise UsageError(
                f"--steps takes one to {MOST_PANELS} increasing numbers from 0 to {MOST_STEPS}, such as 0,10,50."
            )


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
        """The median of the first third: the stem and most of the first stage."""
        return median(self.layers[: len(self.layers) // 3])


def study_gradients(options: GradientOptions | None = None, *, progress: OnProgress = ignore) -> Study:
    options = options or GradientOptions()
    digits = load_digits(options.seed)
    cases = list(product((False, True), options.depths, (True, False)))
    tell = Steps(progress, len(cases))
    found: list[Norms] = []
    with one_thread():
        for normalized, depth, plain in cases:
            tell.begin(f"{name_of(depth, plain=plain)}, {_with(normalized)}")
            found += _network_norms(depth, plain, normalized, digits, options, tell)
    held, verdict = judge_gradients(found)
    return Study(
        name="gradients",
        title="Gradient norm by layer of plain and residual networks",
        claim=CLAIM,
        held=held,
        verdict=verdict,
        seed=options.seed,
        command=repeat_command("gradients", options),
        settings=network_settings()
        | training_settings(rate=RATE, batch=BATCH, clip=CLIP)
        | {
            "without BatchNorm": "a bias for each channel in its place",
            "gradient": f"of the mean cross-entropy of the first {PROBE} training images",
        },
        columns=COLUMNS,
        rows=tuple(
            _row(*(_of(found, depth, plain, normalized, step) for plain in (True, False)))
            for normalized, step, depth in product((False, True), options.steps, options.depths)
        ),
        panels=tuple(_panel(found, normalized, step) for normalized, step in product((False, True), options.steps)),
        panels_a_row=len(options.steps),
        notes=(NOTE,),
    )


def layer_norms(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, tuple[float, ...]]:
    """The loss, and the gradient norm of each convolution's weights; those of the shortcuts are left out."""
    network.zero_grad()
    loss = functional.cross_entropy(network(images), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    weights = [
        module.weight
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and ".downsample." not in name
    ]
    norms = tuple(float(torch.linalg.vector_norm(weight.grad)) for weight in weights if weight.grad is not None)
    network.zero_grad()
    return loss.item(), norms


def layer_line(name: str, norms: Sequence[float], *, colour: int, dashed: bool) -> Line:
    """The norms of all layers, from 0 to 1, so that networks of different depth can be compared."""
    places = tuple(place / (len(norms) - 1) for place in range(len(norms)))
    return Line(name=name, x=places, y=tuple(map(finite, norms)), colour=colour, dashed=dashed)


def judge_gradients(found: Sequence[Norms]) -> tuple[bool, str]:
    """Without BatchNorm, from the shallowest network to the deepest: after every number of steps the plain one's
    gradient must have fallen, and the residual one's not. What BatchNorm does to it is told as well.
    """
    depths, steps = sorted({each.depth for each in found}), sorted({each.step for each in found})

    def ends(plain: bool, normalized: bool, step: int) -> tuple[float, float]:
        first, last = (_of(found, depth, plain, normalized, step).shallow for depth in (depths[0], depths[-1]))
        return first, last

    def holds(step: int) -> bool:
        residual = ends(False, False, step)
        return _fell(*ends(True, False, step)) and not _fell(*residual) and all(map(math.isfinite, residual))

    def both(step: int) -> str:
        plain, residual = (_change(*ends(plain, False, step)) for plain in (True, False))
        return f"{plain} in the plain networks and {residual} in the residual ones {when(step)}"

    failed = [step for step in steps if not holds(step)]
    verdict = judged(
        not failed,
        f"without BatchNorm, from {depths[0]} to {depths[-1]} layers, the gradient norm of the shallow layers goes "
        f"{'; '.join(map(both, _ends_of(failed or steps)))}",
    )
    falls = [step for step in steps if _fell(*ends(True, True, step))]
    norm = "falls too" if falls == steps else f"falls {', '.join(map(when, falls))} only" if falls else "does not fall"
    told = ", ".join(f"{_change(*ends(True, True, step))} {when(step)}" for step in _ends_of(steps))
    return not failed, f"{verdict} With BatchNorm that of the plain networks {norm}: it goes {told}."


def _ends_of(steps: Sequence[int]) -> Iterable[int]:
    """The first and the last; one if they are the same."""
    return dict.fromkeys((steps[0], steps[-1]))


def when(step: int) -> str:
    return "before training" if not step else f"after {step} step{'' if step == 1 else 's'}"


def _fell(first: float, last: float) -> bool:
    return last <= FALLEN * first


def _change(first: float, last: float) -> str:
    return f"from {in_digits(first)} to {in_digits(last)}"


def _with(normalized: bool) -> str:
    return "with BatchNorm" if normalized else "without BatchNorm"


def _network_norms(
    depth: int, plain: bool, normalized: bool, digits: Digits, options: GradientOptions, tell: Steps
) -> list[Norms]:
    network = build_twin(depth, plain=plain, normalized=normalized, seed=options.seed)
    images = batches(digits.images, digits.labels, size=BATCH, seed=options.seed)
    training = train(network, images, rate=RATE, clip=CLIP)
    found, done, last = [], 0, max(options.steps)
    for step in options.steps:
        # A training that ended because its loss is not finite leaves gradients that are none either.
        while done < step and next(training, None) is not None:
            done += 1
            tell.detail(f"training step {done} of {last}", done / last)
        loss, layers = layer_norms(network, digits.images[:PROBE], digits.labels[:PROBE])
        found.append(Norms(depth=depth, plain=plain, normalized=normalized, step=step, loss=loss, layers=layers))
    return found


def _of(found: Sequence[Norms], depth: int, plain: bool, normalized: bool, step: int) -> Norms:
    wanted = (depth, plain, normalized, step)
    return next(each for each in found if (each.depth, each.plain, each.normalized, each.step) == wanted)


def _row(plain: Norms, residual: Norms) -> tuple[str | int | float | None, ...]:
    return (
        *("with" if plain.normalized else "without", plain.step, plain.depth),
        *(finite(value) for each in (plain, residual) for value in (each.loss, each.shallow)),
        finite(plain.shallow / residual.shallow) if residual.shallow else None,
    )


def _panel(found: Sequence[Norms], normalized: bool, step: int) -> Panel:
    depths = sorted({each.depth for each in found})
    return Panel(
        title=f"{_with(normalized)}, {when(step)}".capitalize().replace("batchnorm", "BatchNorm"),
        x_label=LAYER_AXIS,
        y_label="gradient norm",
        lines=tuple(
            layer_line(
                name_of(each.depth, plain=each.plain),
                each.layers,
                colour=depths.index(each.depth),
                dashed=each.plain,
            )
            for each in found
            if (each.normalized, each.step) == (normalized, step)
        ),
        log_y=True,
    )
