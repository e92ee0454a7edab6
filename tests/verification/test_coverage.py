"""Coverage of channels: what the inputs reach is counted rightly, what they miss is found or named."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from resnetx.graph.card import ModelCard, Weights
from resnetx.inputs.sampling import Sampling, network_inputs
from resnetx.model.deploy import Deployed
from resnetx.model.preprocessing import IMAGENET
from resnetx.verification import activity
from resnetx.verification.activity import observe
from resnetx.verification.channels import observed
from resnetx.verification.coverage import BUDGET, MOST_ADDED, cover, measure_coverage
from resnetx.verification.coverage_result import Coverage, Uncovered
from tests.conftest import random_network, tiny_config

SIZE = 16


@pytest.fixture(autouse=True)
def the_same_weights_each_time() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def samples(form: str = "none", *, size: int = SIZE) -> np.ndarray:
    card = ModelCard(
        architecture="any", weights=Weights(sha256="0"), image_size=size, preprocessing=IMAGENET, input=form
    )
    return network_inputs(card, Sampling(sizes=(1,)))


def states(coverage: Coverage) -> dict[tuple[str, str], tuple[int, ...]]:
    return {(each.layer, each.state): each.channels for each in coverage.uncovered}


class Function(nn.Module):
    """A network of one function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Counted(nn.Module):
    """Counts the samples of forward runs, and those with gradients."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.forward_samples = 0
        self.gradient_samples = 0

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.gradient_samples += len(x)
        else:
            self.forward_samples += len(x)
        result: Tensor = self.network(x)
        return result


def hard_filters(*, form: str = "none", share: float = 0.75) -> nn.Module:
    """Eight filters of which two answer only to inputs close to their own pattern, at the end of the range."""
    convolution = nn.Conv2d(3, 8, 5)
    with torch.no_grad():
        pattern = torch.from_numpy(np.random.default_rng(0).choice([-1.0, 1.0], (2, 3, 5, 5)))
        convolution.weight[2] = pattern[0]
        convolution.weight[5] = pattern[1]
        if form == "uint8":  # the response to the matching pixels 0 and 255, after the normalization
            low, high = ((torch.tensor(IMAGENET.mean).neg() + end) / torch.tensor(IMAGENET.std) for end in (0, 1))
            best = torch.where(pattern > 0, high.view(1, 3, 1, 1), low.view(1, 3, 1, 1)).mul(pattern).sum((1, 2, 3))
        else:
            best = torch.full((2,), 75.0 * float(np.abs(samples()).max()))
        convolution.bias[[2, 5]] = -share * best.float()
    network = nn.Sequential(convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    return Deployed(network, IMAGENET if form == "uint8" else None, "logits").eval()


class TestMeasure:
    @pytest.mark.parametrize(
        ("function", "missing"),
        [
            (F.relu, {"never above 0": (0, 3)}),
            (torch.relu, {"never above 0": (0, 3)}),
            (lambda x: x.relu(), {"never above 0": (0, 3)}),
            (lambda x: (x * 1).relu_(), {"never above 0": (0, 3)}),
            (lambda x: F.relu(x * 1, inplace=True), {"never above 0": (0, 3)}),
            (lambda x: x.clamp(min=0), {"never above 0": (0, 3)}),
            (lambda x: torch.clamp(x, 0, 6), {"never between 0 and 6": (0, 2, 3), "never above 6": (0, 1, 3)}),
            (lambda x: torch.clamp_min(x, 0), {"never above 0": (0, 3)}),
            (lambda x: F.threshold(x, 5.0, 0.0), {"never above 5": (0, 1, 3)}),
            (lambda x: F.threshold(x, 5.0, 1.0), {"never above 5": (0, 1, 3), "never below 5": (2,)}),
            (F.relu6, {"never between 0 and 6": (0, 2, 3), "never above 6": (0, 1, 3)}),
            (F.hardswish, {"never between -3 and 3": (0, 2), "never above 3": (0, 1, 3)}),
            (F.hardsigmoid, {"never between -3 and 3": (0, 2), "never above 3": (0, 1, 3)}),
            (F.hardtanh, {"never below -1": (1, 2, 3), "never between -1 and 1": (0, 2), "never above 1": (0, 3)}),
            (F.leaky_relu, {"never below 0": (1, 2), "never above 0": (0, 3)}),
            (lambda x: F.prelu(x, torch.ones(4)), {"never below 0": (1, 2), "never above 0": (0, 3)}),
            (F.gelu, {"never below 0": (1, 2), "never above 0": (0, 3)}),
            (F.silu, {"never below 0": (1, 2), "never above 0": (0, 3)}),
            (F.elu, {"never below 0": (1, 2), "never above 0": (0, 3)}),
            (nn.Mish(), {"never below 0": (1, 2), "never above 0": (0, 3)}),
            (nn.ReLU6(inplace=True), {"never between 0 and 6": (0, 2, 3), "never above 6": (0, 1, 3)}),
            (torch.tanh, {}),
            (lambda x: x.clamp(min=1e-6), {}),  # a guard, not an activation
            (lambda x: x.clamp(-50, 50), {}),
        ],
    )
    def test_every_spelling_of_an_activation(
        self, function: Callable[[Tensor], Tensor], missing: dict[str, tuple[int, ...]]
    ) -> None:
        """The channels hold -5, 0.5 and 2, 8, and -0.5: pieces of zeros are not asked for."""
        x = torch.tensor([[-5.0, 0.5, 8.0, -0.5], [-5.0, 2.0, 8.0, -0.5]])[..., None, None].repeat(1, 1, 2, 2)
        coverage = measure_coverage(Function(function), [x.numpy()])
        assert {state: channels for (_, state), channels in states(coverage).items()} == missing
        assert coverage.total - coverage.covered == sum(map(len, missing.values()))

    def test_layers_are_named_by_module_and_call(self) -> None:
        class Block(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = nn.Conv2d(3, 4, 3)
                self.relu = nn.ReLU(inplace=True)
                self.fc = nn.Linear(4, 5)

            def forward(self, x: Tensor) -> Tensor:
                x = self.relu(self.conv(x))
                x = F.relu6(self.relu(x - 1))
                return F.gelu(self.fc(torch.relu(x.mean((2, 3)))))

        seen: list[tuple[str, int]] = []
        network = nn.Sequential(Block(), nn.LayerNorm(5)).eval()
        with observed(network, 2, lambda layer, values: seen.append((layer.name, values.shape[1]))):
            network(torch.zeros(2, 3, 8, 8))
        assert seen == [
            *[("0.conv", 4), ("0.relu", 4), ("0.relu_1", 4), ("0.relu6", 4)],
            *[("0.relu_2", 4), ("0.fc", 5), ("0.gelu", 5)],
        ]

    def test_a_wrapper_is_not_shown(self) -> None:
        module = Deployed(random_network(tiny_config()), None, "logits").eval()
        coverage = measure_coverage(module, [samples()], wrapper="network")
        names = {each.layer for each in coverage.uncovered}
        dead = {path for path, _ in module.network.named_modules()}
        assert names and all(name.rpartition("_")[0] in dead or name in dead for name in names)

    def test_channels_behind_a_linear_layer_are_the_last_dimension(self) -> None:
        class ChannelsLast(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = nn.Conv2d(3, 6, 4, 4)
                self.up = nn.Linear(6, 10)

            def forward(self, x: Tensor) -> Tensor:
                return F.gelu(self.up(self.conv(x).permute(0, 2, 3, 1)))

        sizes: dict[str, tuple[int, ...]] = {}
        with observed(ChannelsLast(), 2, lambda layer, values: sizes.update({layer.name: tuple(values.shape)})):
            ChannelsLast()(torch.zeros(2, 3, 8, 8))
        module = ChannelsLast()
        with observed(module, 2, lambda layer, values: sizes.update({layer.name: tuple(values.shape)})):
            module(torch.zeros(2, 3, 8, 8))
        assert sizes["conv"] == (2, 6, 4) and sizes["up"] == (2, 10, 4) and sizes["gelu"] == (2, 10, 4)

    def test_windows_belong_to_their_samples(self) -> None:
        """Three windows of each of two samples are run as a batch of six."""
        module = Function(lambda x: F.relu(x.reshape(6, 5)))
        x = np.full((2, 3, 5), -1.0, np.float32)
        x[1, 2, 4] = 1
        reached = next(iter(observe(module, [torch.from_numpy(x)]).reached.values()))
        assert reached.shape == (2, 1, 5)
        assert reached.nonzero().tolist() == [[1, 0, 4]]

    def test_a_constant_channel_is_named(self) -> None:
        convolution = nn.Conv2d(3, 4, 3)
        with torch.no_grad():
            convolution.weight[1] = 0
        coverage = measure_coverage(nn.Sequential(convolution, nn.Sigmoid()), [samples()])
        assert states(coverage) == {("0", "constant"): (1,)}
        assert (coverage.total, coverage.covered) == (4, 3)

    def test_a_linear_layer_varies_over_samples(self) -> None:
        layer = nn.Linear(3, 2)
        one = np.ones((1, 3), np.float32)
        assert measure_coverage(layer, [one]).covered == 0
        assert measure_coverage(layer, [np.concatenate([one, 2 * one])]).covered == 2

    def test_nothing_to_reach_is_covered(self) -> None:
        assert measure_coverage(nn.Flatten(), [samples()]).share == 1

    @settings(deadline=None, max_examples=30)
    @given(st.integers(1, 8), st.integers(0, 3))
    def test_more_samples_never_reach_less(self, count: int, seed: int) -> None:
        module, inputs = random_network(tiny_config(), seed).eval(), samples()
        some, all_of_them = (measure_coverage(module, [array]) for array in (inputs[:count], inputs))
        assert some.total == all_of_them.total and some.covered <= all_of_them.covered

    def test_samples_of_any_size_are_run_in_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module, inputs = random_network(tiny_config()).eval(), [samples()]
        whole, added = measure_coverage(module, inputs), cover(module, inputs, share=1)
        monkeypatch.setattr(activity, "samples_at_once", lambda pixels: 3)
        assert measure_coverage(module, inputs) == whole
        parts = cover(module, inputs, share=1)
        assert parts[1].covered > whole.covered and abs(parts[1].covered - added[1].covered) <= 2

    def test_infinities_and_nan_reach_nothing(self) -> None:
        x = np.full((1, 2, 2, 2), math.nan, np.float32)
        x[0, 1] = math.inf
        assert measure_coverage(Function(F.relu), [x]).covered == 0

    def test_a_sample_that_overflows_hides_no_other(self) -> None:
        layer = nn.Linear(2, 2, bias=False)
        x = np.array([[1, 2], [2, 1], [math.inf, 0], [math.nan, 0]], np.float32)
        assert measure_coverage(layer, [x]).covered == 2
        assert measure_coverage(layer, [x[1:]]).covered == 0


class TestCover:
    @pytest.mark.parametrize("form", ["none", "uint8"])
    def test_filters_that_ordinary_inputs_never_activate_are_activated(self, form: str) -> None:
        module, inputs = hard_filters(form=form), samples(form)
        before = measure_coverage(module, [inputs], wrapper="network")
        assert states(before)["1", "never above 0"] == (2, 5)
        (grown,), after = cover(module, [inputs], share=1, wrapper="network")
        assert ("1", "never above 0") not in states(after)
        assert 1 <= after.added <= MOST_ADDED and len(grown) == len(inputs) + after.added
        assert np.array_equal(grown[: len(inputs)], inputs) and grown.dtype == inputs.dtype
        assert np.abs(grown.astype(float)).max() <= np.abs(inputs.astype(float)).max()
        # What is said to be reached is reached.
        again = measure_coverage(module, [grown], wrapper="network")
        assert (again.total, again.covered, again.uncovered) == (after.total, after.covered, after.uncovered)

    def test_random_inputs_alone_would_not_have_found_them(self) -> None:
        """So the gradients are needed: without them the two filters stay dead."""
        module = hard_filters()
        blind = Function(lambda x: module(x.detach()))
        _, after = cover(blind, [samples()], share=1, budget=4 * BUDGET)
        assert [channels for (_, state), channels in states(after).items() if state == "never above 0"] == [(2, 5)]

    def test_what_can_never_be_activated_is_named(self) -> None:
        second = nn.Conv2d(4, 4, 3)
        with torch.no_grad():
            second.weight[3] = -second.weight[3].abs()  # its input is never negative
            second.bias[3] = -0.1
        module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), second, nn.ReLU()).eval()
        _, after = cover(module, [samples()], share=1)
        assert states(after) == {("3", "never above 0"): (3,)}
        assert [each.describe() for each in after.uncovered] == ["3: channel 3 is never above 0"]

    def test_a_deep_network_with_many_dead_channels(self) -> None:
        network = random_network(tiny_config(width=16)).eval()
        with torch.no_grad():
            for child in network.modules():
                if isinstance(child, nn.BatchNorm2d):
                    child.bias[::4] -= 10
        inputs = [samples(size=32)]
        before = measure_coverage(network, inputs)
        assert before.share < 0.98
        grown, after = cover(network, inputs)
        assert after.share >= 0.99 and after.total == before.total
        assert len(grown[0]) <= len(inputs[0]) + MOST_ADDED

    def test_enough_is_enough(self) -> None:
        network = Counted(random_network(tiny_config()).eval()).eval()
        inputs = samples()
        (grown,), after = cover(network, [inputs], share=measure_coverage(network.network, [inputs]).share)
        assert np.array_equal(grown, inputs) and after.added == 0
        assert (network.forward_samples, network.gradient_samples) == (len(inputs), 0)

    @settings(deadline=None, max_examples=30)
    @given(st.integers(0, 150))
    def test_the_budget_is_kept(self, budget: int) -> None:
        network = Counted(hard_filters()).eval()
        inputs = samples()
        cover(network, [inputs], share=1, budget=budget)
        used = network.forward_samples - len(inputs) + 3 * network.gradient_samples
        assert used <= budget
        if budget > 10:
            assert used > 0

    def test_the_limit_of_magnitudes_is_kept(self) -> None:
        module = hard_filters()
        largest = float(observe(module, [torch.from_numpy(samples())]).largest().max())
        (grown,), _ = cover(module, [samples()], share=1)
        reached = float(observe(module, [torch.from_numpy(grown)]).largest().max())
        assert reached > largest  # without a limit
        (held,), after = cover(module, [samples()], share=1, limit=largest)
        assert float(observe(module, [torch.from_numpy(held)]).largest().max()) <= largest
        assert measure_coverage(module, [held]).covered == after.covered

    def test_a_network_is_left_as_it_was(self) -> None:
        module = hard_filters()
        before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        inputs = samples()
        kept = inputs.copy()
        cover(module, [inputs], share=1)
        assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
        assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())
        assert all(not child._forward_hooks and not child._forward_pre_hooks for child in module.modules())
        assert np.array_equal(inputs, kept) and torch.is_grad_enabled()

    def test_the_same_seed_finds_the_same(self) -> None:
        module, inputs = random_network(tiny_config(width=16)).eval(), [samples(size=32)]
        first, second, other = (cover(module, inputs, share=1, budget=20, seed=seed) for seed in (1, 1, 2))
        assert np.array_equal(first[0][0], second[0][0]) and first[1] == second[1]
        assert not np.array_equal(first[0][0], other[0][0])

    def test_a_network_without_gradients_is_searched_at_random(self) -> None:
        """A step function has none, and what reaches beyond the step is rare."""

        class Stepped(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = nn.Conv2d(3, 4, 1, bias=False)
                self.conv.weight = nn.Parameter(torch.rand(4, 3, 1, 1) + 0.1)

            def forward(self, x: Tensor) -> Tensor:
                return F.relu(self.conv(x.round()).round() - 40)

        quiet = np.clip(samples(), -1, 1)
        quiet[0, 0, 0, 0] = -500  # inputs may be so large
        module = Stepped().eval()
        before = measure_coverage(module, [quiet])
        _, after = cover(module, [quiet], share=1)
        assert states(before) == {("relu", "never above 0"): (0, 1, 2, 3)} and after.share == 1

    def test_inputs_of_several_kinds(self) -> None:
        """Pixels, and indices which nothing changes."""

        class Two(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.table = nn.Embedding(5, 3)
                self.conv = nn.Conv2d(3, 6, 3)

            def forward(self, pixels: Tensor, index: Tensor) -> Tensor:
                shifted = pixels.float() / 255 + self.table(index)[..., None, None]
                return F.relu(self.conv(shifted) - 1.2)

        pixels = samples("uint8").transpose(0, 3, 1, 2)[3:4].copy()
        index = np.array([3])
        module = Two().eval()
        before = measure_coverage(module, [pixels, index])
        (more, indices), after = cover(module, [pixels, index], share=1)
        assert after.covered > before.covered and after.added
        assert more.dtype == np.uint8 and set(indices) == {3} and len(more) == len(indices) == 1 + after.added

    def test_half_and_double_precision(self) -> None:
        for dtype in (torch.float64, torch.bfloat16):
            _, after = cover(hard_filters().to(dtype), [samples()], share=1)
            assert after.added


class TestResult:
    def test_ranges_of_channels(self) -> None:
        channels = (0, 2, 3, 4, 7, 9, 11, 13, 15, 17, 19, 21)
        uncovered = Uncovered(layer="layer1.relu", channels=channels, state="never above 0")
        assert uncovered.describe(most=3) == ("layer1.relu: channels 0, 2-4, 7 and 7 more ranges are never above 0")

    def test_json(self) -> None:
        coverage = Coverage(total=10, covered=8, uncovered=(Uncovered(layer="a", channels=(1, 2), state="constant"),))
        data: dict[str, Any] = coverage.to_json()
        assert data == {
            "total": 10,
            "covered": 8,
            "added": 0,
            "uncovered": [{"layer": "a", "channels": [1, 2], "state": "constant"}],
        }
        assert coverage.share == 0.8
