"""The process that reads the pickle of a checkpoint; the parent survives whatever that takes.

python -m resnetx.weights.pickles.worker
"""

from dataclasses import asdict
from pathlib import Path

from resnetx.base.answers import error_answer, open_answers, read_request, send
from resnetx.weights.pickles.archive import index_archive, index_legacy


def main() -> None:
    answers = open_answers()
    try:
        request = read_request()
        read = index_legacy if request["legacy"] else index_archive
        send(answers, asdict(read(Path(request["path"]))))
    except Exception as error:  # the parent says what it means
        send(answers, error_answer(error))


if __name__ == "__main__":
    main()
