"""A virtual environment with a wheel and what it requires without extras, linked from this one."""

import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement


def make_slim_environment(folder: Path, wheel: Path) -> Path:
    """Make it in `folder`, and return its Python."""
    venv.create(folder, symlinks=True)
    paths = {name: Path(sysconfig.get_path(name, "venv", {"base": str(folder)})) for name in ("purelib", "scripts")}
    site = paths["purelib"]
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (information,) = site.glob("*.dist-info")
    for name in sorted(_required(metadata.Distribution.at(information))):
        distribution = metadata.distribution(name)
        # Files above are scripts and data, which no command of ours uses.
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(str(distribution.locate_file(top)))
    return paths["scripts"] / "python"


def _required(distribution: metadata.Distribution) -> set[str]:
    """The names of all that it requires here, directly or through others."""
    found: set[tuple[str, str]] = set()
    waiting = list(_requirements(distribution, ""))
    while waiting:
        requirement = waiting.pop()
        for extra in {"", *requirement.extras}:
            if (requirement.name, extra) not in found:
                found.add((requirement.name, extra))
                waiting += _requirements(metadata.distribution(requirement.name), extra)
    return {name for name, _ in found}


def _requirements(distribution: metadata.Distribution, extra: str) -> Iterator[Requirement]:
    for text in distribution.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement
