"""A model of one identity convolution, which shows whether a provider works and in which precision it computes."""

from collections.abc import Callable
from contextlib import closing
from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from resnetx.errors import ResnetxError, RuntimeUnavailableError
from resnetx.runtime.runner import Engine, Opening

CHANNELS, SIZE = 16, 8
# Finest first: a number that this precision represents exactly and the later ones do not. tf32 has the range of
# float32 and the fraction bits of fp16, so its number is beyond the range of fp16.
EXACT_IN = {
    "fp32": np.float32(1 + 2**-23),
    "tf32": np.float32(2**17 * (1 + 2**-10)),
    "fp16": np.float32(1 + 2**-10),
    "bf16": np.float32(1 + 2**-7),
}
# Runs the model on one array.
Run = Callable[[np.ndarray], np.ndarray]


@cache
def one_convolution() -> bytes:
    """The model, whose output differs from its input only by rounding."""
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


def survives(run: Run, value: np.float32) -> bool:
    """Whether the convolution returns this number unchanged."""
    feed = np.full((1, CHANNELS, SIZE, SIZE), value)
    return bool(np.array_equal(run(feed), feed))


def problem_with(engine: Engine) -> str | None:
    """Why an engine cannot run the model, or None if it returns the right numbers."""
    try:
        with closing(engine.open(one_convolution(), Opening())) as runner:
            right = survives(lambda array: runner.run({"x": array})["y"], EXACT_IN["bf16"])
    except RuntimeUnavailableError as error:
        return error.problem
    except ResnetxError as error:
        return str(error)
    return None if right else "a convolution that should return its input returns something else"


def measured_precision(run: Run) -> str:
    """The finest precision whose number survives."""
    return next((precision for precision, value in EXACT_IN.items() if survives(run, value)), "int8")
