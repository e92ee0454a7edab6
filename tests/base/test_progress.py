"""What a task tells of itself: steps in order, details within them, and words that are safe to show."""

from hypothesis import given
from hypothesis import strategies as st

from resnetx.base.progress import Progress, Steps
from tests.support.watching import Listening


def test_steps_are_numbered_as_they_begin() -> None:
    seen = Listening()
    steps = Steps(seen, 2)
    steps.begin("reading")
    steps.begin("writing")
    steps.detail("half of it", 0.5)
    assert list(map(str, seen.events)) == [
        "step 1 of 2: reading",
        "step 2 of 2: writing",
        "step 2 of 2: writing: half of it",
    ]
    assert [event.share for event in seen.events] == [None, None, 0.5]
    times = [event.elapsed_s for event in seen.events]
    assert times == sorted(times) and times[0] >= 0


def test_a_detail_ends_with_its_step() -> None:
    seen = Listening()
    steps = Steps(seen, 2)
    steps.begin("reading")
    steps.detail("a", 0.9)
    steps.begin("writing")
    assert (seen.events[-1].detail, seen.events[-1].share) == (None, None)


def test_without_a_total_there_is_no_number() -> None:
    seen = Listening()
    Steps(seen).begin("reading")
    assert str(seen.events[0]) == "reading" and seen.events[0].step == 1


@given(st.integers(1, 9), st.integers(1, 12))
def test_a_step_is_never_beyond_the_last(total: int, begun: int) -> None:
    seen = Listening()
    steps = Steps(seen, total)
    for number in range(begun):
        steps.begin(str(number))
    assert [event.step for event in seen.events] == list(range(1, begun + 1))
    assert all(
        event.steps is not None and event.step is not None and event.step <= event.steps for event in seen.events
    )


def test_the_steps_of_a_part_are_details_of_the_whole() -> None:
    seen = Listening()
    outer = Steps(seen, 3)
    outer.begin("converting")
    inner = Steps(outer.within, 7)
    inner.begin("reading")
    inner.detail("sample 1 of 2", 0.5)
    assert list(map(str, seen.events[1:])) == [
        "step 1 of 3: converting: reading",
        "step 1 of 3: converting: reading: sample 1 of 2",
    ]
    assert seen.events[-1].share == 0.5


def test_a_process_goes_on_with_the_steps() -> None:
    """The step that it begins with may be the one that was announced already."""
    seen = Listening()
    outer = Steps(seen, 3)
    outer.begin("reading m")
    inner = Steps(outer.follow)
    inner.begin("reading m")
    inner.begin("timing")
    inner.detail("round 1 of 5")
    assert list(map(str, seen.events)) == [
        "step 1 of 3: reading m",
        "step 2 of 3: timing",
        "step 2 of 3: timing: round 1 of 5",
    ]


def test_bytes_are_told_of_downloads_only() -> None:
    seen = Listening()
    steps = Steps(seen, 1)
    steps.begin("loading the weights")
    steps.download("w.safetensors", 1_500_000, 6_000_000)
    steps.download("w.safetensors", 2_000_000, None)
    assert [(event.detail, event.share) for event in seen.events] == [
        (None, None),
        ("downloading w.safetensors: 1.5 MB of 6.0 MB", 0.25),
        ("downloading w.safetensors: 2.0 MB", None),
    ]


def test_its_repr_is_short_and_nothing_in_it_controls_a_terminal() -> None:
    event = Progress(text="reading \x1b[31m" + "x" * 10**6, step=1, steps=2, detail="a\nb\u202e", elapsed_s=3.14159)
    assert repr(event).startswith("<Progress after 3.1 s: step 1 of 2: reading ?[31mxx") and repr(event).endswith(
        "a b?>"
    )
    assert len(repr(event)) < 600 and str(event).isprintable()
