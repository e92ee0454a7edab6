"""A result in one line: what it is of, its verdict, and its main figure."""

from dataclasses import replace
from pathlib import Path

import pytest

import resnetx
from resnetx.benchmark.comparison.compare import compare
from resnetx.benchmark.result import Benchmark
from resnetx.conversion import export as conversion_export
from resnetx.conversion.result import Export
from resnetx.graph.inspection.inspect import Inspection
from resnetx.verification.result import Verification
from tests.conftest import TINY_SIZE, tiny_config
from tests.conversion.test_export import break_weight
from tests.support.sample_benchmark import sample_benchmark
from tests.verification.test_verify import edited

HOSTILE = "\x1b[2J" + "x" * 500


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Export:
    path = tmp_path_factory.mktemp("reprs") / "m.onnx"
    return resnetx.export(tiny_config(), path, image_size=TINY_SIZE)


@pytest.fixture(scope="module")
def verification(exported: Export) -> Verification:
    return resnetx.verify(exported.path)


@pytest.fixture(scope="module")
def inspection(exported: Export) -> Inspection:
    return resnetx.inspect(exported.path)


def test_what_passed_says_how_closely(exported: Export, verification: Verification) -> None:
    for text in (repr(exported), repr(verification)):
        assert "passed" in text and " of 8 times the reference's own>" in text
    assert "ResNet" in repr(exported) and "kB" in repr(exported)
    assert "not verified" in repr(replace(exported, file=None, verdict=None))


def test_what_failed_says_why(exported: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = edited(exported.path, tmp_path / "wrong.onnx", "layer1.0.conv1.weight", 1.01)
    text = repr(resnetx.verify(wrong))
    assert "FAILED, logits: " in text and "first wrong layer layer1.0.conv1>" in text
    monkeypatch.setattr(conversion_export, "convert_precision", lambda model, precision: break_weight(model))
    text = repr(resnetx.export(tiny_config(), tmp_path / "m.onnx", image_size=TINY_SIZE))
    assert "FAILED and not written, logits: " in text


def test_a_benchmark_names_its_fastest_row() -> None:
    run = sample_benchmark()
    assert repr(run).startswith("<Benchmark of 18 rows: FAILED, fastest resnet18-int8.onnx on openvino, batch 8: ")
    good = replace(run, cases=run.cases[:2])
    assert good.passed and "<Benchmark of 2 rows: passed, fastest" in repr(good)
    assert "1 row: not verified" in repr(
        replace(good, cases=good.cases[:1], settings=replace(good.settings, verify=False))
    )
    assert repr(Benchmark(created="", machine={}, limits=None, cases=())) == "<Benchmark of 0 rows: passed>"
    assert repr(compare(good, good)).startswith("<Comparison of 2 rows: passed, 1 times the old time")


@pytest.mark.parametrize("kind", ["exported", "verification", "inspection"])
def test_names_from_files_neither_control_a_terminal_nor_fill_it(kind: str, request: pytest.FixtureRequest) -> None:
    result = request.getfixturevalue(kind)
    field = {"exported": "path", "verification": "model", "inspection": "graph"}[kind]
    value: object = Path(HOSTILE) if field == "path" else HOSTILE
    text = repr(replace(result, **{field: value}))
    assert "\x1b" not in text and len(text) < 300
