"""The study of transfer: who is trained on what, and the verdict follows from the accuracies by a rule."""

import pytest
import torch

from resnetx.errors import UsageError
from resnetx.study import transfer
from resnetx.study.digits import Digits, load_digits
from resnetx.study.transfer import (
    FROZEN,
    NOTHING,
    TUNED,
    TransferOptions,
    few_samples,
    gains,
    judge_transfer,
    learning_curves,
    study_transfer,
    train_body,
)

TINY = TransferOptions(samples=(1, 3), steps=10, seeds=3, seed=2**63 - 1)


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load_digits(0)


@pytest.fixture(autouse=True)
def short_training_of_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "BODY_STEPS", 30)
    monkeypatch.setattr(transfer, "WIDTH", 8)


@pytest.mark.parametrize("samples", [1, 4])
def test_the_samples_are_training_images_so_many_of_each_new_class(digits: Digits, samples: int) -> None:
    images, labels = few_samples(digits, samples)
    assert labels.bincount().tolist() == [samples] * 5
    for image, label in zip(images, labels, strict=True):
        (places,) = torch.where((digits.images == image).flatten(1).all(1))
        assert label + 5 in digits.labels[places]


def test_the_body_learns_the_old_classes_and_is_left_as_it_was(digits: Digits) -> None:
    body, accuracy = train_body(digits, 0)
    assert accuracy > 0.8
    before = {name: value.clone() for name, value in body.named_parameters()}
    curves = learning_curves(body, digits, 2, (0, 5, 10), 0)
    assert list(curves) == [TUNED, FROZEN, NOTHING] and {len(curve) for curve in curves.values()} == {3}
    assert all(torch.equal(value, before[name]) for name, value in body.named_parameters())
    # The same body with the same head, before training.
    assert curves[TUNED][0] == curves[FROZEN][0]
    assert curves[TUNED] != curves[FROZEN] != curves[NOTHING]


def test_the_accuracy_does_not_depend_on_what_was_measured_before(digits: Digits) -> None:
    body, _ = train_body(digits, 0)
    images, labels = few_samples(digits, 3)
    first = transfer._accuracy(body, images, digits.test_images, digits.test_labels)
    transfer._accuracy(body, digits.images * 5, digits.test_images, digits.test_labels)
    assert transfer._accuracy(body, images, digits.test_images, digits.test_labels) == first
    assert body.training and len(labels) == 15


def case(tuned: list[float], nothing: list[float]) -> dict[str, list[list[float]]]:
    """Made-up curves that end with these accuracies."""
    return {
        name: [[0.2, end] for end in ends] for name, ends in ((TUNED, tuned), (FROZEN, nothing), (NOTHING, nothing))
    }


AHEAD = case([0.8, 0.7, 0.9], [0.6, 0.5, 0.68])
BEHIND = case([0.6, 0.5, 0.68], [0.8, 0.7, 0.9])
UNDECIDED = case([0.8, 0.7, 0.9], [0.6, 0.72, 0.8])
SAME = case([0.8, 0.7, 0.9], [0.8, 0.7, 0.9])


@pytest.mark.parametrize(
    ("cases", "held", "words"),
    [
        ({1: AHEAD}, True, ["with 1 labelled sample of each class", "+20.7 ± 2.0 points over 3 seeds, ahead"]),
        ({1: BEHIND}, False, ["-20.7 ± 2.0 points", "behind"]),
        ({2: UNDECIDED}, False, ["with 2 labelled samples", "undecided"]),
        ({1: SAME}, False, ["+0.0 ± 0.0 points", "undecided"]),
        ({1: AHEAD, 5: UNDECIDED}, False, ["ahead; with 5", "undecided"]),
        ({1: AHEAD, 5: AHEAD}, True, ["ahead; with 5"]),
    ],
)
def test_the_verdict_turns_with_the_numbers(
    cases: dict[int, dict[str, list[list[float]]]], held: bool, words: list[str]
) -> None:
    found, verdict = judge_transfer(cases)
    assert found == held and all(each in verdict for each in words), verdict
    assert verdict.startswith("The claim held:" if held else "The claim did not hold in this run:")


def test_gains_are_those_of_the_same_seed() -> None:
    assert gains(UNDECIDED, TUNED) == pytest.approx([0.2, -0.02, 0.1])
    assert gains(UNDECIDED, FROZEN) == [0, 0, 0]


def test_the_same_seed_gives_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "BODY_STEPS", 3)
    study = study_transfer(TINY)
    assert study.to_json() == study_transfer(TINY).to_json()
    assert [panel.title for panel in study.panels] == [
        "1 labelled sample of each class",
        "3 labelled samples of each class",
    ]
    assert [row[:2] for row in study.rows] == [(count, name) for count in (1, 3) for name in (TUNED, FROZEN, NOTHING)]
    for row in study.rows:
        assert isinstance(row[2], float) and 0 <= row[2] <= 1
        assert (row[5] is None) == (row[1] == NOTHING)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"samples": ()}, "--samples takes"),
        ({"samples": (0, 1)}, "--samples takes"),
        ({"samples": (5, 1)}, "--samples takes"),
        ({"samples": (51,)}, "--samples takes"),
        ({"steps": 100_001}, "--steps takes"),
        ({"seeds": 1}, "--seeds takes"),
    ],
)
def test_settings_that_make_no_study_are_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TransferOptions(**wrong)  # type: ignore[arg-type]
