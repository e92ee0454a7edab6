"""The study of depth: the curves are those of the training, and the verdict follows from them by a rule."""

import math

import pytest

from resnetx.errors import UsageError
from resnetx.study.depth import Curve, DepthOptions, Pass, deepest_passes, judge_depth, study_depth
from resnetx.study.digits import load_digits

STEPS = 20


def curves(plain: bool, *finals: float) -> list[Curve]:
    """Made-up trainings of networks of 8 and 56 layers that end with these losses."""
    return [
        Curve(depth=depth, plain=plain, losses=(2.3,) * (STEPS - 2) + (final,) * 2, steps=STEPS)
        for depth, final in zip((8, 56), finals, strict=True)
    ]


def passes(*residual: float) -> list[Pass]:
    return [Pass(plain=plain, loss=2.3, layers=residual) for plain in (True, False)]


SOUND = passes(1.0, 20.0, 300.0)


@pytest.mark.parametrize(
    ("plain", "residual", "deepest", "held"),
    [
        ((0.1, 2.0), (0.1, 0.1), SOUND, True),
        ((0.1, 2.0), (0.1, 0.01), SOUND, True),
        ((0.1, 2.0), (0.1, 0.19), SOUND, True),
        ((0.1, math.inf), (0.1, 0.1), SOUND, True),
        ((0.1, 0.15), (0.1, 0.1), SOUND, False),
        ((0.1, 2.0), (0.1, 0.3), SOUND, False),
        ((0.1, 2.0), (0.1, math.nan), SOUND, False),
        ((0.1, 2.0), (math.inf, math.inf), SOUND, False),
        ((0.1, 2.0), (0.1, 0.1), passes(1.0, 0.0, 300.0), False),
        ((0.1, 2.0), (0.1, 0.1), passes(1.0, 1e-9, 300.0), False),
        ((0.1, 2.0), (0.1, 0.1), passes(1.0, math.inf, 300.0), False),
        ((0.1, 2.0), (0.1, 0.1), passes(1.0, math.nan, 300.0), False),
    ],
)
def test_the_verdict_turns_with_the_numbers(
    plain: tuple[float, float], residual: tuple[float, float], deepest: list[Pass], held: bool
) -> None:
    found, verdict = judge_depth([*curves(True, *plain), *curves(False, *residual)], deepest)
    assert found == held
    assert verdict.startswith("The claim held:" if held else "The claim did not hold in this run:")
    assert "from 8 to 56 layers the final loss goes from 0.1 to" in verdict


def test_a_training_that_ended_early_has_no_final_loss() -> None:
    assert Curve(depth=8, plain=True, losses=(2.3, math.nan), steps=STEPS).final == math.inf
    assert Curve(depth=8, plain=True, losses=(2.3,) * 19 + (math.inf,), steps=STEPS).final == math.inf
    assert Curve(depth=8, plain=True, losses=(2.0,) * 18 + (1.0, 0.5), steps=STEPS).final == 0.75


@pytest.fixture
def few_deep_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetx.study.depth.DEEPEST", 50)
    monkeypatch.setattr("resnetx.study.depth.DEEPEST_SIZE", 32)


@pytest.mark.usefixtures("few_deep_layers")
def test_the_same_seed_gives_the_same_numbers_and_the_loss_falls() -> None:
    options = DepthOptions(depths=(8, 14), steps=20)
    study = study_depth(options)
    assert study.to_json() == study_depth(options).to_json()
    assert [line.name for line in study.panels[0].lines] == ["plain 8", "plain 14"]
    assert [len(line.x) for panel in study.panels[:2] for line in panel.lines] == [20] * 4
    rows = {str(row[0]): row[1:] for row in study.rows}
    first, final, *gradients = rows["residual 8"]
    assert isinstance(first, float) and isinstance(final, float) and final < first
    assert gradients == [None] * 3
    assert [len(line.x) for line in study.panels[2].lines] == [49, 49]


def test_a_residual_network_of_152_layers_has_sound_gradients_in_all_of_them() -> None:
    """The real one, of full width, on images as small as it takes."""
    plain, residual = deepest_passes(load_digits(0), 0, size=32)
    assert len(plain.layers) == len(residual.layers) == 151
    assert residual.sound and not residual.plain and plain.plain
    assert plain.layers != residual.layers


@pytest.mark.parametrize("wrong", [{"steps": 9}, {"steps": 10**6}, {"depths": (8,)}, {"depths": (9, 20)}])
def test_settings_that_make_no_study_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"--depths takes|--steps takes|cannot be built"):
        DepthOptions(**wrong)  # type: ignore[arg-type]
