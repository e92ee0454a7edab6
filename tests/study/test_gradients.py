"""The study of gradients: the norms are those of autograd, and the verdict follows from them by a rule."""

import math

import pytest
import torch
from torch.nn import functional

from resnetx.errors import UsageError
from resnetx.study.digits import load_digits
from resnetx.study.gradients import GradientOptions, Norms, judge_gradients, layer_norms, study_gradients
from resnetx.study.networks import build_twin

TINY = GradientOptions(depths=(8, 14), steps=(0, 2))


@pytest.mark.parametrize("plain", [True, False])
def test_the_norms_are_those_that_autograd_gives_by_hand(plain: bool) -> None:
    digits = load_digits(0)
    images, labels = digits.images[:32], digits.labels[:32]
    network = build_twin(8, plain=plain, seed=0)
    loss, norms = layer_norms(network, images, labels)
    by_hand = build_twin(8, plain=plain, seed=0)
    blocks = [block for stage in (by_hand.layer1, by_hand.layer2, by_hand.layer3) for block in stage]  # type: ignore[union-attr]
    weights = [by_hand.conv1.weight, *(conv.weight for block in blocks for conv in (block.conv1, block.conv2))]
    value = functional.cross_entropy(by_hand(images), labels)
    expected = [float(gradient.square().sum().sqrt()) for gradient in torch.autograd.grad(value, weights)]
    assert len(norms) == 8 - 1  # the classifier is no convolution
    assert loss == value.item() and norms == pytest.approx(expected, rel=1e-5)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    one, same = study_gradients(TINY), study_gradients(TINY)
    assert one.to_json() == same.to_json()
    other = study_gradients(GradientOptions(depths=(8, 14), steps=(0, 2), seed=1))
    assert other.panels != one.panels


def test_every_network_has_a_line_in_every_panel_and_the_table_its_shallow_layers() -> None:
    study = study_gradients(TINY)
    assert [panel.title for panel in study.panels] == [
        "Without BatchNorm, before training",
        "Without BatchNorm, after 2 steps",
        "With BatchNorm, before training",
        "With BatchNorm, after 2 steps",
    ]
    names = ["plain 8", "residual 8", "plain 14", "residual 14"]
    assert all([line.name for line in panel.lines] == names for panel in study.panels)
    assert {len(line.x) for panel in study.panels for line in panel.lines} == {7, 13}
    first = dict(zip([column.title for column in study.columns], study.rows[0], strict=True))
    shallow = sorted(value or 0 for value in study.panels[0].lines[0].y[:2])
    assert first["layers"] == 8 and first["plain: gradient"] == pytest.approx(sum(shallow) / 2)
    assert len(study.rows) == 2 * 2 * 2


def norms(plain: bool, normalized: bool, *shallow: float, step: int = 0) -> list[Norms]:
    """Made-up networks of 20 and 56 layers, the norms of whose shallow layers are given."""
    common = {"plain": plain, "normalized": normalized, "step": step, "loss": 1.0}
    return [
        Norms(depth=depth, layers=(value,) * depth, **common)  # type: ignore[arg-type]
        for depth, value in zip((20, 56), shallow, strict=True)
    ]


EVEN = [*norms(True, True, 1.0, 1.0), *norms(False, True, 1.0, 1.0)]


@pytest.mark.parametrize(
    ("plain", "residual", "held"),
    [
        ((1e-3, 1e-9), (0.1, 0.1), True),
        ((1e-3, 0.0), (0.1, 20.0), True),
        ((0.0, 0.0), (0.1, 0.1), True),
        ((1e-3, 1e-4), (0.1, 0.011), True),
        ((1e-3, 2e-4), (0.1, 0.1), False),
        ((1e-3, 1e-9), (0.1, 0.01), False),
        ((1e-3, 1e-9), (0.1, math.nan), False),
        ((1e-3, 1e-9), (0.1, math.inf), False),
        ((1e-3, math.nan), (0.1, 0.1), False),
        ((1e-9, 1e-3), (0.1, 0.1), False),
    ],
)
def test_the_verdict_turns_with_the_numbers(
    plain: tuple[float, float], residual: tuple[float, float], held: bool
) -> None:
    found, verdict = judge_gradients([*norms(True, False, *plain), *norms(False, False, *residual), *EVEN])
    assert found == held
    assert verdict.startswith("The claim held:" if held else "The claim did not hold in this run:")


def test_the_claim_must_hold_after_every_number_of_steps_and_the_failure_is_told() -> None:
    start = [*norms(True, False, 1e-3, 1e-9), *norms(False, False, 0.1, 0.1), *EVEN]
    later = [
        *norms(True, False, 1e-3, 5e-3, step=7),
        *norms(False, False, 0.1, 0.1, step=7),
        *norms(True, True, 1.0, 1.0, step=7),
        *norms(False, True, 1.0, 1.0, step=7),
    ]
    held, verdict = judge_gradients(start + later)
    assert (
        not held
        and "from 0.001 to 0.005 in the plain networks and from 0.1 to 0.1 in the residual ones after 7 steps"
        in verdict
    )
    assert "1e-09" not in verdict


@pytest.mark.parametrize(
    ("plain", "words"),
    [((1.0, 1e4), "does not fall: it goes from 1 to 10,000"), ((1.0, 1e-4), "falls too: it goes from 1 to 0.0001")],
)
def test_what_batchnorm_does_is_told_from_the_numbers(plain: tuple[float, float], words: str) -> None:
    made_up = [*norms(True, False, 1e-3, 1e-9), *norms(False, False, 0.1, 0.1), *norms(True, True, *plain)]
    _, verdict = judge_gradients([*made_up, *norms(False, True, 1.0, 1.0)])
    assert f"With BatchNorm that of the plain networks {words}" in verdict


@pytest.mark.parametrize(
    "wrong",
    [
        {"depths": (20,)},
        {"depths": (56, 20)},
        {"depths": (20, 21)},
        {"depths": (2, 20)},
        {"depths": (20, 10**9 * 6 + 2)},
        {"steps": (-1,)},
        {"steps": (10, 0)},
        {"steps": (0, 10**6)},
        {"steps": ()},
        {"steps": tuple(range(7))},
        {"depths": tuple(range(8, 50, 6))},
    ],
)
def test_settings_that_make_no_study_are_refused(wrong: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(UsageError, match=r"--depths takes|--steps takes|cannot be built"):
        GradientOptions(**wrong)  # type: ignore[arg-type]


def test_a_training_that_diverges_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetx.study.gradients.RATE", 1e30)
    study = study_gradients(TINY)
    assert not study.held and study.verdict.startswith("The claim did not hold in this run")
    assert None in {value for row in study.rows for value in row}
