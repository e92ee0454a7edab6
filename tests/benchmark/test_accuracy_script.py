"""The study of accuracy, with a network that is trained for seconds."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import accuracy
import pytest

from resnetx.conversion.quantization.agreement import Accuracy


@pytest.mark.slow
def test_every_precision_classifies_the_digits(tmp_path: Path) -> None:
    # In a process of its own: PyTorch's optimizers set variables of its compiler.
    command = [sys.executable, accuracy.__file__, "--out", str(tmp_path), "--seconds", "6", "--provider", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr  # so short a training may not reach 97 %
    assert len(list((tmp_path / "test").rglob("*.png"))) == accuracy.TEST
    rows = {row["precision"]: row for row in json.loads((tmp_path / "accuracy.json").read_text())}
    assert list(rows) == ["fp32", "fp16", "int8", "bf16"]
    exact, half, quantized = (rows[name]["accuracy"] for name in ("fp32", "fp16", "int8"))
    assert exact["before_top1"] == exact["after_top1"] > 0.3  # chance is 0.1
    assert abs(half["after_top1"] - exact["after_top1"]) < 0.02
    assert abs(quantized["after_top1"] - exact["after_top1"]) < 0.1
    assert rows["bf16"]["accuracy"] is not None or "bf16" in rows["bf16"]["reason"]


def test_it_fails_where_too_much_is_lost() -> None:
    shares = {"before_top1": 0.98, "after_top1": 0.98, "before_top5": 1.0, "after_top5": 1.0}
    good = accuracy.Row(precision="fp32", provider="cpu", accuracy=Accuracy(images=600, low=-0.01, high=0.01, **shares))
    lost = dataclasses.replace(good, accuracy=Accuracy(images=600, low=0.02, high=0.05, **shares))
    weak = dataclasses.replace(good, accuracy=Accuracy(images=600, low=0, high=0, **{**shares, "before_top1": 0.9}))
    refused = dataclasses.replace(good, accuracy=None, reason="no instructions for bf16")
    assert accuracy.acceptable([good, refused])
    for rows in ([good, lost], [weak], [refused]):
        assert not accuracy.acceptable(rows)
    assert "top-1  98.00%" in good.line() and "no instructions" in refused.line()
