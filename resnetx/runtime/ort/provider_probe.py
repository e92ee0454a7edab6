"""Runs a small model to find out whether a provider works here, and in which precision it computes."""

from collections.abc import Mapping
from functools import cache

from resnetx.errors import RuntimeUnavailableError
from resnetx.runtime.convolution_probe import EXACT_IN, Run, measured_precision, one_convolution, survives
from resnetx.runtime.ort.library import ort
from resnetx.runtime.ort.native_session import OpeningError, open_native
from resnetx.runtime.ort.node_placement import fallback_reason, placed_nodes
from resnetx.runtime.ort.providers import ExecutionProvider
from resnetx.runtime.ort.session_options import Settings, resolve_settings
from resnetx.runtime.ort.shared_libraries import missing_libraries, needed_libraries, provider_library


@cache
def why_not(provider: ExecutionProvider) -> str | None:
    """Why the provider does not work here, tested by running one convolution; None if it works."""
    problem = provider.problem()
    if problem:
        return problem
    settings = resolve_settings(provider, precision="fp32", threads=None, options={})
    try:
        native = open_native(provider, one_convolution(), settings)
        problem = fallback_reason(native, placed_nodes(native, provider), provider)
        if problem is None and not survives(_run(native), EXACT_IN["bf16"]):
            problem = "a convolution that should return its input returns something else"
    except (OpeningError, RuntimeUnavailableError) as error:
        return f"it cannot open a model of one convolution: {error}"
    except Exception as error:  # the runtime raises its own types, which share no base below Exception
        return f"it cannot run one convolution: {str(error).strip()[:300]}"
    return problem


def libraries_of(provider: ExecutionProvider) -> list[tuple[str, bool]]:
    """The shared libraries that the provider needs, and whether each can be loaded."""
    path = provider.library() if provider.library else provider_library(provider.name)
    if path is None:
        return []
    # Libraries in the same folder are found through the library's own search path, not by name.
    missing = {each for each in missing_libraries(path, provider.opens) if not (path.parent / each).is_file()}
    return [(each, each not in missing) for each in (*needed_libraries(path), *provider.opens)]


def provider_precision(provider: ExecutionProvider, settings: Settings, reported: Mapping[str, str]) -> str:
    """The precision in which the provider multiplies float32 tensors in a session with these settings.

    For CUDA and TensorRT it is the one that the reported options allow: which kernels use TF32 depends on the shapes
    and the GPU. OpenVINO does not report its precision through ONNX Runtime, so it is measured: an identity
    convolution with the same settings is run on numbers that only one precision and the finer ones represent exactly.
    """
    if provider.precision is not None:
        return provider.precision(reported)
    return _measured(
        provider, tuple(settings.fields.items()), tuple(settings.keys.items()), tuple(settings.native.items())
    )


Pairs = tuple[tuple[str, str], ...]


@cache
def _measured(provider: ExecutionProvider, fields: Pairs, keys: Pairs, native: Pairs) -> str:
    settings = Settings(fields=dict(fields), keys=dict(keys), native=dict(native))
    try:
        session = open_native(provider, one_convolution(), settings)
    except OpeningError as error:
        raise RuntimeUnavailableError(
            f"The precision of the provider {provider.name} could not be measured: with these options it cannot open "
            f"a model of one convolution: {error}."
        ) from error
    return measured_precision(_run(session))


def _run(session: ort.InferenceSession) -> Run:
    return lambda array: session.run(["y"], {"x": array})[0]
