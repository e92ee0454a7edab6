"""The child process that runs onnxsim on one file; the parent survives if it crashes.

python -m resnetx.graph.simplification.onnxsim_worker BEFORE AFTER
"""

import sys
from pathlib import Path

# Constants that a graph computes are folded up to the size of the graph itself, or this much in a small graph:
# a few bytes of ConstantOfShape can request gigabytes.
FOLD_AT_LEAST_MB = 16


def main(before: Path, after: Path) -> None:
    # onnxsim imports these if they are installed; simplification needs neither, and torch takes a second and 200 MB.
    sys.modules["torch"] = sys.modules["sympy"] = None  # type: ignore[assignment]
    import onnx
    import onnxsim

    largest_mb = max(FOLD_AT_LEAST_MB, before.stat().st_size // 2**20)
    simplified, valid = onnxsim.simplify(
        onnx.load(before), include_subgraph=False, tensor_size_threshold=f"{largest_mb}MB"
    )
    if not valid:
        raise RuntimeError("onnxsim reports that its own result is not valid")
    after.write_bytes(simplified.SerializeToString())


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except Exception as error:  # the parent shows the last line, not a traceback
        sys.exit(f"{type(error).__name__}: {error}".replace("\n", " "))
