"""The provider table: what can run an ONNX file, with which settings and why, and what it takes to work."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import onnxruntime as ort

from resnetx.errors import UsageError
from resnetx.runtime.ort.openvino_plugin import attach_openvino, openvino_problem, openvino_properties
from resnetx.runtime.ort.shared_libraries import missing_libraries, runtime_folder
from resnetx.runtime.ort.tensorrt_cache import checked_engine_options

Precision = Literal["f32", "default"]
AUTO = "auto"
LONG_SUFFIX = "executionprovider"
# TensorRT has no option for TF32; NVIDIA's libraries read this instead, once, when they start.
TF32_OVERRIDE = "NVIDIA_TF32_OVERRIDE"
# PyTorch beside them, for what runs a model card and not a file: `torch_runner.py`.
TORCH, TORCH_COMPILE = "torch", "torch-compile"
TORCH_RUNNERS = (TORCH, TORCH_COMPILE)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One option that is never left to the provider: its value when free to be fast and when pinned to float32."""

    key: str
    fast: str | None
    f32: str | None
    why: str


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A row of the table; `problem` is a cheap look at libraries and devices, not yet a proof that it runs."""

    name: str
    native: str
    install: str
    problem: Callable[[], str | None]
    settings: tuple[Setting, ...] = ()
    # What a plugin needs instead of ONNX Runtime's list of providers.
    attach: Callable[[ort.SessionOptions, Mapping[str, str]], None] | None = None
    # Where nodes that it does not support may go without leaving the device.
    companion: str | None = None
    threads_key: str | None = None
    # None where nothing but a measurement tells.
    precision: Callable[[Mapping[str, str]], str] | None = None
    f32_environment: tuple[tuple[str, str], ...] = ()
    # Its own options as it takes them, checked where it would not; None where it has none.
    native_options: Callable[[Mapping[str, str]], dict[str, str]] | None = dict
    # Whether it wants tensors in memory of its own, so that placing them there once saves copies: `placed.py`.
    places: bool = False

    def defaults(self, precision: Precision) -> dict[str, str]:
        chosen = {each.key: each.f32 if precision == "f32" else each.fast for each in self.settings}
        return {key: value for key, value in chosen.items() if value is not None}


def _cpu_problem() -> None:
    return None


def _cuda_problem() -> str | None:
    # cuDNN is not linked but opened at the first convolution.
    return _gpu_problem("CUDAExecutionProvider", "cuda", also=("libcudnn.so.9",))


def _tensorrt_problem() -> str | None:
    return _gpu_problem("TensorrtExecutionProvider", "tensorrt") or _cuda_problem()


def _gpu_problem(native: str, library: str, also: tuple[str, ...] = ()) -> str | None:
    if native not in ort.get_available_providers():
        return f"this build of ONNX Runtime, {ort.__version__}, does not contain it (is it onnxruntime-gpu?)"
    path = runtime_folder() / f"libonnxruntime_providers_{library}.so"
    missing = missing_libraries(path, also) if os.name == "posix" else ()
    if not missing:
        return None
    driver = "; libcuda.so.1 comes with the NVIDIA driver" if "libcuda.so.1" in missing else ""
    return f"these libraries cannot be loaded: {', '.join(missing)}{driver}"


def _cuda_precision(options: Mapping[str, str]) -> str:
    return "fp32" if options.get("use_tf32") == "0" or os.environ.get(TF32_OVERRIDE) == "0" else "tf32"


def _tensorrt_precision(options: Mapping[str, str]) -> str:
    on = {key for key, value in options.items() if value.lower() in ("1", "true")}
    if "trt_bf16_enable" in on:
        return "bf16"
    if "trt_fp16_enable" in on:
        return "fp16"
    return "fp32" if os.environ.get(TF32_OVERRIDE) == "0" else "tf32"


PROVIDERS = (
    Provider(
        name="tensorrt",
        native="TensorrtExecutionProvider",
        install="pip install 'resnetx[cuda,tensorrt]' (TensorRT 10, CUDA 13), with an NVIDIA driver of 580 or newer",
        problem=_tensorrt_problem,
        settings=(
            Setting(key="trt_fp16_enable", fast="0", f32="0", why="half precision is asked for, never assumed"),
            Setting(key="trt_bf16_enable", fast="0", f32="0", why="the same"),
            Setting(
                key="trt_engine_cache_enable",
                fast="0",
                f32="0",
                why="a stale engine has given wrong outputs; bench turns it on, in a folder for this very case",
            ),
            Setting(key="trt_timing_cache_enable", fast="0", f32="0", why="the same"),
            Setting(key="trt_cuda_graph_enable", fast="0", f32="0", why="it needs fixed shapes and bound buffers"),
        ),
        companion="cuda",
        precision=_tensorrt_precision,
        native_options=checked_engine_options,
        f32_environment=((TF32_OVERRIDE, "0"),),
    ),
    Provider(
        name="cuda",
        native="CUDAExecutionProvider",
        install="pip install 'resnetx[cuda]' (CUDA 13, cuDNN 9), with an NVIDIA driver of 580 or newer",
        problem=_cuda_problem,
        settings=(
            Setting(key="use_tf32", fast="1", f32="0", why="TF32 keeps 10 of float32's 23 bits, and is on by default"),
            Setting(key="cudnn_conv_algo_search", fast="EXHAUSTIVE", f32="EXHAUSTIVE", why="slow once, fast after"),
            Setting(
                key="prefer_nhwc",
                fast="0",
                f32="0",
                why="the default; NHWC suits tensor cores, above all in fp16, but not all operators have it",
            ),
            Setting(key="fuse_conv_bias", fast="0", f32="0", why="ONNX Runtime's default, said aloud"),
            Setting(
                key="enable_cuda_graph",
                fast="0",
                f32="0",
                why="it needs one shape, bound buffers and one caller; bench --boundary device has and uses them",
            ),
        ),
        precision=_cuda_precision,
    ),
    Provider(
        name="openvino",
        native="OpenVINOExecutionProvider",
        install="pip install onnxruntime-ep-openvino, on a machine with an Intel processor",
        problem=openvino_problem,
        settings=(
            Setting(
                key="INFERENCE_PRECISION_HINT",
                fast=None,
                f32="f32",
                why="left alone, it computes in bf16 wherever the processor has bf16 instructions",
            ),
        ),
        attach=attach_openvino,
        native_options=openvino_properties,
        threads_key="INFERENCE_NUM_THREADS",
        places=True,
    ),
    Provider(
        name="cpu",
        native="CPUExecutionProvider",
        install="pip install --force-reinstall onnxruntime-gpu",
        problem=_cpu_problem,
        precision=lambda options: "fp32",
        native_options=None,
    ),
)
"""From the fastest to the one that is always there: the order in which `auto` tries them."""

BY_NAME = {provider.name: provider for provider in PROVIDERS}
SHORT_NAMES = {provider.native: provider.name for provider in PROVIDERS}


def find_provider(name: str) -> Provider:
    """The row of a short name, or of ONNX Runtime's long one."""
    short = name.strip().lower().removesuffix(LONG_SUFFIX)
    if short not in BY_NAME:
        known = ", ".join(reversed(BY_NAME))
        raise UsageError(f"There is no provider {name[:60]!r}; choose one of {known}, or {AUTO} for the best of them.")
    return BY_NAME[short]
