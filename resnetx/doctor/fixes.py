"""From what a provider lacks to what to do about it: a command wherever a command can help."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from resnetx.doctor.installed_runtimes import GPU_WHEEL, PLAIN_WHEEL, Wheel, right_wheel
from resnetx.machine.gpus import DRIVER

NEWEST_TENSORRT = 10
TORCH = ("torch", "torch-compile")
CONFIGURED_BY_MODELS = "ORT_LOAD_CONFIG_FROM_MODEL"


@dataclass(frozen=True, kw_only=True)
class Fix:
    """`command` can be pasted into a shell; None where no command helps, and `note` says what would."""

    command: str | None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What a remedy depends on. `imports` says whether ONNX Runtime can be imported at all; `nvidia` is None where
    the system does not say whether it has such a GPU."""

    wheels: tuple[Wheel, ...]
    imports: bool
    versions: dict[str, str]
    vendor: str
    architecture: str
    nvidia: bool | None
    driver: bool


def remedies(name: str, problem: str, missing: Sequence[str], at: Situation) -> tuple[Fix, ...]:
    """What to do, in this order, so that provider `name` works; `missing` are the libraries that it lacks."""
    # PyTorch is run beside ONNX Runtime: without that one nothing runs here, with two of it PyTorch does.
    if not at.imports or (len(at.wheels) != 1 and name not in TORCH):
        return (repair_runtime(at.wheels),)
    if name in TORCH:
        return _torch_remedies(name, at)
    if name == "openvino":
        return _openvino_remedies(at)
    if name in ("cuda", "tensorrt"):
        return _gpu_remedies(name, problem, missing, at)
    return (Fix(command=f"pip install --force-reinstall --no-deps {right_wheel()}"),)


def repair_runtime(wheels: Sequence[Wheel]) -> Fix:
    """Exactly one package that holds ONNX Runtime."""
    # Removing one of two takes files away that the other needs: both go, and one comes back.
    remove = f"pip uninstall -y {' '.join(wheel.name for wheel in wheels)} && " if wheels else ""
    return Fix(command=f"{remove}pip install {right_wheel()}")


def _torch_remedies(name: str, at: Situation) -> tuple[Fix, ...]:
    if "torch" not in at.versions:
        return (Fix(command="pip install torch"),)
    if name == "torch-compile" and not any(map(shutil.which, ("g++", "c++", "clang++", "cl"))):
        return (Fix(command="sudo apt install g++", note="a C++ compiler, by whatever package the system has"),)
    return (Fix(command="pip install --force-reinstall torch"),)


def _openvino_remedies(at: Situation) -> tuple[Fix, ...]:
    if at.architecture.lower() not in ("x86_64", "amd64"):
        return (Fix(command=None, note=f"nothing to install: the plugin has no build for {at.architecture}"),)
    if at.vendor not in ("Intel", "unknown"):
        return (Fix(command=None, note="nothing to install on this processor: use cpu here"),)
    again = "--force-reinstall --no-deps " if "onnxruntime-ep-openvino" in at.versions else ""
    return (Fix(command=f"pip install {again}onnxruntime-ep-openvino"),)


def _gpu_remedies(name: str, problem: str, missing: Sequence[str], at: Situation) -> tuple[Fix, ...]:
    if right_wheel() != GPU_WHEEL:
        return (Fix(command=None, note="nothing to install: ONNX Runtime has no GPU build for this platform"),)
    if at.nvidia is False:
        return (Fix(command=None, note="nothing to install: this machine has no NVIDIA GPU"),)
    fixes = [repair_runtime(at.wheels)] if at.wheels[0].name == PLAIN_WHEEL else []
    if fixes or any(library != DRIVER for library in missing):
        extras = "cuda" if name == "cuda" else "cuda,tensorrt"
        note = None
        if name == "tensorrt" and _major(at.versions.get("tensorrt-cu13")) > NEWEST_TENSORRT:
            note = f"replaces TensorRT {at.versions['tensorrt-cu13']}: ONNX Runtime is linked against {NEWEST_TENSORRT}"
        fixes.append(Fix(command=f"pip install 'resnetx[{extras}]'", note=note))
    # TensorRT does not link the driver itself, but needs it all the same.
    if DRIVER in missing or (name == "tensorrt" and not at.driver) or "driver version" in problem:
        note = "NVIDIA's driver, 580 or newer for CUDA 13; this is its name in Ubuntu"
        fixes.append(Fix(command="sudo apt install nvidia-driver-580", note=note))
    if not fixes:
        # Everything is there and it does not work all the same: the usual reason is a mixture of versions.
        fixes.append(Fix(command=f"pip install --force-reinstall --no-deps {GPU_WHEEL}"))
    return tuple(fixes)


def _major(version: str | None) -> int:
    first = (version or "").partition(".")[0]
    return int(first) if first.isascii() and first.isdigit() and len(first) < 6 else 0
