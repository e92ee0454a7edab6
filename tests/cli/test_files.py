"""Each command refuses, before the work, to overwrite what it reads."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from resnetx.cli.main import main
from tests.support.onnx_models import small_classifier


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["resnetx", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def external_model(folder: Path) -> Path:
    weight = numpy_helper.from_array(np.zeros((4, 3, 3, 3), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", 1, None)],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "big.onnx", save_as_external_data=True, location="big.data", size_threshold=0)
    return folder / "big.onnx"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "m.onnx").write_bytes(small_classifier())
    for name in ("g.npz", "base.json", "labels.txt", "w.pt"):
        (tmp_path / name).write_bytes(b"precious")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"precious")
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "config.json").write_bytes(b"precious")
    external_model(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        "verify m.onnx --json m.onnx",
        "verify m.onnx --junit m.onnx",
        "verify m.onnx --html m.onnx",
        "verify m.onnx --junit r --html r",
        "verify m.onnx --golden g.npz --json g.npz",
        "verify m.onnx --reference big.onnx --json big.onnx",
        "verify m.onnx --reference big.onnx --json big.data",
        "verify m.onnx --weights w.pt --junit w.pt",
        "verify m.onnx --images images --json images/a.png",
        "verify m.onnx --json r --junit r",
        "verify big.onnx --json big.data",
        "bench m.onnx --json m.onnx",
        "bench m.onnx --html m.onnx",
        "bench big.onnx m.onnx --html big.data",
        "bench m.onnx --json r --html ./r",
        "compare base.json m.onnx --json base.json",
        "compare base.json m.onnx --markdown m.onnx",
        "compare base.json m.onnx --html base.json",
        "simplify m.onnx -o new.onnx --json m.onnx",
        "simplify m.onnx -o new.onnx --json new.onnx",
        "simplify big.onnx -o big.data",
        "export -o new.onnx --golden new.onnx",
        "export -o new.onnx --json new.onnx",
        "export -o w.pt --weights w.pt",
        "export -o new.onnx --json labels.txt --labels labels.txt",
        "export -o new.onnx --json hf/config.json --weights hf",
        "export --depth 18 --json resnet18.onnx",
    ],
)
def test_nothing_that_is_read_is_overwritten(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    monkeypatch.chdir(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run(monkeypatch, *line.split()) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "would overwrite what" in said or "are the same file" in said, said
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_simplify_may_write_over_its_input(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "link.onnx").symlink_to("m.onnx")
    assert run(monkeypatch, "simplify", folder / "link.onnx", "-o", folder / "link.onnx") in (0, 1)
    assert (folder / "link.onnx").is_symlink()
    onnx.checker.check_model(onnx.load(folder / "m.onnx"))
