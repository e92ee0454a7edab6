"""The built distributions, and an environment into which the wheel was installed without extras."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.slim_environment import make_slim_environment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def slim_python(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the wheel and its dependencies, and never had torch."""
    (wheel,) = distributions.glob("*.whl")
    return make_slim_environment(tmp_path_factory.mktemp("slim") / "venv", wheel)
