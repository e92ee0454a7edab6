"""The rounds of a benchmark in waves: in each wave every case has one process, and their rounds interleave.

The processes of a case run one after another, because all at once would need several times the memory of the models.
A wave holds neighbouring rounds of all cases, so a common drift cancels in every ratio, and the processes of a case are
spread over the whole run.
"""

from collections.abc import Callable, Sequence

from resnetx.benchmark.case import RunningCase
from resnetx.benchmark.messages import RoundDone
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.watch import Watch


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
    watch: Watch,
    *,
    verify: Callable[[], None],
    halfway: Callable[[], None],
) -> None:
    """Run all rounds of the cases, whose first processes are open, and verify what each process computes.

    `halfway` is called between two waves in the middle, if there are several.
    """
    assert options.rounds is not None and options.processes is not None and options.duration_s is not None
    order = interleaved_order(len(cases), options.rounds)
    seconds, total, done = options.duration_s / options.rounds, len(cases) * options.rounds, 0
    for process, count in enumerate(rounds_of_processes(options.rounds, options.processes)):
        if process:
            if process == options.processes // 2:
                halfway()
            _restart(cases, process, options, done // max(len(cases), 1), watch)
        begin = done // max(len(cases), 1)
        for number in (number for one_round in order[begin : begin + count] for number in one_round):
            case = cases[number]
            watch.cases([each.result() for each in cases], done, total)
            done += 1
            if case.alive:
                answer = case.ask({"do": "round", "seconds": seconds}, RoundDone, more_s=2 * seconds)
                if answer is not None:
                    case.took_round(answer)
        verify()
    watch.cases([case.result() for case in cases], total, total)


def _restart(cases: Sequence[RunningCase], process: int, options: BenchOptions, done: int, watch: Watch) -> None:
    """Give each case a new process. The old ones end first, so that their memory is free."""
    again = [case for case in cases if case.alive and case.restarts]
    for case in again:
        case.close()
    for place, case in enumerate(again):
        left = seconds_left(cases, options, again[place:], process, done)
        watch.step(f"process {process + 1} of {options.processes}: opening {case.title}; about {left:.0f} s left")
        case.start()


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
