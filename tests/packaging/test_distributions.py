"""The wheel and the source distribution contain what they should, and torch is optional."""

import email
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def test_the_license_is_in_both(distributions: Path) -> None:
    license_text = (ROOT / "LICENSE").read_bytes()
    assert b"Version 2.0, January 2004" in license_text and b"END OF TERMS AND CONDITIONS" in license_text
    (wheel,), (source,) = distributions.glob("*.whl"), distributions.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
        assert archive.read(name) == license_text
    with tarfile.open(source) as archive:
        (member,) = (
            member for member in archive.getmembers() if member.name.count("/") == 1 and "LICENSE" in member.name
        )
        stream = archive.extractfile(member)
        assert stream is not None and stream.read() == license_text


def test_the_wheel_has_the_package_whole_and_nothing_else(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = (path for path in (ROOT / "resnetx").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert found == {str(path.relative_to(ROOT)) for path in files}


def test_its_metadata_name_the_license_and_leave_torch_to_an_extra(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        facts = email.message_from_bytes(archive.read(name))
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt"))
        entries = archive.read(name).decode()
    assert (facts["License-Expression"], facts.get_all("License-File")) == ("Apache-2.0", ["LICENSE"])
    requirements = [Requirement(text) for text in facts.get_all("Requires-Dist") or ()]
    of_torch = [requirement for requirement in requirements if requirement.name == "torch"]
    assert of_torch and all(requirement.marker is not None for requirement in of_torch)
    assert not any(requirement.marker.evaluate({"extra": ""}) for requirement in of_torch if requirement.marker)
    assert "resnetx = resnetx.cli.main:main" in entries and "resnetx = resnetx.pytest_plugin" in entries
