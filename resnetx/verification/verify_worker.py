"""The process of one verification, whose file may be hostile; `isolated.py` is its parent.

python -m resnetx.verification.verify_worker
"""

from dataclasses import asdict
from pathlib import Path

from resnetx.base.answers import error_answer, open_answers, read_request, send, teller
from resnetx.verification.attempts import Attempts
from resnetx.verification.messages import Verified, read_order
from resnetx.verification.verify import verify_file


def main() -> None:
    answers = open_answers()
    try:
        request = read_request()
        path, options = read_order(request)
        # In a file, which outlives this process if a provider ends it.
        attempts = Attempts(Path(request["trying"]).write_text, ended=request["ended"])
        result = verify_file(path, options, progress=teller(answers), attempts=attempts)
        send(answers, asdict(Verified(verification=result)))
    except Exception as error:  # the parent says what it means
        send(answers, error_answer(error))


if __name__ == "__main__":
    main()
