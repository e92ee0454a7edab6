"""What a command takes, measured from a small process: the child of a large one counts as large until it begins."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

RUN = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[2:]).returncode
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024))
sys.exit(status)
"""


def measured(command: Sequence[str | Path]) -> tuple[int, str, int]:
    """The exit status, what was written, and the largest memory of the command's processes in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        peak = Path(folder) / "peak"
        done = subprocess.run(
            [sys.executable, "-c", RUN, peak, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return done.returncode, " ".join(done.stdout.split()), int(peak.read_text())
