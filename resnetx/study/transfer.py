"""The study of transfer: a body that was trained on five digits learns the other five, beside one from nothing."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from statistics import fmean, median, stdev

import torch
from torch import Tensor, nn

from resnetx.base.progress import OnProgress, Steps, ignore
from resnetx.errors import UsageError
from resnetx.model.network import ResNet
from resnetx.study.digits import CLASSES, Digits, batches, load_digits
from resnetx.study.networks import INITIALIZATION, build_twin
from resnetx.study.repeats import check_repeats, measured_steps, median_line
from resnetx.study.result import Column, Panel, Study, judged, repeat_command
from resnetx.study.training import MOMENTUM, one_thread, train

CLAIM = (
    "From few labelled samples of new classes, a body that was trained on other classes becomes more accurate than one "
    "that starts from nothing."
)
OLD = CLASSES // 2
DEPTH, WIDTH = 8, 16
RATE, BODY_STEPS, BODY_BATCH = 0.05, 200, 32
GROWTH = 0.2
# Ahead is what is so by more standard errors of the mean than this, which chance does in 1 of 25 cases with 5 seeds.
CERTAIN = 3.0
MOST_SAMPLES = 50
TUNED, FROZEN, NOTHING = "fine-tuned body", "frozen body", "from nothing"
COLUMNS = (
    Column(title="samples of each class"),
    Column(title="network", numeric=False),
    *(Column(title=title) for title in ("accuracy: median", "lowest", "highest", "ahead of nothing: median")),
    *(Column(title=title) for title in ("least", "most")),
)

# The accuracy at the measured steps, a curve for each seed.
Curves = Sequence[Sequence[float]]
# Those of a number of samples, by the name of the network.
Case = Mapping[str, Curves]


@dataclass(frozen=True, kw_only=True)
class TransferOptions:
    """Cases of so many labelled `samples` of each new class, on which networks are trained for so many `steps`.

    All is repeated with as many `seeds`, of which the first is `seed`.
    """

    samples: tuple[int, ...] = (1, 5)
    steps: int = 60
    seeds: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        check_repeats(seeds=self.seeds, steps=self.steps)
        rising = list(self.samples) == sorted(set(self.samples))
        if not self.samples or not rising or not 1 <= min(self.samples) <= max(self.samples) <= MOST_SAMPLES:
            raise UsageError(f"--samples takes increasing numbers of samples from 1 to {MOST_SAMPLES}, such as 1,5.")


def study_transfer(options: TransferOptions | None = None, *, progress: OnProgress = ignore) -> Study:
    options = options or TransferOptions()
    at = measured_steps(options.steps, growth=GROWTH)
    tell = Steps(progress, options.seeds)
    cases: dict[int, dict[str, list[list[float]]]] = {
        samples: {name: [] for name in (TUNED, FROZEN, NOTHING)} for samples in options.samples
    }
    bodies = []
    with one_thread():
        for place in range(options.seeds):
            tell.begin(f"seed {place + 1} of {options.seeds}")
            seed = options.seed + place
            digits = load_digits(seed)
            tell.detail(f"a body from the digits 0 to {OLD - 1}")
            body, accuracy = train_body(digits, seed)
            bodies.append(accuracy)
            for samples, case in cases.items():
                tell.detail(f"the new digits, {samples} of each")
                for name, curve in learning_curves(body, digits, samples, at, seed).items():
                    case[name].append(curve)
    held, verdict = judge_transfer(cases)
    return Study(
        name="transfer",
        title=f"Digits {OLD} to {CLASSES - 1} learned from few samples",
        claim=CLAIM,
        held=held,
        verdict=verdict,
        seed=options.seed,
        command=repeat_command("transfer", options),
        settings={
            "images": f"scikit-learn's digits, 8x8; the accuracy is that on the test images of {OLD} to {CLASSES - 1}",
            "networks": f"residual, {DEPTH} layers, three stages of {WIDTH}, {2 * WIDTH} and {4 * WIDTH} channels",
            "initialization": INITIALIZATION,
            "body": f"all training images of 0 to {OLD - 1}, {BODY_STEPS} steps in batches of {BODY_BATCH}; its test "
            f"accuracy on these classes is {median(bodies):.1%} (median)",
            "training": f"SGD, learning rate {RATE:g}, momentum {MOMENTUM:g}, all samples in each step",
            "seeds": options.seeds,
            "steps": options.steps,
        },
        columns=COLUMNS,
        rows=tuple(
            (samples, name, *_spread([curve[-1] for curve in curves]), *_spread(gains(case, name)))
            if name != NOTHING
            else (samples, name, *_spread([curve[-1] for curve in curves]), None, None, None)
            for samples, case in cases.items()
            for name, curves in case.items()
        ),
        panels=tuple(_panel(samples, case, at) for samples, case in cases.items()),
        notes=(
            "Accuracy: at the end, on test images. Ahead of nothing: the difference to the network from nothing with "
            "the same seed, and so the same samples, test images and first head.",
            "Frozen: only the head is trained. BatchNorm's statistics are taken from the samples before each "
            "measurement, in all networks; averages over the training would lag behind and look like slow learning.",
        ),
    )


def judge_transfer(cases: Mapping[int, Case]) -> tuple[bool, str]:
    """With each number of samples the fine-tuned body must end ahead on average, by more than chance."""
    held, told = True, []
    for samples, case in cases.items():
        found = gains(case, TUNED)
        gain, room = 100 * fmean(found), 100 * CERTAIN * stdev(found) / math.sqrt(len(found))
        held &= gain > room
        tuned, nothing = (fmean(curve[-1] for curve in case[name]) for name in (TUNED, NOTHING))
        told.append(
            f"with {_samples(samples)} the fine-tuned body ends at {tuned:.1%} and the network from nothing at "
            f"{nothing:.1%}, a difference of {gain:+.1f} ± {room:.1f} points over {len(found)} seeds, "
            f"{'ahead' if gain > room else 'behind' if gain < -room else 'undecided'}"
        )
    return held, judged(held, "; ".join(told))


def gains(case: Case, name: str) -> list[float]:
    """How far a network ends ahead of the one from nothing, for each seed."""
    return [ours[-1] - theirs[-1] for ours, theirs in zip(case[name], case[NOTHING], strict=True)]


def train_body(digits: Digits, seed: int) -> tuple[ResNet, float]:
    """A network that was trained on the old classes, and its accuracy on their test images."""
    body = build_twin(DEPTH, plain=False, seed=seed, width=WIDTH, classes=OLD)
    images, labels = _of_classes(digits.images, digits.labels, new=False)
    for _ in islice(train(body, batches(images, labels, size=BODY_BATCH, seed=seed), rate=RATE), BODY_STEPS):
        pass
    test = _of_classes(digits.test_images, digits.test_labels, new=False)
    return body, _accuracy(body, images, *test)


def learning_curves(body: ResNet, digits: Digits, samples: int, at: Sequence[int], seed: int) -> dict[str, list[float]]:
    """The accuracy on the new classes after each of these numbers of steps, for each way to learn them."""
    images, labels = few_samples(digits, samples)
    test = _of_classes(digits.test_images, digits.test_labels, new=True)
    # Not the first weights that the body had.
    nothing = build_twin(DEPTH, plain=False, seed=_other(seed), width=WIDTH, classes=CLASSES - OLD)
    tuned = copy.deepcopy(body)
    tuned.fc = copy.deepcopy(nothing.fc)
    curves = {}
    for name, network in ((TUNED, tuned), (FROZEN, copy.deepcopy(tuned)), (NOTHING, nothing)):
        parameters = network.fc.parameters() if name == FROZEN else None
        training = train(network, repeat((images, labels)), rate=RATE, parameters=parameters)
        curve, done = [], 0
        for step in at:
            done += sum(1 for _ in islice(training, step - done))
            curve.append(_accuracy(network, images, *test))
        curves[name] = curve
    return curves


def few_samples(digits: Digits, samples: int) -> tuple[Tensor, Tensor]:
    """The first so many training images of each new class."""
    images, labels = _of_classes(digits.images, digits.labels, new=True)
    chosen = torch.cat([(labels == label).nonzero()[:samples, 0] for label in range(CLASSES - OLD)])
    return images[chosen], labels[chosen]


def _of_classes(images: Tensor, labels: Tensor, *, new: bool) -> tuple[Tensor, Tensor]:
    """The images of the new or of the old classes, with labels from 0."""
    chosen = (labels >= OLD) == new
    return images[chosen], labels[chosen] - OLD * new


@torch.no_grad()
def _accuracy(network: ResNet, known: Tensor, images: Tensor, labels: Tensor) -> float:
    """The share of the images that are recognized, with BatchNorm's statistics those of the images it has learned."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            # The plain average of what follows, here of one batch.
            module.momentum = None
    network.train()(known)
    right = network.eval()(images).argmax(1) == labels
    network.train()
    return float(right.float().mean())


def _other(seed: int) -> int:
    return seed ^ 2**31


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return median(values), min(values), max(values)


def _samples(count: int) -> str:
    return f"{count} labelled sample{'' if count == 1 else 's'} of each class"


def _panel(samples: int, case: Case, at: Sequence[int]) -> Panel:
    return Panel(
        title=_samples(samples).capitalize(),
        x_label="training step",
        y_label="test accuracy",
        lines=tuple(
            median_line(name, at, curves, colour=place, dashed=name == FROZEN)
            for place, (name, curves) in enumerate(case.items())
        ),
    )
