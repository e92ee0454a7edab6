"""The order in which cases take turns: A B C, then C B A, so that a machine that drifts favours none of them."""


def interleaved_order(n_cases: int, rounds: int) -> list[list[int]]:
    """For each round the cases in the order to run them; every other round goes backwards.

    Over an even number of rounds each case's mean place is the same, and a steady drift cancels out of every ratio.
    """
    forward = list(range(n_cases))
    return [forward if number % 2 == 0 else forward[::-1] for number in range(rounds)]
