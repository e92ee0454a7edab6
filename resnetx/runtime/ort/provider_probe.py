"""Runs a small model to find out whether a provider works here, and in which precision it computes."""

from collections.abc import Mapping
from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from resnetx.errors import RuntimeUnavailableError
from resnetx.runtime.ort.library import ort
from resnetx.runtime.ort.native_session import OpeningError, open_native
from resnetx.runtime.ort.node_placement import fallback_reason, placed_nodes
from resnetx.runtime.ort.providers import ExecutionProvider
from resnetx.runtime.ort.session_options import Settings, resolve_settings

CHANNELS, SIZE = 16, 8
# Finest first: a number that this precision represents exactly and the later ones do not. tf32 has the range of
# float32 and the fraction bits of fp16, so its number is beyond the range of fp16.
EXACT_IN = {
    "fp32": np.float32(1 + 2**-23),
    "tf32": np.float32(2**17 * (1 + 2**-10)),
    "fp16": np.float32(1 + 2**-10),
    "bf16": np.float32(1 + 2**-7),
}


@cache
def one_convolution() -> bytes:
    """A model of one identity convolution, whose output differs from its input only by rounding."""
    weight = np.eye(CHANNELS, dtype=np.float32).reshape(CHANNELS, CHANNELS, 1, 1)
    shape = [1, CHANNELS, SIZE, SIZE]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")],
        "probe",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "w")],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


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
        if problem is None and not _survives(native, EXACT_IN["bf16"]):
            problem = "a convolution that should return its input returns something else"
    except (OpeningError, RuntimeUnavailableError) as error:
        return f"it cannot open a model of one convolution: {error}"
    except Exception as error:  # the runtime raises its own types, which share no base below Exception
        return f"it cannot run one convolution: {str(error).strip()[:300]}"
    return problem


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
    return next((precision for precision, value in EXACT_IN.items() if _survives(session, value)), "int8")


def _survives(session: ort.InferenceSession, value: np.float32) -> bool:
    feed = np.full((1, CHANNELS, SIZE, SIZE), value)
    return bool(np.array_equal(session.run(["y"], {"x": feed})[0], feed))
