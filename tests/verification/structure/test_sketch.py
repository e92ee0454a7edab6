"""The summary for machines without torch: as good a judge of a filter, small, the same everywhere, and validated."""

import functools
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from onnx import numpy_helper

from resnetx.errors import FileError
from resnetx.verification.structure.module_structure import parameter_sketch
from resnetx.verification.structure.sketch import (
    StructureSketch,
    coefficients,
    compare_with_sketch,
    from_arrays,
    to_arrays,
)
from tests.verification.faults.graph_edits import ahead, attributes, changed
from tests.verification.structure.healthy import deployed, file_of, standard, standard_file


@functools.cache
def sketch() -> StructureSketch:
    module, example, _ = standard()
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **to_arrays(parameter_sketch(module, [example])))
    stream.seek(0)
    with np.load(stream, allow_pickle=False) as arrays:
        return from_arrays({name: arrays[name] for name in arrays.files})


def test_a_healthy_file_is_proved_in_every_precision_and_batch() -> None:
    module, example, _ = standard()
    assert compare_with_sketch(standard_file(), sketch(), precision="fp32").complete
    assert compare_with_sketch(file_of(module, example, precision="fp16"), sketch(), precision="fp16").complete
    for batch in (1, 3):
        model = file_of(module, example[:1].expand(batch, -1, -1, -1), dynamic_batch=False)
        assert compare_with_sketch(model, sketch()).complete


def test_pixels_and_top_k_are_proved_too() -> None:
    module, example = deployed(output="top5", pixels=True, variant="textbook")
    assert compare_with_sketch(file_of(module, example), parameter_sketch(module, [example])).complete


# Larger than what is kept whole, smaller, and a vector.
@pytest.mark.parametrize("name", ["layer2.1.conv2.weight", "layer2.0.conv3.weight", "conv1.weight", "conv1.bias"])
@pytest.mark.parametrize("factor", [1.01, 0.99, -1.0])
def test_one_weight_that_is_off_is_found_and_its_filter_is_named(name: str, factor: float) -> None:
    model = standard_file()
    tensor = next(each for each in model.graph.initializer if each.name == name)
    array = numpy_helper.to_array(tensor).copy()
    flat = array.reshape(len(array), -1)
    flat[2, flat.shape[1] // 2] *= np.float32(factor)
    tensor.CopyFrom(numpy_helper.from_array(array, name))
    differences = compare_with_sketch(model, sketch(), precision="fp32").differences
    assert [f"{row.layer}.{row.what}" for row in differences] == [name]
    assert differences[0].place is not None and differences[0].place[0] == 2 and differences[0].count == 1


def test_filters_that_changed_places_and_elements_that_did_are_found() -> None:
    for axis in (0, 1):
        model = standard_file()
        tensor = next(each for each in model.graph.initializer if each.name == "layer2.0.conv2.weight")
        array = np.flip(numpy_helper.to_array(tensor), axis)
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))
        assert {row.layer for row in compare_with_sketch(model, sketch()).differences} == {"layer2.0.conv2"}


def test_structure_is_compared_as_with_the_module() -> None:
    for edit in (
        attributes("layer2.0.conv2", strides=[1, 1]),
        ahead("layer2.1.conv1", "y = Clip(x, , high)", high=300.0),
    ):
        assert compare_with_sketch(changed(edit)(standard_file()), sketch()).differences


def test_the_random_factors_are_the_same_everywhere() -> None:
    factors = coefficients(1000)
    assert factors.shape == (1000, 2) and (np.abs(factors) >= 2 / 3).all() and (np.abs(factors) <= 4 / 3).all()
    np.testing.assert_allclose(factors[:2], coefficients(2), rtol=0, atol=0)
    assert abs(float(factors.mean())) < 0.1


def test_a_sketch_is_compared_without_torch() -> None:
    module = "resnetx.verification.structure.sketch"
    probe = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data, arrays: data.pop("ops"),
        lambda data, arrays: data.update(schema="resnetx.structure-sketch/99"),
        lambda data, arrays: data["ops"][0].update(inputs=3),
        lambda data, arrays: arrays.pop(next(iter(arrays))),
        lambda data, arrays: arrays.update({next(iter(arrays)): np.zeros((1, 1))}),
    ],
)
def test_a_damaged_sketch_is_refused(damage: object) -> None:
    arrays = dict(sketch().arrays)
    data = json.loads(json.dumps(sketch().structure))
    damage(data, arrays)  # type: ignore[operator]
    with pytest.raises(FileError, match="make the golden file again"):
        compare_with_sketch(standard_file(), StructureSketch(structure=data, arrays=arrays))


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(FileError, match="can't be read"):
        from_arrays({"structure": np.array("{")})
