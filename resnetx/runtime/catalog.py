"""The catalog of providers, with one row for each, and their look-up by name.

A new execution provider is a row here; a new engine is a folder beside `ort/` and a row here. Importing this module
loads no engine.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from resnetx.base.precisions import SessionPrecision
from resnetx.base.text import readable
from resnetx.base.vocabulary import AUTO
from resnetx.errors import ResnetxError, RuntimeUnavailableError, UsageError
from resnetx.runtime.cudnn.provider import CudnnProvider
from resnetx.runtime.fixes import unavailable
from resnetx.runtime.openvino.provider import OpenVINOProvider
from resnetx.runtime.ort.nvidia_providers import (
    CUDNN,
    TF32_OVERRIDE,
    cuda_options,
    cuda_precision,
    cuda_problem,
    tensorrt_precision,
    tensorrt_problem,
)
from resnetx.runtime.ort.openvino_plugin import attach_openvino, openvino_library, openvino_problem, openvino_properties
from resnetx.runtime.ort.providers import CPU, ExecutionProvider, Setting
from resnetx.runtime.ort.tensorrt_cache import checked_engine_options
from resnetx.runtime.pytorch.provider import TorchProvider
from resnetx.runtime.runner import Engine, Opening, Provider, Runner, Source

CUDA = ExecutionProvider(
    name="cuda",
    native="CUDAExecutionProvider",
    gpu=True,
    extras=("cuda",),
    problem=cuda_problem,
    opens=(CUDNN,),
    settings=(
        Setting(key="use_tf32", fast="1", fp32="0", why="TF32 keeps 10 of float32's 23 bits, and is on by default"),
        Setting(
            key="cudnn_conv_algo_search",
            fast="EXHAUSTIVE",
            fp32="EXHAUSTIVE",
            half="HEURISTIC",
            why="times the fused convolutions of float32; in float16 both are heuristics of cuDNN, B and the quicker A",
        ),
        Setting(key="prefer_nhwc", fast="1", fp32="0", half="1", why="the layout of tensor cores"),
        Setting(key="fuse_conv_bias", fast="1", fp32="0", half="1", why="needs NHWC; 1.4 to 1.7 times as fast as NCHW"),
        Setting(
            key="enable_cuda_graph",
            fast="0",
            fp32="0",
            why="it needs one shape, bound buffers and one caller; a session for one batch size enables it",
        ),
    ),
    native_options=cuda_options,
    precision=cuda_precision,
    graph_option="enable_cuda_graph",
    environment=((TF32_OVERRIDE, "0"),),
)
CATALOG: tuple[Provider, ...] = (
    CPU,
    ExecutionProvider(
        name="openvino-ep",
        native="OpenVINOExecutionProvider",
        extras=("openvino-ep",),
        package="onnxruntime-ep-openvino",
        vendors=("Intel",),
        problem=openvino_problem,
        settings=(
            Setting(
                key="INFERENCE_PRECISION_HINT",
                fast=None,
                fp32="f32",
                bf16="bf16",
                why="by default it computes in bf16 if the processor has bf16 instructions",
            ),
        ),
        attach=attach_openvino,
        library=openvino_library,
        native_options=openvino_properties,
        threads_key="INFERENCE_NUM_THREADS",
        streams_key="NUM_STREAMS",
        moves_roundings=True,
    ),
    OpenVINOProvider(name="openvino", moves_roundings=True, streams_key="NUM_STREAMS"),
    CUDA,
    CudnnProvider(name="cudnn"),
    ExecutionProvider(
        name="tensorrt",
        native="TensorrtExecutionProvider",
        gpu=True,
        builds_for_minutes=True,
        moves_roundings=True,
        extras=("cuda", "tensorrt"),
        newest=(("tensorrt-cu13", 10),),
        links_driver=False,
        problem=tensorrt_problem,
        settings=(
            Setting(key="trt_fp16_enable", fast="0", fp32="0", why="half precision only on request"),
            Setting(key="trt_bf16_enable", fast="0", fp32="0", bf16="1", why="the same"),
            Setting(
                key="trt_engine_cache_enable",
                fast="0",
                fp32="0",
                why="a stale engine has given wrong outputs; bench enables it, with a folder for each case",
            ),
            Setting(key="trt_timing_cache_enable", fast="0", fp32="0", why="the same"),
            Setting(key="trt_cuda_graph_enable", fast="0", fp32="0", why="it needs fixed shapes and bound buffers"),
        ),
        companion=CUDA,
        precision=tensorrt_precision,
        native_options=checked_engine_options,
        environment=((TF32_OVERRIDE, "0"),),
        keeps_engines=True,
    ),
    TorchProvider(name="torch", baseline=True, times_layers=True),
    TorchProvider(
        name="torch-compile",
        compiled=True,
        compiles_each_batch=True,
    ),
)
"""In display order. `auto` tries the providers that run files from last to first: the last are the fastest, and the
first is always available."""

BY_NAME = {row.name: row for row in CATALOG}


def find_provider(name: str) -> Provider:
    """The provider with this short name or ONNX Runtime name."""
    wanted = name.strip().lower()
    found = next((row for row in BY_NAME.values() if wanted in row.names), None)
    if found is None:
        raise UsageError(
            f"There is no provider {readable(name[:60])!r}; choose one of {', '.join(BY_NAME)}, or {AUTO} for the best "
            "that works."
        )
    return found


def engine_of(provider: Provider) -> Engine:
    """Load the engine of a provider."""
    try:
        return _load_engine(provider)
    except ImportError as error:
        imports = provider.engine != CPU.engine  # without ONNX Runtime nothing else works either
        problem = f"its library cannot be imported: {error}"
        raise unavailable(provider, problem, imports=imports) from error


def _load_engine(provider: Provider) -> Engine:
    if isinstance(provider, ExecutionProvider):
        from resnetx.runtime.ort.engine import OnnxRuntime

        return OnnxRuntime(provider)
    if isinstance(provider, OpenVINOProvider):
        from resnetx.runtime.openvino.engine import OpenVINO

        return OpenVINO(provider)
    if isinstance(provider, CudnnProvider):
        from resnetx.runtime.cudnn.engine import Cudnn

        return Cudnn(provider)
    if isinstance(provider, TorchProvider):
        from resnetx.runtime.pytorch.engine import PyTorch

        return PyTorch(provider)
    raise AssertionError(f"{provider.name} has no engine")


def working_providers(precision: str = "fp32") -> Iterator[Provider]:
    """The providers that work here and run files, the fastest for files of this precision first."""
    *others, always = [row for row in reversed(BY_NAME.values()) if not row.needs_card]
    slower = []
    for row in others:
        engine = _working_engine(row)
        if engine is not None and engine.preferred(precision):
            yield row
        elif engine is not None:
            slower.append(row)
    yield from (always, *slower)


def _working_engine(provider: Provider) -> Engine | None:
    try:
        engine = engine_of(provider)
    except RuntimeUnavailableError:
        return None
    return engine if engine.why_not() is None else None


def best_provider(precision: str = "fp32") -> Provider:
    """The fastest provider that works here and runs files, for files of this precision."""
    return next(working_providers(precision))


def open_best(source: Source, opening: Opening, *, times_layers: bool = False) -> Runner:
    """Open a file on the fastest provider that works here and can run it; the reasons against faster ones are notes.

    With `times_layers`, only those that tell the time of their layers are considered.
    """
    from resnetx.runtime.file_precision import parse_graph, stored_precision

    reasons: list[ResnetxError] = []
    notes: list[str] = []
    assert isinstance(source, Path | bytes)
    for row in working_providers(stored_precision(parse_graph(source))):
        if times_layers and not row.times_layers:
            continue
        try:
            runner = engine_of(row).open(source, opening)
        except UsageError as error:
            raise (reasons or [error])[0] from None
        except ResnetxError as error:
            reasons.append(error)
            notes.append(f"{AUTO} passed over {row.name}: {error}")
        else:
            runner.facts = replace(runner.facts, notes=(*notes, *runner.facts.notes))
            return runner
    raise reasons[0]


def provider_names(texts: Sequence[str]) -> list[str]:
    """Short names, from texts that may each contain several separated by commas; `auto` is not resolved."""
    names = [name.strip() for text in texts for name in text.split(",")]
    return [AUTO if name.lower() == AUTO else find_provider(name).name for name in names]


def scoped_options(options: Mapping[str, str], providers: Sequence[str]) -> dict[str, dict[str, str]]:
    """Options by provider: `provider:key` applies to that provider only, `key` to all."""
    chosen: dict[str, dict[str, str]] = {provider: {} for provider in providers}
    for key, value in options.items():
        scope, colon, name = key.partition(":")
        targets = provider_names([scope]) if colon else list(providers)
        missing = [target for target in targets if target not in providers]
        if missing:
            raise UsageError(
                f"--provider-option {readable(key[:80])} is for {missing[0]}, which is not among the providers "
                "requested. Add it with --provider, or leave the option out."
            )
        for provider in targets:
            chosen[provider][name if colon else key] = value
    return chosen


def pinned_environment(providers: Sequence[str], options: Mapping[str, str], precision: str) -> dict[str, str]:
    """The variables of a process in which these providers must compute float32 layers in float32.

    ONNX Runtime's options alone do not do it: with `use_tf32=0`, cuDNN has computed convolutions of large batches in
    TF32. An option of the user about TF32 decides by itself.
    """
    if precision != "fp32" or any("tf32" in key.lower() for key in options):
        return {}
    rows = [row for name, row in BY_NAME.items() if name in providers or AUTO in providers]
    return {name: value for row in rows for name, value in row.environment}


def runs_on_gpu(provider: str, options: Mapping[str, str]) -> bool:
    """Whether a provider computes on a GPU with these options; a result file may name an unknown provider."""
    row = BY_NAME.get(provider)
    return row is not None and row.on_gpu(options)


def open_runner(
    model: Path | bytes,
    *,
    provider: str = "cpu",
    precision: SessionPrecision = "fp32",
    options: Mapping[str, str] | None = None,
    threads: int | None = None,
    batch: int | None = None,
    callers: int = 1,
    optimize: bool = True,
    allow_fallback: bool = False,
) -> Runner:
    """Open a file or a serialized model on a provider by name, and check that this provider runs it.

    The precision fp32 pins every provider to true float32, to compare numbers; `default` uses the provider's fast
    settings, and bf16 computes float32 layers in bf16 where the provider can. The other parameters are those of
    `Opening`. A session that would run on another provider is an error, unless `allow_fallback` is true: then the
    runner's `fallback` is the reason.
    """
    auto = provider.strip().lower() == AUTO
    row = CATALOG[0] if auto else find_provider(provider)
    if row.needs_card:
        able = ", ".join(name for name, other in BY_NAME.items() if not other.needs_card)
        raise UsageError(f"The provider {row.name} runs PyTorch modules, not files; choose one of {able}.")
    opening = Opening(
        precision=precision,
        options=options or {},
        threads=threads,
        batch=batch,
        callers=callers,
        optimize=optimize,
        allow_fallback=allow_fallback,
    )
    return open_best(model, opening) if auto else engine_of(row).open(model, opening)
