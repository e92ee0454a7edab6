"""How far files on runners agree with the float32 network, in a child process.

python -m resnetx.tuning.agreement_worker
"""

from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from resnetx.base.answers import error_answer, open_answers, read_request, send, teller
from resnetx.base.isolation import PYTHON
from resnetx.base.precisions import SessionPrecision
from resnetx.base.progress import OnProgress, Steps, ignore
from resnetx.base.validation import Positive, validated
from resnetx.conversion.quantization.agreement import Agreement, compare_scores, scores
from resnetx.errors import ResnetxError
from resnetx.graph.card import read_card
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.inputs.calibration import SAMPLES, read_calibration
from resnetx.runtime.catalog import open_runner

CHILD: tuple[str, ...] = (*PYTHON, "resnetx.tuning.agreement_worker")


@dataclass(frozen=True, kw_only=True)
class RunnerOrder:
    path: str
    provider: str
    precision: SessionPrecision


@dataclass(frozen=True, kw_only=True)
class AgreementOrder:
    """`samples` names the calibration data; the agreement is that on those which calibration does not see."""

    source: str
    samples: str
    threads: Positive
    runners: list[RunnerOrder]


@dataclass(frozen=True, kw_only=True)
class Agreements:
    """For each runner its agreement, or why there is none."""

    found: list[Agreement | None]
    problems: list[str | None] = field(default_factory=list)


def measure_agreements(order: AgreementOrder, *, progress: OnProgress = ignore) -> Agreements:
    path, steps = Path(order.source), Steps(progress)
    found: list[Agreement | None] = []
    problems: list[str | None] = []
    with closing(open_runner(path, threads=order.threads)) as exact:
        (info,) = exact.inputs
        data = read_calibration(order.samples, info, read_card(read_onnx(path)), samples=SAMPLES)
        size = info.shape[0] if isinstance(info.shape[0], int) else 1
        places = range(0, len(data.unseen) - len(data.unseen) % size, size)
        feeds = [data.feed(data.unseen[place : place + size]) for place in places]
        steps.begin("scores of the float network")
        before = scores(exact, feeds)
    for runner in order.runners:
        steps.begin(f"{Path(runner.path).stem} on {runner.provider}")
        try:
            opened = open_runner(
                Path(runner.path), provider=runner.provider, precision=runner.precision, threads=order.threads
            )
            with closing(opened):
                found.append(compare_scores(before, scores(opened, feeds)))
                problems.append(None)
        except ResnetxError as error:
            found.append(None)
            problems.append(str(error))
    return Agreements(found=found, problems=problems)


def main() -> None:
    answers = open_answers()
    try:
        order = validated(AgreementOrder, read_request()["order"])
        send(answers, asdict(measure_agreements(order, progress=teller(answers))))
    except Exception as error:  # the parent says what it means
        send(answers, error_answer(error))


if __name__ == "__main__":
    main()
