"""Fixes for providers that do not work, commands where possible: the one source for errors and for the doctor."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from resnetx.errors import RuntimeUnavailableError
from resnetx.machine.facts import Machine, read_machine
from resnetx.machine.gpus import DRIVER, has_nvidia_hardware
from resnetx.runtime.installed_runtimes import GPU_WHEEL, PLAIN_WHEEL, Wheel, right_wheel, runtime_wheels
from resnetx.runtime.runner import Provider

CONFIGURED_BY_MODELS = "ORT_LOAD_CONFIG_FROM_MODEL"


@dataclass(frozen=True, kw_only=True)
class Fix:
    """`command` can be pasted into a shell; it is None if no command helps, and `note` explains the fix."""

    command: str | None
    note: str | None = None


NO_GPU = "this machine has no NVIDIA GPU"


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What a fix depends on. `imports` is whether ONNX Runtime can be imported; `nvidia` is None if it is unknown
    whether the machine has an NVIDIA GPU."""

    wheels: tuple[Wheel, ...]
    imports: bool
    versions: dict[str, str]
    vendor: str
    architecture: str
    nvidia: bool | None
    driver: bool


def situation(machine: Machine, *, imports: bool = True) -> Situation:
    """What is installed in this environment, on this machine."""
    return Situation(
        wheels=runtime_wheels(),
        imports=imports,
        versions=machine.versions,
        vendor=machine.vendor,
        architecture=machine.architecture,
        nvidia=True if machine.gpus else has_nvidia_hardware(),
        driver=bool(machine.gpus),
    )


def advice_for(provider: Provider, problem: str, missing: Sequence[str] = (), *, imports: bool = True) -> str:
    """The fixes in words, for an error in the process that needed the provider."""
    fixes = fixes_for(provider, problem, missing, situation(read_machine(), imports=imports))
    commands = [fix.command + (f" ({fix.note})" if fix.note else "") for fix in fixes if fix.command]
    notes = [fix.note for fix in fixes if fix.note and not fix.command]
    return "; ".join([*([f"to fix it: {', then '.join(commands)}"] if commands else []), *notes])


def unavailable(
    provider: Provider, problem: str, missing: Sequence[str] = (), *, imports: bool = True
) -> RuntimeUnavailableError:
    """The error for a provider that does not work here, with the doctor's advice."""
    advice = advice_for(provider, problem, missing, imports=imports)
    message = f"The provider {provider.name} was asked for, and it does not work here: {problem}; {advice}."
    return RuntimeUnavailableError(message, problem=problem, advice=advice)


def fixes_for(provider: Provider, problem: str, missing: Sequence[str], at: Situation) -> tuple[Fix, ...]:
    """The fixes for the provider, in order; `missing` are the libraries that it lacks."""
    # Without ONNX Runtime nothing works here; with two packages of it, other engines still do.
    other_engine = provider.engine != "onnxruntime"
    if not at.imports or (len(at.wheels) != 1 and not other_engine):
        return (repair_runtime(at.wheels),)
    if other_engine:
        return _engine_fixes(provider, problem, at)
    if provider.package:
        return _plugin_fixes(provider.package, provider, at)
    if provider.gpu:
        return _gpu_fixes(provider, problem, missing, at)
    return (Fix(command=f"pip install --force-reinstall --no-deps {right_wheel()}"),)


def repair_runtime(wheels: Sequence[Wheel]) -> Fix:
    """Install exactly one package that contains ONNX Runtime."""
    # Removing one of two deletes files that the other needs: remove both, then install one.
    remove = f"pip uninstall -y {' '.join(wheel.name for wheel in wheels)} && " if wheels else ""
    return Fix(command=f"{remove}pip install {right_wheel()}")


def _no_gpu(problem: str) -> Fix:
    return Fix(command=None, note="nothing to install" if NO_GPU in problem else f"nothing to install: {NO_GPU}")


def _engine_fixes(provider: Provider, problem: str, at: Situation) -> tuple[Fix, ...]:
    if provider.gpu and at.nvidia is False:
        return (_no_gpu(problem),)
    if provider.package not in at.versions:
        return (Fix(command=f"pip install {provider.package}"),)
    if provider.gpu:
        note = "the build for CUDA 13, with an NVIDIA driver of 580 or newer"
        return (Fix(command=f"pip install --force-reinstall {provider.package}", note=note),)
    if provider.compiles_each_batch and not any(map(shutil.which, ("g++", "c++", "clang++", "cl"))):
        return (Fix(command="sudo apt install g++", note="a C++ compiler; other systems name the package differently"),)
    return (Fix(command=f"pip install --force-reinstall {provider.package}"),)


def _plugin_fixes(package: str, provider: Provider, at: Situation) -> tuple[Fix, ...]:
    if at.architecture.lower() not in ("x86_64", "amd64"):
        return (Fix(command=None, note=f"nothing to install: the plugin has no build for {at.architecture}"),)
    if at.vendor not in (*provider.vendors, "unknown"):
        return (Fix(command=None, note="nothing to install on this processor: use cpu here"),)
    again = "--force-reinstall --no-deps " if package in at.versions else ""
    return (Fix(command=f"pip install {again}{package}"),)


def _gpu_fixes(provider: Provider, problem: str, missing: Sequence[str], at: Situation) -> tuple[Fix, ...]:
    if right_wheel() != GPU_WHEEL:
        return (Fix(command=None, note="nothing to install: ONNX Runtime has no GPU build for this platform"),)
    if at.nvidia is False:
        return (_no_gpu(problem),)
    fixes = [repair_runtime(at.wheels)] if at.wheels[0].name == PLAIN_WHEEL else []
    if fixes or any(library != DRIVER for library in missing):
        too_new = [(name, major) for name, major in provider.newest if _major(at.versions.get(name)) > major]
        notes = [f"replaces {name} {at.versions[name]}: ONNX Runtime is linked with {major}" for name, major in too_new]
        command = f"pip install 'resnetx[{','.join(provider.extras)}]'"
        fixes.append(Fix(command=command, note="; ".join(notes) or None))
    if DRIVER in missing or not (provider.links_driver or at.driver) or "driver version" in problem:
        note = "NVIDIA's driver, 580 or newer for CUDA 13; the package name is the one in Ubuntu"
        fixes.append(Fix(command="sudo apt install nvidia-driver-580", note=note))
    if not fixes:
        # Nothing is missing, but it does not work: the usual cause is a mix of versions.
        fixes.append(Fix(command=f"pip install --force-reinstall --no-deps {GPU_WHEEL}"))
    return tuple(fixes)


def _major(version: str | None) -> int:
    first = (version or "").partition(".")[0]
    return int(first) if first.isascii() and first.isdigit() and len(first) < 6 else 0
