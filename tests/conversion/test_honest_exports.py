"""No false alarm: more than 200 honest exports, each verified as a user would, on every provider that works here."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

import resnetx
from resnetx.model.config import DEPTHS, resnet_config
from resnetx.runtime.ort.provider_probe import why_not
from resnetx.runtime.ort.session import newest_opset
from resnetx.verification.verify import VerifyOptions, verify_file

NEWEST = newest_opset()
PROVIDERS = tuple(name for name in ("cpu", "openvino") if why_not(name) is None)
VARIANTS: tuple[dict[str, Any], ...] = ({}, {"variant": "v1"}, {"variant": "textbook"}, {"plain": True})
Case = tuple[dict[str, Any], dict[str, Any]]


def cases() -> list[Case]:
    """Network and export options: every depth with every variant, then opsets, seeds, forms and simplification."""
    grid: list[Case] = []
    # The older exporter is ten times faster, so it carries the many seeds of the deep networks.
    for depth, variant, seed in product(DEPTHS, VARIANTS, range(6)):
        if variant.get("variant") != "textbook" or depth >= 50:
            grid.append(({"depth": depth, **variant}, {"seed": seed, "opset": 13 + seed, "exporter": "torchscript"}))
    for opset, seed, simplify in product(range(13, NEWEST + 1), range(3), (True, False)):
        grid.append(({"stages": (1, 2)}, {"opset": opset, "seed": seed, "simplify": simplify}))
    for depth, seed in product(DEPTHS, range(2)):
        grid.append(({"depth": depth}, {"seed": seed}))
    for preprocess, output, batch in product(("none", "uint8"), ("logits", "probabilities", "top5"), (None, 2)):
        grid.append(({"stages": (1, 1)}, {"preprocess": preprocess, "output": output, "batch": batch}))
    return grid


def test_there_are_more_than_200_in_all_depths_variants_and_opsets() -> None:
    grid = cases()
    assert len(grid) > 200
    assert {network["depth"] for network, _ in grid if "depth" in network} == set(DEPTHS)
    assert {options.get("opset") for _, options in grid} >= set(range(13, NEWEST + 1))


@pytest.mark.slow
@pytest.mark.parametrize(("network", "options"), cases(), ids=str)
def test_an_honest_export_passes(tmp_path: Path, network: dict[str, Any], options: dict[str, Any]) -> None:
    config = resnet_config(**{"width": 4, "classes": 20, **network})
    size = 64 if config.variant == "textbook" else 48
    resnetx.export(config, tmp_path / "m.onnx", image_size=size, verify=False, **options)
    result = verify_file(tmp_path / "m.onnx", VerifyOptions(providers=PROVIDERS, seed=options.get("seed", 0)))
    assert result.passed, [check.reason for verdict in result.verdicts for check in verdict.parity.checks]
