"""Tests every provider on this machine, in a child process that may crash or hang, and finds what is missing.

Nothing here imports ONNX Runtime: a broken installation of it is one of the problems to detect.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resnetx.base.isolation import PYTHON, Limits, run_isolated
from resnetx.base.private_folder import private_folder
from resnetx.base.progress import OnProgress, Steps, ignore
from resnetx.base.text import readable
from resnetx.errors import FileError
from resnetx.machine.facts import Machine, read_machine
from resnetx.runtime.catalog import BY_NAME, provider_names
from resnetx.runtime.fixes import CONFIGURED_BY_MODELS, Fix, Situation, fixes_for, repair_runtime, situation

SCHEMA = "resnetx.doctor/1"
CHILD = (*PYTHON, "resnetx.doctor.trial_worker")
# TensorRT builds an engine and torch.compile calls a compiler, which are slow on a busy machine.
TIMEOUT_S = 180
# The provider that must work if none is requested.
ALWAYS = "cpu"
MOST_CHARACTERS = 600
NO_ANSWER = "the process gave no valid answer"


@dataclass(frozen=True, kw_only=True)
class Library:
    name: str
    found: bool


@dataclass(frozen=True, kw_only=True)
class Version:
    """An NVIDIA component: the version that this build requires, and the one that loads here, if any."""

    name: str
    library: str
    wanted: str
    found: str | None
    fits: bool


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """One provider. `precision` is the one in which it multiplies float32 tensors by default."""

    name: str
    works: bool
    precision: str | None
    problem: str | None
    fixes: tuple[Fix, ...]
    libraries: tuple[Library, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(library.name for library in self.libraries if not library.found)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A problem of the installation that does not depend on the provider."""

    problem: str
    fix: Fix


@dataclass(frozen=True, kw_only=True)
class Checkup:
    """`asked` are the providers that must all work."""

    machine: Machine
    providers: tuple[Diagnosis, ...]
    versions: tuple[Version, ...]
    findings: tuple[Finding, ...]
    asked: tuple[str, ...]

    @property
    def passed(self) -> bool:
        working = {provider.name for provider in self.providers if provider.works}
        return working.issuperset(self.asked)

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "passed": self.passed, **asdict(self)}


def examine(asked: Sequence[str] = (), *, progress: OnProgress = ignore, timeout_s: float = TIMEOUT_S) -> Checkup:
    """Test the requested providers; by default all of them, of which only cpu must work."""
    names = list(dict.fromkeys(provider_names(asked))) or list(BY_NAME)
    steps = Steps(progress, 2 + len(names))
    steps.begin("checking shared libraries")
    survey = _survey(timeout_s)
    steps.begin("reading the machine")
    machine = read_machine()
    at = situation(machine, imports=survey.failure is None)
    providers = []
    for name in names:
        steps.begin(f"testing {name}")
        providers.append(_diagnose(name, survey.libraries.get(name, ()), at, timeout_s))
    return Checkup(
        machine=machine,
        providers=tuple(providers),
        versions=survey.versions,
        findings=_findings(at, survey.failure),
        asked=tuple(names) if asked else (ALWAYS,),
    )


@dataclass(frozen=True, kw_only=True)
class _Survey:
    """What is installed, if ONNX Runtime can be imported; `failure` is why it cannot."""

    libraries: dict[str, tuple[Library, ...]]
    versions: tuple[Version, ...]
    failure: str | None


def _survey(timeout_s: float) -> _Survey:
    """Uses a child process, because importing ONNX Runtime may crash."""
    answer, failure = _child(("survey",), timeout_s)
    libraries = {
        name: tuple(Library(name=library, found=found) for library, found in rows)
        for name, rows in answer.get("libraries", {}).items()
    }
    versions = tuple(Version(**row) for row in answer.get("components", ()))
    return _Survey(libraries=libraries, versions=versions, failure=failure)


def _diagnose(name: str, libraries: Sequence[Library], at: Situation, timeout_s: float) -> Diagnosis:
    answer, failure = _child(("try", name), timeout_s)
    problem = f"it was tested with one convolution, and {failure}" if failure else answer.get("problem")
    missing = [library.name for library in libraries if not library.found]
    return Diagnosis(
        name=name,
        works=problem is None,
        precision=answer.get("precision"),
        problem=None if problem is None else _clean(str(problem)),
        fixes=() if problem is None else fixes_for(BY_NAME[name], str(problem), missing, at),
        libraries=tuple(libraries),
    )


def _child(task: Sequence[str], timeout_s: float) -> tuple[dict[str, Any], str | None]:
    """The child's answer, or why there is none."""
    try:
        with private_folder("doctor") as folder:
            answer = folder / "answer.json"
            failure = run_isolated((*CHILD, str(answer), *task), folder=folder, limits=Limits(seconds=timeout_s))
            if failure:
                return {}, f"the process {failure}"
            return (json.loads(answer.read_text()), None) if answer.is_file() else ({}, NO_ANSWER)
    except OSError as error:
        raise FileError(
            f"Providers are tested in a process with a temporary folder, which could not be created: "
            f"{error.strerror or error}. Free some space, or set TMPDIR to a writable folder."
        ) from error
    except ValueError:
        return {}, NO_ANSWER


def _findings(at: Situation, failure: str | None) -> tuple[Finding, ...]:
    findings = []
    if len(at.wheels) > 1:
        names = " and ".join(f"{wheel.name} {wheel.version}" for wheel in at.wheels)
        problem = f"{names} are installed together, and overwrite each other's files"
        findings.append(Finding(problem=problem, fix=repair_runtime(at.wheels)))
    elif failure:
        problem = _clean(f"ONNX Runtime cannot be used at all: {failure}")
        findings.append(Finding(problem=problem, fix=repair_runtime(at.wheels)))
    if os.environ.get(CONFIGURED_BY_MODELS, "0") not in ("", "0"):
        problem = f"the environment sets {CONFIGURED_BY_MODELS}, with which resnetx runs no model"
        findings.append(Finding(problem=problem, fix=Fix(command=f"unset {CONFIGURED_BY_MODELS}")))
    return tuple(findings)


def _clean(text: str) -> str:
    """One printable line without the user's home folder, because library messages may contain anything."""
    home = str(Path.home())
    return readable(text.replace(home, "~") if len(home) > 1 else text, MOST_CHARACTERS)
