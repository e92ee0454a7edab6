"""TensorRT's engines: a folder for every combination of what they depend on, and nobody else's."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetx.errors import FileError, UsageError
from resnetx.graph.reading.onnx_file import read_onnx_file
from resnetx.machine.gpus import Gpu
from resnetx.runtime.catalog import BY_NAME
from resnetx.runtime.engine_cache import engine_key, private_folder, require_private
from resnetx.runtime.ort import tensorrt_cache
from resnetx.runtime.ort.session_options import resolve_settings
from resnetx.runtime.ort.tensorrt_cache import (
    FOLDER,
    PROFILE,
    SWITCH,
    TIMING_FOLDER,
    TIMING_SWITCH,
    checked_engine_options,
    engine_origin,
    named_folders,
    shape_profile,
    with_engine_cache,
)
from resnetx.runtime.runner import TensorInfo
from tests.support.onnx_models import small_classifier

IMAGES = (TensorInfo("x", np.dtype(np.float32), ("N", 3, 16, 16)),)
H200 = Gpu(name="NVIDIA H200", driver="580.1", memory_mb=1, compute_capability="9.0")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine with a GPU, whose facts a test may change."""
    facts = SimpleNamespace(gpus=(H200,), tensorrt="10.16.1")
    monkeypatch.setattr(tensorrt_cache, "find_gpus", lambda: facts.gpus)
    component = lambda: SimpleNamespace(name="TensorRT", found=facts.tensorrt)  # noqa: E731
    monkeypatch.setattr(tensorrt_cache, "read_components", lambda: (component(),))
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    return facts


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "m.onnx").write_bytes(small_classifier())
    return tmp_path / "m.onnx"


def test_whatever_an_engine_depends_on_gives_it_another_folder(
    machine: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def folders(batch: int = 1, **options: str) -> tuple[str, str]:
        digest = read_onnx_file(model).digest
        found = with_engine_cache(digest, options, inputs=IMAGES, batch=batch, root=tmp_path / "cache")
        assert found[SWITCH] == found[TIMING_SWITCH] == "1" and options.items() <= found.items()
        assert Path(found[FOLDER]).is_dir() and Path(found[TIMING_FOLDER]).is_dir()
        return found[FOLDER], found[TIMING_FOLDER]

    first = folders()
    assert first == folders()
    assert Path(first[0]).stat().st_mode & 0o777 == 0o700
    seen = [first, folders(batch=2), folders(trt_fp16_enable="1"), folders(trt_builder_optimization_level="5")]
    model.write_bytes(small_classifier(seed=1))
    seen.append(folders())
    assert {timing for _, timing in seen} == {first[1]}  # kernels take as long whatever the model is
    for change in ({"driver": "590.0"}, {"compute_capability": "8.0"}, {"name": "NVIDIA A100"}):
        machine.gpus = (Gpu(**{**vars(H200), **change}),)
        seen.append(folders())
    machine.gpus = (H200,)
    machine.tensorrt = "10.17.0"
    seen.append(folders())
    machine.tensorrt = "10.16.1"
    for target, name, value in (
        (ort, "__version__", "1.99"),
        (os, "environ", {**os.environ, "NVIDIA_TF32_OVERRIDE": "0"}),
        (tensorrt_cache, "__version__", "99.0"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, value)
            seen.append(folders())
    assert len({engine for engine, _ in seen}) == len(seen)
    assert len({timing for _, timing in seen}) == len(seen) - 5  # the model's, options' and resnetx's own change none


def test_weights_beside_the_model_count(machine: Any, tmp_path: Path) -> None:
    import onnx

    def saved(seed: int) -> Path:
        parsed = onnx.load_from_string(small_classifier(seed=seed))
        (tmp_path / str(seed)).mkdir()
        path = tmp_path / str(seed) / "m.onnx"
        onnx.save(parsed, path, save_as_external_data=True, location="m.data", size_threshold=0)
        return path

    first, second = saved(0), saved(1)
    assert first.read_bytes() == second.read_bytes()
    assert read_onnx_file(first).digest != read_onnx_file(second).digest
    assert read_onnx_file(first).sha256 == read_onnx_file(second).sha256


def test_what_the_user_says_stands(machine: Any, model: Path, tmp_path: Path) -> None:
    def options(**own: str) -> dict[str, str]:
        return with_engine_cache(read_onnx_file(model).digest, own, inputs=IMAGES, batch=4, root=tmp_path / "cache")

    profile = dict.fromkeys(PROFILE, "x:4x3x16x16")
    assert options(**{SWITCH: "0"}) == {SWITCH: "0", **profile}
    assert options(**{SWITCH: "1", FOLDER: "mine"}) == {SWITCH: "1", FOLDER: "mine", **profile}
    assert options(**{PROFILE[0]: "x:1x3x16x16"})[PROFILE[0]] == "x:1x3x16x16"
    assert not (tmp_path / "cache" / "tensorrt" / "mine").exists()
    assert with_engine_cache(None, {}, inputs=IMAGES, batch=4, root=tmp_path / "cache") == profile
    machine.gpus = ()
    assert options() == profile


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([("N", 3, 224, 224)], "x0:8x3x224x224"),
        ([("N", 3, 16, 16), ("N", 10)], "x0:8x3x16x16,x1:8x10"),
        ([(8, 3, 224, 224)], None),
        ([("N", 3, "H", "W")], None),
        ([()], None),
    ],
)
def test_the_profile_is_the_one_shape(shapes: list[tuple[int | str, ...]], expected: str | None) -> None:
    inputs = [TensorInfo(f"x{number}", np.dtype(np.float32), shape) for number, shape in enumerate(shapes)]
    assert shape_profile(inputs, 8) == ({} if expected is None else dict.fromkeys(PROFILE, expected))


