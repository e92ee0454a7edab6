"""The child process that really tries a provider; whatever happens here, the doctor lives on.

python -m resnetx.doctor.trial_worker ANSWER.json LIFETIME_S try NAME
python -m resnetx.doctor.trial_worker ANSWER.json LIFETIME_S survey
"""

import json
import signal
import sys
from pathlib import Path
from typing import Any


def try_provider(name: str) -> dict[str, Any]:
    """Run one convolution on it: why that does not work, or the precision in which it computes when left alone."""
    from resnetx.runtime.ort.providers import TORCH_RUNNERS

    return _try_torch(name) if name in TORCH_RUNNERS else _try_session(name)


def _try_session(name: str) -> dict[str, Any]:
    from resnetx.runtime.ort.provider_probe import provider_precision, why_not
    from resnetx.runtime.ort.providers import BY_NAME
    from resnetx.runtime.ort.session_options import resolve_settings

    problem = why_not(name)
    if problem:
        return {"problem": problem}
    settings = resolve_settings(BY_NAME[name], precision="default", threads=None, options={})
    return {"problem": None, "precision": provider_precision(BY_NAME[name], settings, settings.native)}


def _try_torch(name: str) -> dict[str, Any]:
    try:
        import torch
    except ImportError as error:
        return {"problem": f"torch cannot be imported: {error}"}
    import numpy as np

    from resnetx.errors import ResnetxError
    from resnetx.runtime.pytorch.runner import open_torch
    from resnetx.runtime.runner import TensorInfo

    convolution = torch.nn.Conv2d(16, 16, 1, bias=False)
    torch.nn.init.dirac_(convolution.weight)
    feed = np.full((1, 16, 8, 8), 1 + 2**-23, np.float32)
    info = (TensorInfo("x", feed.dtype, feed.shape),)
    try:
        answer = open_torch(convolution, provider=name, inputs=info, outputs=info, options={}).run({"x": feed})["x"]
    except ResnetxError as error:
        return {"problem": str(error)}
    if not np.allclose(answer, feed, rtol=1e-2):
        return {"problem": "a convolution that should return its input returns something else"}
    return {"problem": None, "precision": "fp32" if np.array_equal(answer, feed) else "less than fp32"}


def survey() -> dict[str, Any]:
    """Every name of every provider, what its library was linked against and whether that loads, NVIDIA's versions."""
    from dataclasses import asdict

    from resnetx.runtime.ort.nvidia_versions import read_components
    from resnetx.runtime.ort.providers import PROVIDERS, TORCH_RUNNERS

    rows = [(name, row.name) for row in reversed(PROVIDERS) for name in (row.name, row.native.lower())]
    return {
        "names": dict([*rows, *zip(TORCH_RUNNERS, TORCH_RUNNERS, strict=True)]),
        "libraries": {row.name: _libraries(row.name) for row in PROVIDERS},
        "components": [{**asdict(component), "fits": component.fits} for component in read_components()],
    }


def _libraries(name: str) -> list[tuple[str, bool]]:
    from resnetx.runtime.ort.nvidia_versions import CUDNN, provider_library
    from resnetx.runtime.ort.shared_libraries import missing_libraries, needed_libraries

    path = provider_library(name)
    if path is None:
        return []
    also = (CUDNN,) if name == "cuda" else ()
    # What lies beside the library is found through its own search path, and not by name.
    missing = {each for each in missing_libraries(path, also) if not (path.parent / each).is_file()}
    return [(each, each not in missing) for each in (*needed_libraries(path), *also)]


def main(answer: Path, lifetime_s: int, what: str, *names: str) -> None:
    if hasattr(signal, "alarm"):
        signal.alarm(lifetime_s)  # nobody may be left to kill it
    answer.write_text(json.dumps(survey() if what == "survey" else try_provider(*names)))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
    except Exception as error:  # the parent shows the last line, not a traceback
        sys.exit(f"{type(error).__name__}: {error}".replace("\n", " "))
