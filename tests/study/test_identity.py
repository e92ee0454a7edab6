"""The study of the identity: a block with a last scale of 0 is it exactly, and the verdict follows by a rule."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from resnetx.errors import UsageError
from resnetx.model.config import Block
from resnetx.model.network import BasicBlock
from resnetx.study.identity import (
    CHANNELS,
    IdentityOptions,
    Learning,
    build_block,
    identity_error,
    judge_identity,
    learn_identity,
    study_identity,
)

TINY = IdentityOptions(error=0.9, steps=10, seeds=3)
BLOCKS = ("basic", "bottleneck")


def last_norm(block: Block, *, plain: bool, seed: int) -> tuple[nn.Module, nn.BatchNorm2d]:
    network = build_block(block, plain=plain, seed=seed)
    return network, network.bn2 if isinstance(network, BasicBlock) else network.bn3


@torch.no_grad()
@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(BLOCKS),
    st.booleans(),
    st.integers(0, 2**63 - 1),
    st.floats(-30, 30),
    st.integers(2, 5),
    st.integers(1, 9),
)
def test_a_residual_block_with_a_last_scale_of_0_is_the_identity(
    block: Block, training: bool, seed: int, power: float, batch: int, side: int
) -> None:
    network, last = last_norm(block, plain=False, seed=seed)
    last.weight.zero_()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, CHANNELS, side, side, generator=generator).relu() * 2.0**power
    assert torch.equal(network.train(training)(x), x)


@torch.no_grad()
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("block", BLOCKS)
def test_a_plain_block_with_a_last_scale_of_0_is_its_bias_behind_a_relu(block: Block, training: bool) -> None:
    network, last = last_norm(block, plain=True, seed=0)
    last.weight.zero_()
    last.bias.copy_(torch.linspace(-1, 1, CHANNELS))
    x = torch.rand(4, CHANNELS, 8, 8)
    assert torch.equal(network.train(training)(x), last.bias.relu()[:, None, None].expand_as(x))
    assert identity_error(block, plain=True, seed=0) == 1.0


@torch.no_grad()
@pytest.mark.parametrize("block", BLOCKS)
def test_another_scale_or_a_negative_input_is_no_identity(block: Block) -> None:
    network, last = last_norm(block, plain=False, seed=0)
    x = torch.rand(4, CHANNELS, 8, 8)
    assert not torch.equal(network(x), x)
    last.weight.zero_()
    assert torch.equal(network(-x), torch.zeros_like(x))


@pytest.mark.parametrize("block", BLOCKS)
def test_the_twins_begin_with_the_same_weights_and_learn(block: Block) -> None:
    residual, plain = (build_block(block, plain=each, seed=4).state_dict() for each in (False, True))
    assert residual.keys() == plain.keys() and all(torch.equal(plain[name], residual[name]) for name in plain)
    errors = learn_identity(block, plain=False, rate=1.0, at=(0, 60), seed=0)
    assert errors[1] < errors[0] / 2


def test_a_training_that_diverges_has_infinite_errors_from_then_on() -> None:
    errors = learn_identity("basic", plain=True, rate=1e30, at=(0, 1, 20, 30), seed=0)
    assert math.isfinite(errors[0]) and errors[2:] == (math.inf, math.inf)


AT = (0, 5, 10)


def learned(residual: list[list[float]], plain: list[list[float]], rate: float = 0.1) -> list[Learning]:
    return [
        Learning(block="basic", plain=each, rate=rate, curves=tuple(map(tuple, curves)))
        for each, curves in ((False, residual), (True, plain))
    ]


FAST, SLOW, NEVER = [1.0, 0.01, 1e-9], [1.0, 0.5, 0.01], [1.0, 0.9, 0.5]


@pytest.mark.parametrize(
    ("residual", "plain", "exact", "held", "words"),
    [
        ([FAST, FAST], [NEVER, NEVER], 0.0, True, "5 to 5 steps against more than 10"),
        ([FAST, FAST], [SLOW, NEVER], 0.0, True, "5 to 5 steps against 10 to more than 10"),
        ([FAST, FAST], [SLOW, FAST], 0.0, False, "5 to 5 steps against 5 to 10 (against the claim)"),
        ([FAST, SLOW], [SLOW, NEVER], 0.0, False, "5 to 10 steps against 10 to more than 10 (against"),
        ([NEVER, NEVER], [NEVER, NEVER], 0.0, False, "more than 10 steps against more than 10 (against"),
        ([NEVER, NEVER], [FAST, FAST], 0.0, False, "more than 10 steps against 5 to 5 (against"),
        ([[math.inf] * 3, FAST], [NEVER, NEVER], 0.0, False, "5 to more than 10 steps"),
        ([FAST, FAST], [NEVER, NEVER], 1e-7, False, "is not the identity, with an error of 1e-07"),
    ],
)
def test_the_verdict_turns_with_the_numbers(
    residual: list[list[float]], plain: list[list[float]], exact: float, held: bool, words: str
) -> None:
    found, verdict = judge_identity(learned(residual, plain), {("basic", False): exact, ("basic", True): 1.0}, AT, 0.01)
    assert found == held and words in verdict
    assert verdict.startswith("The claim held:" if held else "The claim did not hold in this run:")


def test_the_claim_must_hold_with_every_learning_rate() -> None:
    both = [*learned([FAST], [NEVER]), *learned([SLOW], [FAST], rate=1.0)]
    held, verdict = judge_identity(both, {("basic", False): 0.0, ("basic", True): 1.0}, AT, 0.01)
    assert not held and verdict.count("against the claim") == 1


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetx.study.identity.RATES", (0.1,))
    study = study_identity(TINY)
    assert study.to_json() == study_identity(TINY).to_json()
    assert study.panels != study_identity(IdentityOptions(error=0.9, steps=10, seeds=3, seed=2**63 - 1)).panels
    assert len(study.panels) == len(BLOCKS) and len(study.rows) == 2 * len(study.panels)
    assert [row[-1] for row in study.rows] == [0.0, 1.0] * len(study.panels)
    for panel in study.panels:
        assert [line.name for line in panel.lines] == ["residual", "plain"]
        for line in panel.lines:
            for low, middle, high in zip(line.low, line.y, line.high, strict=True):
                assert low is not None and middle is not None and high is not None and low <= middle <= high


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"error": 0.0}, "--error takes"),
        ({"error": math.nan}, "--error takes"),
        ({"error": 1.0}, "--error takes"),
        ({"steps": 9}, "--steps takes"),
        ({"seeds": 2}, "--seeds takes"),
        ({"seeds": 101}, "--seeds takes"),
    ],
)
def test_settings_that_make_no_study_are_refused(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        IdentityOptions(**wrong)  # type: ignore[arg-type]
