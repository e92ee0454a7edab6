"""Normalization in planes: the same file but for a Reshape that changes nothing, and no other file is touched."""

import numpy as np
import onnx
import pytest
import torch

from resnetx.graph.quantization.pixel_planes import with_pixels_in_planes
from resnetx.runtime.catalog import open_runner
from resnetx.verification.structure.module_structure import compare_structure
from tests.verification.structure.healthy import SIZE, deployed, file_of, standard_file


@pytest.fixture(scope="module")
def pixels() -> tuple[torch.nn.Module, onnx.ModelProto]:
    module, example = deployed(output="top5", pixels=True)
    return module, file_of(module, example)


def test_outputs_are_the_same_to_the_bit_and_the_file_is_still_proved(
    pixels: tuple[torch.nn.Module, onnx.ModelProto],
) -> None:
    module, model = pixels
    changed = with_pixels_in_planes(model)
    added = [node.op_type for node in changed.graph.node if node not in model.graph.node and node.op_type != "Conv"]
    assert added == ["Reshape"] and len(changed.graph.node) == len(model.graph.node) + 1
    images = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    before, after = (open_runner(each.SerializeToString()).run({"input": images}) for each in (model, changed))
    assert all((before[name] == after[name]).all() for name in before)
    assert compare_structure(changed, module, [torch.from_numpy(images)]).complete


def test_a_file_of_normalized_floats_stays_as_it_is() -> None:
    assert with_pixels_in_planes(standard_file()) == standard_file()
