"""The properties of OpenVINO's device: the precision that was asked for or an error, and options that exist."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import openvino as ov
import pytest

from resnetx.base.precisions import SESSION_PRECISIONS
from resnetx.errors import RuntimeUnavailableError, UsageError
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.runner import Runner
from tests.runtime.openvino.test_session import ENGINE, images, opened
from tests.support.onnx_models import quantized_convolution, small_classifier

CAPABILITIES = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_precision_of_the_file_counts() -> None:
    assert opened(small_classifier(dtype=np.float16)).effective_precision == "fp16"
    quantized = opened(quantized_convolution())
    assert quantized.effective_precision == "int8" and quantized.facts.notes == ()
    ((kernel_name, count),) = quantized.facts.kernels
    assert count == 1 and "8" in kernel_name


def test_float32_is_pinned_unless_the_default_is_asked_for() -> None:
    data, feeds = small_classifier(), {"x": images(4)}
    reference = open_runner(data).run(feeds)["y"]

    def error(runner: Runner) -> float:
        return float(np.abs(runner.run(feeds)["y"] - reference).max() / np.abs(reference).max())

    pinned, free = opened(data), opened(data, precision="default")
    assert pinned.effective_precision == "fp32" and error(pinned) < 1e-5
    # What is reported is what the numbers show, whichever instructions this machine has.
    assert (free.effective_precision == "fp32") == (error(free) < 1e-5)
    assert ENGINE.default_precision() == free.effective_precision
    accurate = opened(data, precision="default", options={"EXECUTION_MODE_HINT": "ACCURACY"})
    assert accurate.effective_precision == "fp32" and error(accurate) < 1e-5


@pytest.mark.parametrize(("name", "precision"), [("bf16", "bf16"), ("f16", "fp16")])
def test_a_reduced_precision_is_used_or_refused(name: str, precision: str) -> None:
    """Where the processor lacks it, OpenVINO silently computes in float32, or emulates bf16."""
    ways: list[dict[str, Any]] = [{"options": {"INFERENCE_PRECISION_HINT": name}}]
    if precision in SESSION_PRECISIONS:
        ways.append({"precision": precision})
    for way in ways:
        if precision.upper() in CAPABILITIES:
            assert opened(small_classifier(), **way).effective_precision == precision
        else:
            with pytest.raises(
                RuntimeUnavailableError, match=f"={name} was requested, and OpenVINO (computes in f32|emulates it)"
            ):
                opened(small_classifier(), **way)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"NO_SUCH_PROPERTY": "1"}, "no option 'NO_SUCH_PROPERTY'.*INFERENCE_PRECISION_HINT"),
        ({"\x1b[31m" * 1000: "1"}, "no option"),
        ({"AVAILABLE_DEVICES": "1"}, "no option"),  # it can be read only
        ({"session.intra_op.allow_spinning": "0"}, "no option"),
        ({"NUM_STREAMS": "many"}, "refuses the option NUM_STREAMS=many"),
        ({"INFERENCE_PRECISION_HINT": "f99"}, "refuses the option INFERENCE_PRECISION_HINT=f99"),
        ({"PERFORMANCE_HINT": "FAST"}, "refuses the option PERFORMANCE_HINT=FAST"),
    ],
)
def test_properties_that_the_device_does_not_know_are_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        opened(small_classifier(), options=options)
    assert "\x1b" not in str(caught.value) and len(str(caught.value)) < 1500


def test_options_in_effect_are_those_of_the_compiled_model() -> None:
    runner = opened(small_classifier(), threads=1, options={"NUM_STREAMS": "1", "ENABLE_CPU_PINNING": "NO"})
    assert runner.options["INFERENCE_NUM_THREADS"] == "1" and runner.options["NUM_STREAMS"] == "1"
    assert runner.options["ENABLE_CPU_PINNING"] == "False"
    assert all(isinstance(value, str) for value in runner.options.values())
    for threads in (0, 5000):
        with pytest.raises(UsageError, match="between 1 and 1024"):
            opened(small_classifier(), threads=threads)
    with pytest.raises(UsageError, match="precision"):
        opened(small_classifier(), precision="fp8")


@pytest.mark.parametrize(
    ("vendor", "default", "precision", "expected"),
    [
        ("AMD", "fp32", "fp32", False),
        ("AMD", "fp32", "fp16", False),
        ("AMD", "fp32", "int8", True),
        ("AMD", "bf16", "fp32", True),
        ("Arm", "fp16", "fp32", True),
        ("Intel", "fp32", "fp32", True),
    ],
)
def test_auto_prefers_it_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, vendor: str, default: str, precision: str, expected: bool
) -> None:
    processor = SimpleNamespace(vendor=vendor)
    monkeypatch.setattr("resnetx.runtime.openvino.engine.read_processor", lambda: processor)
    monkeypatch.setattr(type(ENGINE), "default_precision", lambda self: default)
    assert ENGINE.preferred(precision) is expected
