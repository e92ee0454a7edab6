"""The rounds of a benchmark in waves: in each wave every case has one process, and their rounds interleave.

The processes of a case run one after another, because all at once would need several times the memory of the models.
A wave holds neighbouring rounds of all cases, so a common drift cancels in every ratio, and the processes of a case are
spread over the whole run.
"""

from collections.abc import Callable, Sequence

from resnetx.base.progress import Steps
from resnetx.base.text import clock_time
from resnetx.benchmark.case import RunningCase
from resnetx.benchmark.messages import RoundDone
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.result import BenchCase


def interleaved_order(n_cases: int, rounds: int) -> list[list[int]]:
    """The order of the cases in each round; every other round is reversed: A B C, C B A.

    Over an even number of rounds all cases have the same mean position, so a linear drift cancels in every ratio.
    """
    forward = list(range(n_cases))
    return [forward if number % 2 == 0 else forward[::-1] for number in range(rounds)]


def rounds_of_processes(rounds: int, processes: int) -> list[int]:
    """How many of the rounds each process runs, as equal as possible."""
    least, more = divmod(rounds, processes)
    return [least + (number < more) for number in range(processes)]


def run_waves(
    cases: Sequence[RunningCase],
    options: BenchOptions,
    steps: Steps,
    show: Callable[[Sequence[BenchCase]], None],
    *,
    verify: Callable[[], None],
    halfway: Callable[[], None],
) -> None:
    """Run all rounds of the cases, whose first processes are open, and verify what each process computes.

    `halfway` is called between two waves in the middle, if there are several; `show` with the state of the cases before
    each round of one, and at the end.
    """
    assert options.rounds is not None and options.processes is not None and options.duration_s is not None
    order = interleaved_order(len(cases), options.rounds)
    seconds, total, done = options.duration_s / options.rounds, len(cases) * options.rounds, 0
    for process, count in enumerate(rounds_of_processes(options.rounds, options.processes)):
        if process:
            if process == options.processes // 2:
                halfway()
            _restart(cases, process, options, done // max(len(cases), 1), steps)
        begin = done // max(len(cases), 1)
        for number in (number for one_round in order[begin : begin + count] for number in one_round):
            case = cases[number]
            show([each.result() for each in cases])
            full = done // len(cases)
            left = seconds_left(cases, options, (), process, full)
            steps.detail(
                f"round {full + 1} of {options.rounds}, {where(cases, case, case.process, options)}; {in_words(left)}",
                done / total,
            )
            done += 1
            if case.alive:
                answer = case.ask({"do": "round", "seconds": seconds}, RoundDone, more_s=2 * seconds)
                if answer is not None:
                    case.took_round(answer)
        verify()
    show([case.result() for case in cases])


def where(cases: Sequence[RunningCase], case: RunningCase, process: int, options: BenchOptions) -> str:
    """Which process of which case, where there are several."""
    number = next(place for place, each in enumerate(cases, 1) if each is case)
    counted = (("process", process, options.processes or 1), ("case", number, len(cases)))
    return ", ".join([*(f"{name} {place} of {count}" for name, place, count in counted if count > 1), case.title])


def start(case: RunningCase, place: str, steps: Steps, after: str = "") -> None:
    """Start a process of a case at `place`, and tell what it does until it can be timed."""
    steps.detail(f"{place}: opening{after}")
    case.start(lambda event: steps.detail(f"{place}: {event.text}{after}"))


def _restart(cases: Sequence[RunningCase], process: int, options: BenchOptions, done: int, steps: Steps) -> None:
    """Give each case a new process. The old ones end first, so that their memory is free."""
    again = [case for case in cases if case.alive and case.restarts]
    for case in again:
        case.close()
    for place, case in enumerate(again):
        left = seconds_left(cases, options, again[place:], process, done)
        start(case, where(cases, case, process + 1, options), steps, f"; {in_words(left)}")


def in_words(seconds_left: float) -> str:
    return f"about {clock_time(seconds_left)} left"


def seconds_left(
    cases: Sequence[RunningCase], options: BenchOptions, waiting: Sequence[RunningCase], process: int, done: int
) -> float:
    """The time that the remaining rounds take, and the starts of processes, judged by those so far.

    `waiting` are the cases whose process with this number is yet to start, `done` the number of complete rounds.
    """
    assert options.rounds is not None and options.processes is not None and options.duration_s is not None
    alive = [case for case in cases if case.alive]
    starts = sum(case.usual_start_s * (options.processes - process - 1) for case in alive if case.restarts)
    rounds = len(alive) * options.duration_s * (1 - done / options.rounds)
    return starts + sum(case.usual_start_s for case in waiting) + rounds
