"""The overhead of the harness: its median at batch 1 compared with a bare loop over the same session, interleaved.

    python benchmarks/harness_overhead.py [MODEL.onnx] [--rounds 30] [--seconds 1]

Without a model it exports ResNet-50 with random weights to a temporary folder. Exit status 1 above 3 %.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from resnetx.benchmark.stopwatch import Stopwatch
from resnetx.inputs.timed import timed_feeds
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.ort.session import Session

MOST = 1.03


def bare_loop(session: Session, feeds: list[dict[str, np.ndarray]], seconds: float) -> list[float]:
    """ONNX Runtime's own session in a plain loop."""
    native, names = session.native, [output.name for output in session.outputs]
    samples = []
    until = time.perf_counter() + seconds
    number = 0
    while time.perf_counter() < until:
        begin = time.perf_counter()
        native.run(names, feeds[number % len(feeds)])
        samples.append((time.perf_counter() - begin) * 1e3)
        number += 1
    return samples


def compare(model: Path, *, rounds: int, seconds: float) -> float:
    """The ratio of the medians: over 1 where the harness is slower."""
    session = open_runner(model, precision="default")
    assert isinstance(session, Session)
    feeds = timed_feeds(session.inputs, None, batch=1)
    stopwatch = Stopwatch([session.bind(feed) for feed in feeds])
    stopwatch.warm_up(10)
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    for number in range(rounds):
        for turn in (0, 1) if number % 2 == 0 else (1, 0):
            if turn == 0:
                ours.append(stopwatch.round_ms(seconds))
            else:
                theirs.append(bare_loop(session, feeds, seconds))
    harness, bare = (statistics.median(sample for part in parts for sample in part) for parts in (ours, theirs))
    # Adjacent rounds are compared, because the machine drifts by more than the overhead of the harness.
    pairs = [statistics.median(a) / statistics.median(b) for a, b in zip(ours, theirs, strict=True)]
    print(f"harness {harness:.3f} ms, bare loop {bare:.3f} ms, {sum(map(len, ours))} and {sum(map(len, theirs))} runs")
    print(f"ratio of medians {harness / bare:.4f}; median of {rounds} paired ratios {statistics.median(pairs):.4f}")
    return statistics.median(pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round, each way")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model
        if model is None:
            import resnetx

            model = Path(folder) / "resnet50.onnx"
            resnetx.export(resnetx.resnet_config(50), model)
        ratio = compare(model, rounds=arguments.rounds, seconds=arguments.seconds)
    print(f"{'within' if ratio <= MOST else 'ABOVE'} the permitted overhead of {MOST - 1:.0%}")
    sys.exit(0 if ratio <= MOST else 1)


if __name__ == "__main__":
    main()
