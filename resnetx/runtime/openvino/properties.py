"""The properties of OpenVINO's device: ours, the user's, and those in effect."""

from collections.abc import Mapping
from typing import Any

from resnetx.base.precisions import SESSION_PRECISIONS, Precision
from resnetx.errors import RuntimeUnavailableError, UsageError
from resnetx.machine.threads import MAX_THREADS, default_threads
from resnetx.runtime.openvino.library import core, error_line, ov
from resnetx.runtime.openvino.provider import OpenVINOProvider
from resnetx.runtime.runner import Opening

PRECISION, HINT, THREADS = "INFERENCE_PRECISION_HINT", "PERFORMANCE_HINT", "INFERENCE_NUM_THREADS"
# OpenVINO's names of precisions; with the last, each layer has the precision that the file gives it.
PRECISIONS: dict[str, Precision] = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "dynamic": "fp32"}
# How to request them; by default OpenVINO chooses.
HINTS = {"fp32": "f32", "bf16": "bf16"}
# Not settings: what a compiled model is called, what it can be asked, and the processors that it runs on.
UNTOLD = ("SUPPORTED_PROPERTIES", "NETWORK_NAME", "RUNTIME_REQUIREMENTS")


def resolve_properties(provider: OpenVINOProvider, opening: Opening) -> dict[str, str]:
    """The properties for opening a model; the user's override ours."""
    if opening.precision not in SESSION_PRECISIONS:
        raise UsageError(
            f"A session's precision is {' or '.join(SESSION_PRECISIONS)}; found {str(opening.precision)[:40]!r}."
        )
    threads = default_threads() if opening.threads is None else opening.threads
    if not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"The number of threads must be between 1 and {MAX_THREADS}; found {threads}.")
    # Requests that run at the same time need a stream each, which the throughput hint creates.
    chosen = {THREADS: str(threads), HINT: "LATENCY" if opening.callers == 1 else "THROUGHPUT"}
    # By default it computes in bf16 or fp16 where the processor can.
    if opening.precision in HINTS:
        chosen[PRECISION] = HINTS[opening.precision]
    known = writable_properties(provider.device)
    for name in opening.options:
        if name not in known:
            raise UsageError(
                f"The provider {provider.name} has no option {name[:80]!r}. It takes the properties of OpenVINO's "
                f"{provider.device} device: {', '.join(sorted(known))}."
            )
    return chosen | dict(opening.options)


def writable_properties(device: str) -> frozenset[str]:
    """The names of all properties that can be set on a device."""
    try:
        supported: Mapping[str, str] = core().get_property(device, "SUPPORTED_PROPERTIES")
    except Exception as error:  # OpenVINO raises RuntimeError for everything
        raise RuntimeUnavailableError(f"OpenVINO has no {device} device here: {error_line(error)}") from error
    return frozenset(name for name, access in supported.items() if access in ("RW", "WO"))


def properties_in_effect(compiled: "ov.CompiledModel") -> dict[str, str]:
    """All properties of a compiled model."""
    names = [name for name in compiled.get_property("SUPPORTED_PROPERTIES") if name not in UNTOLD]
    return {name: _text(compiled.get_property(name)) for name in sorted(names)}


def precision_in_effect(found: Mapping[str, str], requested: Mapping[str, str], device: str) -> Precision:
    """The precision of float32 layers. Where a processor lacks the requested one, OpenVINO uses another, or, on those
    with AVX-512 alone, emulates bf16, which is slower than float32."""
    name = found.get(PRECISION, "f32")
    wanted = requested.get(PRECISION, name)
    precision = PRECISIONS.get(name, "fp32")
    emulated = precision.upper() not in core().get_property(device, "OPTIMIZATION_CAPABILITIES")
    if wanted in PRECISIONS and (wanted != name or emulated):
        does = "emulates it" if wanted == name else f"computes in {name}"
        raise RuntimeUnavailableError(
            f"{PRECISION}={wanted} was requested, and OpenVINO {does} here: this processor has no "
            f"instructions for {wanted}. Leave the option out, or give f32."
        )
    return precision


def _text(value: Any) -> str:
    if isinstance(value, ov.Type):
        return str(value.to_string())
    if isinstance(value, list | set | tuple):
        return ",".join(sorted(map(_text, value)))
    return str(value).rpartition(".")[2] if "." in str(value) and not isinstance(value, float) else str(value)
