"""The samples show faults that ordinary images hide, and by far: in multiples of float32's own error."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resnetx.graph.card import ModelCard, Weights
from resnetx.inputs.sampling import Sampling, network_inputs
from resnetx.inputs.synthetic import card_inputs, smooth_images
from resnetx.model.deploy import Deployed
from resnetx.model.preprocessing import IMAGENET
from tests.conftest import random_network, tiny_config

SIZE = 32
SEEDS = (0, 1, 2)
# What counts as seen: so many times the error of float32.
SEEN = 16.0

Change = Callable[[Tensor], Tensor]


class Faulty(nn.Module):
    """A network with changes of its input, of the output of its first ReLU, and of its logits."""

    def __init__(self, form: str, *, image: Change, hidden: Change, logits: Change, kernel: float) -> None:
        super().__init__()
        network = random_network(tiny_config())
        with torch.no_grad():
            # The sixth difference along both axes: a smooth checkerboard, which answers to high frequencies only.
            difference = torch.tensor([1.0, -6, 15, -20, 15, -6, 1]) / 20
            network.conv1.weight += kernel * torch.outer(difference, difference) * network.conv1.weight.std()
        self.deployed = Deployed(network, IMAGENET if form == "uint8" else None, "logits")
        self.image, self.logits = image, logits
        network.relu.register_forward_hook(lambda _, __, output: hidden(output))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.logits(self.deployed(self.image(x)))
        return result


def network(
    form: str = "none",
    *,
    image: Change = lambda x: x,
    hidden: Change = lambda x: x,
    logits: Change = lambda x: x,
    kernel: float = 0.0,
) -> nn.Module:
    return Faulty(form, image=image, hidden=hidden, logits=logits, kernel=kernel).eval()


def card(form: str) -> ModelCard:
    return ModelCard(
        architecture="any", weights=Weights(sha256="0"), image_size=SIZE, preprocessing=IMAGENET, input=form
    )


@torch.no_grad()
def outputs(module: nn.Module, inputs: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    tensor = torch.from_numpy(inputs)
    return module.to(dtype)(tensor.to(dtype) if tensor.is_floating_point() else tensor).double().numpy()


@cache
def samples(form: str, seed: int, kind: str) -> np.ndarray:
    if kind == "smooth":
        return card_inputs(card(form), smooth_images(8, SIZE, seed))
    return network_inputs(card(form), Sampling(sizes=(1,), seed=seed))


@cache
def truth_and_noise(form: str, seed: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The healthy network's answers, and the error of float32 for each sample."""
    inputs = samples(form, seed, kind)
    truth = outputs(network(form), inputs, torch.float64)
    error = np.sqrt(np.mean((outputs(network(form), inputs, torch.float32) - truth) ** 2, 1))
    return truth, np.maximum(error, 2e-7 * np.sqrt(np.mean(truth**2, 1)))


def seen(module: nn.Module, form: str, seed: int, kind: str) -> float:
    """The error of the worst sample in multiples of float32's."""
    truth, noise = truth_and_noise(form, seed, kind)
    error = np.sqrt(np.mean((outputs(module, samples(form, seed, kind), torch.float64) - truth) ** 2, 1))
    return float(np.max(np.nan_to_num(error, nan=np.inf) / noise))


def total(x: Tensor) -> Tensor:
    return x.abs().sum((1, 2, 3), keepdim=True)


FAULTS: dict[str, dict[str, object]] = {
    "inputs are clipped at 50": {"image": lambda x: x.clamp(-50, 50)},
    "inputs are clipped at 50 on one side": {"image": lambda x: x.clamp(min=-50)},
    "activations are clipped at 200": {"hidden": lambda x: x.clamp(max=200)},
    "logits are clipped at 120": {"logits": lambda x: x.clamp(-120, 120)},
    "zeros are divided by zeros": {"image": lambda x: x * (total(x) / total(x))},
    "small inputs are flushed": {"image": lambda x: x.where(x.abs() > 3e-4, 0)},
    "small steps are lost": {"image": lambda x: (x * 2**12).round() / 2**12},
    "inputs are stored in half precision": {"image": lambda x: x.half().to(x.dtype)},
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_large_and_small_values_show(name: str, seed: int) -> None:
    assert seen(network(**FAULTS[name]), "none", seed, "all kinds") > SEEN  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in FAULTS if "clipped" in name or "zeros" in name])
def test_ordinary_images_hide_them(name: str) -> None:
    """So these tests would fail on images alone."""
    assert seen(network(**FAULTS[name]), "none", 0, "smooth") < SEEN  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("form", ["none", "uint8"])
def test_a_checkerboard_in_the_first_kernel_shows_much_more_than_on_smooth_images(form: str, seed: int) -> None:
    module = network(form, kernel=1e-3)
    textured, smooth = (seen(module, form, seed, kind) for kind in ("all kinds", "smooth"))
    assert textured > 10 * smooth and textured > 10 * SEEN


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("name", "image"),
    {
        "the last pixel value is lost": lambda x: x.clamp(max=254),
        "the lowest bit is lost": lambda x: x // 2 * 2,
        "black becomes dark": lambda x: x.clamp(min=1),
        "pixels are signed": lambda x: x.to(torch.int8),
        "colours are reversed": lambda x: x.flip(-1),
        "rows are mirrored": lambda x: x.flip(2),
        "the last row is lost": lambda x: torch.cat([x[:, :-1], x[:, -2:-1]], 1),
    }.items(),
)
def test_faults_of_pixels_show(name: str, image: Change, seed: int) -> None:
    assert seen(network("uint8", image=image), "uint8", seed, "all kinds") > SEEN
