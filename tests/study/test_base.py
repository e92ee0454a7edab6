"""What the studies share: the digits, the twins and the training."""

import math
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from resnetx.errors import MissingExtraError
from resnetx.study import requirements
from resnetx.study.digits import batches, load_digits
from resnetx.study.networks import build_twin
from resnetx.study.result import finite, in_digits
from resnetx.study.training import one_thread, train


def test_the_digits_are_split_by_the_seed_and_normalized() -> None:
    digits, same, other = load_digits(0), load_digits(0), load_digits(1)
    assert digits.images.shape == (1437, 1, 8, 8) and digits.test_images.shape == (360, 1, 8, 8)
    assert torch.equal(digits.images, same.images) and not torch.equal(digits.images, other.images)
    assert digits.images.mean().item() == pytest.approx(0, abs=1e-5)
    assert digits.images.std().item() == pytest.approx(1, abs=1e-5)
    assert sorted(set(digits.labels.tolist())) == list(range(10))
    both = torch.cat([digits.labels, digits.test_labels])
    assert torch.equal(both.bincount(), torch.cat([other.labels, other.test_labels]).bincount())


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 15), st.integers(0, 2**63 - 1))
def test_each_epoch_shows_an_image_once_at_most(count: int, size: int, seed: int) -> None:
    values = torch.arange(count)
    size = min(size, count)
    epoch = list(islice(batches(values, values, size=size, seed=seed), count // size))
    seen = torch.cat([images for images, _ in epoch])
    assert len(set(seen.tolist())) == len(seen) == count // size * size
    assert all(torch.equal(images, targets) for images, targets in epoch)


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("depth", [8, 20])
def test_twins_share_every_weight_that_both_have(depth: int, normalized: bool) -> None:
    plain, residual = (build_twin(depth, plain=each, seed=3, normalized=normalized) for each in (True, False))
    theirs = residual.state_dict()
    assert plain.state_dict() and all(torch.equal(value, theirs[name]) for name, value in plain.state_dict().items())
    assert all(".downsample." in name for name in theirs.keys() - plain.state_dict().keys())
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in plain.modules()) == depth
    assert any(isinstance(module, nn.BatchNorm2d) for module in residual.modules()) == normalized
    assert plain.training and residual.training


def test_the_shortcuts_alone_make_the_twins_differ() -> None:
    """Without them, which is what `plain` means, the residual twin computes what the plain one does."""
    images = load_digits(0).images[:8]
    plain, residual = (build_twin(8, plain=each, seed=0) for each in (True, False))
    assert not torch.allclose(plain(images), residual(images))
    for module in residual.modules():
        if hasattr(module, "plain"):
            module.plain = True
    assert torch.equal(plain(images), residual(images))


def test_the_steps_are_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # set by torch with its optimizers
    digits = load_digits(0)
    ours, theirs = (build_twin(8, plain=False, seed=0) for _ in range(2))
    images = batches(digits.images, digits.labels, size=16, seed=0)
    losses = list(islice(train(ours, images, rate=0.05), 4))
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)
    for loss, (batch, labels) in zip(losses, batches(digits.images, digits.labels, size=16, seed=0), strict=False):
        value = nn.functional.cross_entropy(theirs(batch), labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        assert loss == pytest.approx(value.item(), rel=1e-5)
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    assert all(torch.allclose(one, other, rtol=1e-4, atol=1e-6) for one, other in pairs)


def test_a_clipped_gradient_takes_a_step_of_that_length() -> None:
    layer = nn.Linear(1, 1, bias=False)
    before, image = layer.weight.item(), torch.full((1, 1), 1000.0)
    next(train(layer, iter([(image, image)]), rate=0.5, clip=0.25, loss=lambda found, _: found.sum()))
    assert layer.weight.item() == pytest.approx(before - 0.5 * 0.25, rel=1e-4)


def test_only_the_parameters_that_are_named_are_trained_and_no_loss_follows_one_that_is_not_finite() -> None:
    network = build_twin(8, plain=False, seed=0)
    before = {name: value.clone() for name, value in network.named_parameters()}
    digits = load_digits(0)
    next(
        train(
            network, batches(digits.images, digits.labels, size=8, seed=0), rate=0.1, parameters=network.fc.parameters()
        )
    )
    changed = {name for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"fc.weight", "fc.bias"}
    losses = list(islice(train(network, batches(digits.images, digits.labels, size=8, seed=0), rate=1e30), 50))
    assert len(losses) < 50 and not math.isfinite(losses[-1]) and all(map(math.isfinite, losses[:-1]))


def test_the_number_of_threads_is_restored() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), one_thread():
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("absent", "picture", "words"),
    [
        ({"sklearn"}, False, "needs scikit-learn, which is not installed"),
        ({"matplotlib"}, True, "needs matplotlib, which is not installed"),
        ({"sklearn", "matplotlib"}, True, "needs scikit-learn and matplotlib, which are not installed"),
    ],
)
def test_what_is_missing_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, absent: set[str], picture: bool, words: str
) -> None:
    monkeypatch.setattr(requirements, "find_spec", lambda name: None if name in absent else name)
    with pytest.raises(MissingExtraError, match=words) as error:
        requirements.require_packages(picture=picture)
    assert "pip install 'resnetx[study]'" in str(error.value)


def test_without_a_picture_matplotlib_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "find_spec", lambda name: None if name == "matplotlib" else name)
    requirements.require_packages(picture=False)


def test_numbers_that_json_cannot_hold_are_none() -> None:
    assert [finite(value) for value in (1.0, 0.0, math.nan, math.inf, -math.inf)] == [1.0, 0.0, None, None, None]
    assert [in_digits(value) for value in (0, 2.11e-05, 0.716, 31969.3)] == ["0", "2.1e-05", "0.72", "31,969"]
