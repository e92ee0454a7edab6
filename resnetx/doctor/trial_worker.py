"""The child process that tests a provider, so that a crash does not end the doctor.

python -m resnetx.doctor.trial_worker ANSWER.json try NAME
python -m resnetx.doctor.trial_worker ANSWER.json survey
"""

import json
import sys
from pathlib import Path
from typing import Any

from resnetx.errors import RuntimeUnavailableError
from resnetx.runtime.catalog import CATALOG, engine_of, find_provider


def try_provider(name: str) -> dict[str, Any]:
    """Run one convolution on the provider: why that does not work, or its default precision."""
    try:
        engine = engine_of(find_provider(name))
    except RuntimeUnavailableError as error:
        return {"problem": error.problem}
    problem = engine.why_not()
    return {"problem": problem} if problem else {"problem": None, "precision": engine.default_precision()}


def survey() -> dict[str, Any]:
    """The libraries that each provider needs, whether they load, and NVIDIA's versions."""
    from dataclasses import asdict

    from resnetx.runtime.ort.nvidia_versions import read_components

    return {
        "libraries": {row.name: engine_of(row).libraries() for row in CATALOG if row.engine == "onnxruntime"},
        "components": [{**asdict(component), "fits": component.fits} for component in read_components()],
    }


def main(answer: Path, what: str, *names: str) -> None:
    answer.write_text(json.dumps(survey() if what == "survey" else try_provider(*names)))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), *sys.argv[2:])
    except Exception as error:  # the parent shows the last line, not a traceback
        sys.exit(f"{type(error).__name__}: {error}".replace("\n", " "))
