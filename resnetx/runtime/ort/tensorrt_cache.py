"""The cache of TensorRT engines: a private folder for each combination of model, options and machine.

An engine is native code that depends on all of these: one from another model, driver or profile has given wrong
outputs, and one from another user could run any code.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from resnetx import __version__
from resnetx.base.cache import default_cache
from resnetx.errors import UsageError
from resnetx.machine.gpus import find_gpus
from resnetx.runtime.engine_cache import engine_key, private_folder, require_private
from resnetx.runtime.ort.nvidia_providers import TF32_OVERRIDE
from resnetx.runtime.ort.nvidia_versions import read_components
from resnetx.runtime.runner import TensorInfo

SWITCH, FOLDER = "trt_engine_cache_enable", "trt_engine_cache_path"
TIMING_SWITCH, TIMING_FOLDER = "trt_timing_cache_enable", "trt_timing_cache_path"
PROFILE = ("trt_profile_min_shapes", "trt_profile_opt_shapes", "trt_profile_max_shapes")
ON = ("1", "true")
# Variables that select the GPU and its precision, besides the options.
ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", TF32_OVERRIDE)


def with_engine_cache(
    digest: str | None,
    options: Mapping[str, str],
    *,
    inputs: Sequence[TensorInfo],
    batch: int,
    root: Path | None = None,
) -> dict[str, str]:
    """Options for a TensorRT session with one batch size: the user's, the profile for it, and its caches.

    `digest` identifies the model; without one no engine is cached. The timings of kernels depend only on the machine,
    and are shared by all engines; an engine depends on everything.
    """
    chosen = {**shape_profile(inputs, batch), **options}
    if digest is None or options.get(SWITCH, "1").lower() not in ON or FOLDER in options:
        return chosen
    machine = machine_facts()
    if machine is None:
        return chosen
    top = private_folder((root or default_cache()) / "tensorrt")
    engine = engine_key({**machine, "model": digest, "batch": batch, "options": chosen, "resnetx": __version__})
    caches = {
        SWITCH: "1",
        FOLDER: str(private_folder(top / engine)),
        TIMING_SWITCH: "1",
        TIMING_FOLDER: str(private_folder(top / f"timing-{engine_key(machine)}")),
    }
    return caches | chosen


def shape_profile(inputs: Sequence[TensorInfo], batch: int) -> dict[str, str]:
    """One shape as the minimum, optimum and maximum; empty if dimensions other than the batch are free."""
    shapes = []
    for tensor in inputs:
        rest = tensor.shape[1:]
        if not all(isinstance(size, int) for size in rest):
            return {}
        shapes.append(f"{tensor.name}:{'x'.join(str(size) for size in (batch, *rest))}")
    free = any(isinstance(size, str) for tensor in inputs for size in tensor.shape)
    return dict.fromkeys(PROFILE, ",".join(shapes)) if free else {}


def machine_facts() -> dict[str, object] | None:
    """What an engine depends on besides the model and the options; None without a GPU."""
    gpus = find_gpus()
    if not gpus:
        return None
    from resnetx.runtime.ort.library import ort

    return {
        "onnxruntime": ort.__version__,
        "libraries": {component.name: component.found for component in read_components()},
        "gpus": [[gpu.name, gpu.compute_capability, gpu.driver] for gpu in gpus],
        "environment": {name: os.environ.get(name) for name in ENVIRONMENT},
    }


def checked_engine_options(options: Mapping[str, str]) -> dict[str, str]:
    """Require a folder: without one, TensorRT writes engines to the working folder, and runs those in it."""
    if options.get(SWITCH, "0").lower() in ON:
        if not options.get(FOLDER):
            raise UsageError(
                f"{SWITCH}=1 needs a folder of your own for the engines: give {FOLDER}=FOLDER too. (bench creates "
                "one for each case.)"
            )
        require_private(Path(options[FOLDER]))
    return dict(options)  # TensorRT itself rejects unknown options


def engine_origin(options: Mapping[str, str], opened_at: float) -> str | None:
    """`built` or `from cache`, for a session that was opened at that time; None if no engine is cached."""
    if options.get(SWITCH, "0").lower() not in ON or not options.get(FOLDER):
        return None
    times = [file.stat().st_mtime for file in Path(options[FOLDER]).glob("*.engine")]
    return None if not times else "built" if max(times) >= opened_at else "from cache"


def named_folders(options: Mapping[str, str]) -> dict[str, str]:
    """The options for a result, without the paths of the user's folders."""
    folders = {name: Path(options[name]).name for name in (FOLDER, TIMING_FOLDER) if options.get(name)}
    return {**options, **folders}
