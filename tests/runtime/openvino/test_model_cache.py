"""Compiled models: a file for every combination of what they depend on, whole or absent, and not without end."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from resnetx.errors import FileError
from resnetx.machine.facts import read_processor
from resnetx.runtime.catalog import BY_NAME, engine_of
from resnetx.runtime.openvino import model_cache
from resnetx.runtime.openvino.model_cache import ModelCache
from resnetx.runtime.runner import Opening, Runner
from tests.support.onnx_models import small_classifier

ENGINE = engine_of(BY_NAME["openvino"])
IMAGES = np.random.default_rng(0).standard_normal((2, 3, 16, 16), np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESNETX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "openvino"


def opened(model: bytes = small_classifier(), **options: object) -> Runner:
    return ENGINE.open(model, Opening(**{"digest": "d", "batch": 2, **options}))  # type: ignore[arg-type]


def test_the_second_session_comes_from_the_cache_and_is_the_same(cache: Path) -> None:
    first, second = opened(), opened()
    assert (first.facts.engine, second.facts.engine) == ("built", "from cache")
    assert np.array_equal(first.run({"x": IMAGES})["y"], second.run({"x": IMAGES})["y"])
    for name in ("inputs", "outputs", "placement", "options", "kernels", "effective_precision"):
        assert getattr(first.facts, name) == getattr(second.facts, name)
    assert len(list(cache.iterdir())) == 1 and cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("missing", [{"digest": None}, {"batch": None}])
def test_nothing_is_cached_without_a_digest_and_a_batch(cache: Path, missing: Mapping[str, object]) -> None:
    assert opened(**missing).facts.engine is None and not cache.exists()


def test_whatever_a_compiled_model_depends_on_gives_it_another_file(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for changed in ({}, {"digest": "e"}, {"batch": 3}, {"threads": 1}, {"options": {"NUM_STREAMS": "1"}}):
        assert opened(**changed).facts.engine == "built"
    for target, name, value in (
        (model_cache, "__version__", "99.0"),
        (model_cache, "read_processor", lambda: SimpleNamespace(name="Z80", instruction_sets=())),
        (model_cache.ov, "get_version", lambda: "1999.9"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, value)
            assert opened().facts.engine == "built"
    assert len(list(cache.iterdir())) == 8
    assert opened().facts.engine == "from cache" and read_processor().name != "Z80"


@pytest.mark.parametrize("damage", [b"", b"nonsense" * 100])
def test_a_damaged_file_is_built_again(cache: Path, damage: bytes) -> None:
    expected = opened().run({"x": IMAGES})["y"]
    (file,) = cache.iterdir()
    file.write_bytes(damage)
    again = opened()
    assert again.facts.engine == "built" and np.array_equal(again.run({"x": IMAGES})["y"], expected)
    assert opened().facts.engine == "from cache"


def test_the_least_recently_used_are_removed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for batch in (1, 2, 3):
        opened(batch=batch)
    sizes = [path.stat().st_size for path in cache.iterdir()]
    for age, path in enumerate(sorted(cache.iterdir(), key=lambda path: path.stat().st_mtime)):
        os.utime(path, (age, age))
    assert opened(batch=1).facts.engine == "from cache"  # which makes it the newest
    monkeypatch.setattr(model_cache, "MAX_BYTES", sum(sizes))
    opened(batch=4)
    assert opened(batch=1).facts.engine == "from cache" and opened(batch=2).facts.engine == "built"


def test_a_folder_that_others_may_write_to_is_refused(cache: Path) -> None:
    opened()
    cache.chmod(0o777)
    with pytest.raises(FileError, match="writable by other users"):
        opened()


def test_the_root_may_be_given(tmp_path: Path) -> None:
    own = ModelCache("d", {}, batch=1, device="CPU", root=tmp_path / "own")
    assert own.load() is None and (tmp_path / "own" / "openvino").is_dir()