FACTS = st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=5), st.integers(), st.none()), max_size=4)


@given(FACTS, FACTS)
def test_keys_are_equal_exactly_where_the_facts_are(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert (engine_key(first) == engine_key(second)) == (first == second)
    assert engine_key(first) == engine_key(dict(reversed(first.items())))
    assert engine_key(first).isalnum()


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = private_folder(tmp_path / "a" / "b")
    assert private_folder(folder) == folder
    for mode in (0o770, 0o702):
        folder.chmod(mode)
        with pytest.raises(FileError, match=rf"is writable by other users \(mode {mode:o}\).*RESNETX_CACHE"):
            private_folder(folder)
    folder.chmod(0o755)
    require_private(folder)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(FileError, match="belongs to the user"):
        private_folder(folder)


def test_a_link_or_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(FileError, match=r"is not a folder|Cannot create"):
            private_folder(tmp_path / name)


def test_engines_need_a_folder_where_bench_makes_none(tmp_path: Path) -> None:
    def settings(**options: str) -> dict[str, str]:
        found = resolve_settings(BY_NAME["tensorrt"], precision="fp32", threads=1, options=options)
        return dict(found.native)

    assert settings()[SWITCH] == "0"
    with pytest.raises(UsageError, match=f"needs a folder of your own.*{FOLDER}=FOLDER"):
        settings(**{SWITCH: "1"})
    with pytest.raises(UsageError):
        checked_engine_options({SWITCH: "True"})
    own = private_folder(tmp_path / "own")
    assert settings(**{SWITCH: "1", FOLDER: str(own)})[FOLDER] == str(own)
    own.chmod(0o777)
    with pytest.raises(FileError):
        settings(**{SWITCH: "1", FOLDER: str(own)})


def test_where_an_engine_came_from(tmp_path: Path) -> None:
    options = {SWITCH: "1", FOLDER: str(tmp_path)}
    assert engine_origin(options, 100.0) is None
    (tmp_path / "a.engine").touch()
    os.utime(tmp_path / "a.engine", (50, 50))
    assert engine_origin(options, 100.0) == "from cache"
    (tmp_path / "b.engine").touch()
    os.utime(tmp_path / "b.engine", (101, 101))
    assert engine_origin(options, 100.0) == "built"
    assert engine_origin({**options, SWITCH: "0"}, 100.0) is None and engine_origin({}, 0.0) is None


def test_a_result_does_not_tell_where_the_users_folders_lie() -> None:
    told = named_folders({FOLDER: "/home/alice/.cache/resnetx/tensorrt/abc", "device_id": "0"})
    assert told == {FOLDER: "abc", "device_id": "0"}
