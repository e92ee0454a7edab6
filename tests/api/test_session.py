"""`resnetx.open_session`: a caller's arrays in, arrays out, and clear words for what does not fit."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import resnetx
from resnetx.base.files import write_whole
from resnetx.errors import GraphError, UsageError
from resnetx.machine.facts import read_machine
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.tuned_model import MODEL, TunedModel
from tests.support.onnx_models import FEATURES, convolution_beside, small_classifier

IMAGES = np.random.default_rng(0).standard_normal((2, 3, 16, 16)).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "m.onnx").write_bytes(small_classifier())
    return tmp_path / "m.onnx"


def test_arrays_go_in_and_come_out(model: Path) -> None:
    with resnetx.open_session(model, provider="cpu", precision="fp32", threads=1) as session:
        assert (session.provider, session.precision) == ("cpu", "fp32")
        assert repr(session) == "<Session of m.onnx on cpu in fp32: x float32 [batch, 3, 16, 16]>"
        answers = session.run(IMAGES)["y"]
        assert answers.shape == (2, FEATURES)
        np.testing.assert_array_equal(session.run({"x": IMAGES})["y"], answers)
        np.testing.assert_array_equal(open_runner(model, threads=1).run({"x": IMAGES})["y"], answers)
    assert "closed" in repr(session)
    session.close()
    with pytest.raises(UsageError, match="is closed"):
        session.run(IMAGES)


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
@pytest.mark.parametrize(
    ("feeds", "words"),
    [
        (IMAGES.astype(np.float64), r"takes x float32 \[batch, 3, 16, 16\], and found float64 \[2, 3, 16, 16\]"),
        (IMAGES[:, :1], r"found float32 \[2, 1, 16, 16\]"),
        (IMAGES[0], r"found float32 \[3, 16, 16\]"),
        ({"image": IMAGES}, "by these names; found image"),
        ({}, "found none"),
        ({"x": IMAGES.tolist()}, "found list"),
    ],
)
def test_what_does_not_fit_is_said(model: Path, provider: str, feeds: Any, words: str) -> None:
    with resnetx.open_session(model, provider=provider) as session, pytest.raises(UsageError, match=words):
        session.run(feeds)


def test_several_inputs_are_given_by_name(tmp_path: Path) -> None:
    (tmp_path / "two.onnx").write_bytes(convolution_beside("Det"))
    image, matrix = np.ones((1, 3, 8, 8), np.float32), np.diag([2.0, 3.0]).astype(np.float32)
    with resnetx.open_session(tmp_path / "two.onnx", provider="cpu") as session:
        assert float(session.run({"m": matrix, "x": image})["d"]) == pytest.approx(6.0)
        with pytest.raises(UsageError, match="found one array"):
            session.run(image)


def test_a_fixed_batch_takes_that_batch_only(model: Path) -> None:
    with resnetx.open_session(model, provider="cpu", batch=2) as session:
        assert session.run(IMAGES)["y"].shape == (2, FEATURES)
        with pytest.raises(UsageError, match=r"x float32 \[2, 3, 16, 16\]"):
            session.run(IMAGES[:1])


def test_a_tuned_folder_says_how_it_runs(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tuned"
    folder.mkdir()
    data = model.read_bytes()
    write_whole(folder / MODEL, data)
    tuned = TunedModel(
        provider="cpu",
        precision="fp32",
        threads=1,
        streams=1,
        batch=2,
        objective="latency",
        sha256=hashlib.sha256(data).hexdigest(),
        machine=read_machine().to_json(),
    )
    tuned.write(folder)
    with resnetx.open_session(folder) as session:
        assert session.provider == "cpu" and session.inputs[0].shape[0] == 2
        assert session.run(IMAGES)["y"].shape == (2, FEATURES)
    with pytest.raises(UsageError, match="leave `provider`, `precision`"):
        resnetx.open_session(folder, batch=1)


def test_a_file_that_is_none_is_refused_before_an_engine_sees_it(tmp_path: Path) -> None:
    hostile = onnx.load_from_string(small_classifier())
    hostile.graph.node[0].domain = "com.example"
    onnx.save(hostile, tmp_path / "m.onnx")
    with pytest.raises(GraphError, match=r"com\.example"):
        resnetx.open_session(tmp_path / "m.onnx", provider="cpu")
