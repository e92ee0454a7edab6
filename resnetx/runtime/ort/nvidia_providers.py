"""CUDA and TensorRT: why they do not work here, and the precision that their options allow."""

import os
from collections.abc import Mapping

from resnetx.runtime.ort.shared_libraries import missing_libraries, runtime_folder

# TensorRT has no option for TF32; NVIDIA's libraries read this instead, once, when they are loaded.
TF32_OVERRIDE = "NVIDIA_TF32_OVERRIDE"
# cuDNN is not linked, but loaded at the first convolution.
CUDNN = "libcudnn.so.9"


def cuda_problem() -> str | None:
    return _gpu_problem("CUDAExecutionProvider", "cuda", also=(CUDNN,))


def tensorrt_problem() -> str | None:
    return _gpu_problem("TensorrtExecutionProvider", "tensorrt") or cuda_problem()


def _gpu_problem(native: str, library: str, also: tuple[str, ...] = ()) -> str | None:
    from resnetx.runtime.ort.library import ort

    if native not in ort.get_available_providers():
        return f"this build of ONNX Runtime, {ort.__version__}, does not contain it (is it onnxruntime-gpu?)"
    path = runtime_folder() / f"libonnxruntime_providers_{library}.so"
    missing = missing_libraries(path, also) if os.name == "posix" else ()
    if not missing:
        return None
    driver = "; libcuda.so.1 comes with the NVIDIA driver" if "libcuda.so.1" in missing else ""
    return f"these libraries cannot be loaded: {', '.join(missing)}{driver}"


def cuda_precision(options: Mapping[str, str]) -> str:
    return "fp32" if options.get("use_tf32") == "0" or os.environ.get(TF32_OVERRIDE) == "0" else "tf32"


def cuda_options(options: Mapping[str, str]) -> dict[str, str]:
    """The user's options; cuDNN fuses a bias only in NHWC, and fails in NCHW. The provider rejects unknown options."""
    plain = {"fuse_conv_bias": "0"} if options.get("prefer_nhwc") == "0" else {}
    return plain | dict(options)


def tensorrt_precision(options: Mapping[str, str]) -> str:
    on = {key for key, value in options.items() if value.lower() in ("1", "true")}
    if "trt_bf16_enable" in on:
        return "bf16"
    if "trt_fp16_enable" in on:
        return "fp16"
    return "fp32" if os.environ.get(TF32_OVERRIDE) == "0" else "tf32"
