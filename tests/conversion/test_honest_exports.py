"""No false alarm: more than 500 honest files, each verified as a user would, on every provider that works here."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import resnetx
from resnetx.model.config import DEPTHS, resnet_config
from resnetx.runtime.catalog import BY_NAME, engine_of
from resnetx.runtime.ort.engine import newest_opset
from resnetx.verification.verify import VerifyOptions, verify_file
from tests.support.honest_files import HonestFile, honest_files
from tests.support.reduced_networks import FAMILIES

NEWEST = newest_opset()
PROVIDERS = tuple(name for name in ("cpu", "openvino", "openvino-ep") if engine_of(BY_NAME[name]).why_not() is None)
VARIANTS: tuple[dict[str, Any], ...] = ({}, {"variant": "v1"}, {"variant": "textbook"}, {"plain": True})
Case = tuple[dict[str, Any], dict[str, Any]]


def cases() -> list[Case]:
    """Network and export options: every depth with every variant, then opsets, seeds, forms and simplification."""
    grid: list[Case] = []
    # The older exporter is ten times faster, so it carries the many seeds; simplification takes most of the rest, so
    # every third seed has it.
    for depth, variant in product(DEPTHS, VARIANTS):
        if variant.get("variant") != "textbook" or depth >= 50:
            seeds = range(8 if depth <= 50 else 3)
            grid.extend(({"depth": depth, **variant}, _torchscript(13 + seed % 6, seed)) for seed in seeds)
    grid.extend(({"stages": (1, 2)}, _torchscript(opset, seed)) for opset, seed in product(range(13, 19), range(9)))
    for opset, seed in product(range(13, NEWEST + 1), range(2)):
        grid.append(({"stages": (1, 2)}, {"opset": opset, "seed": seed, "simplify": seed == 0}))
    grid.extend(({"depth": depth}, {}) for depth in DEPTHS)
    for preprocess, output, batch in product(("none", "uint8"), ("logits", "probabilities", "top5"), (None, 2)):
        grid.append(({"stages": (1, 1)}, {"preprocess": preprocess, "output": output, "batch": batch}))
    return grid


def _torchscript(opset: int, seed: int) -> dict[str, Any]:
    return {"exporter": "torchscript", "opset": opset, "seed": seed, "simplify": seed % 3 == 0}


def test_there_are_more_than_200_in_all_depths_variants_and_opsets() -> None:
    grid = cases()
    assert len(grid) > 200
    assert {network["depth"] for network, _ in grid if "depth" in network} == set(DEPTHS)
    assert {options.get("opset") for _, options in grid} >= set(range(13, NEWEST + 1))


@pytest.mark.slow
@pytest.mark.sampled(8)
@pytest.mark.parametrize(("network", "options"), cases(), ids=str)
def test_an_honest_export_passes(tmp_path: Path, network: dict[str, Any], options: dict[str, Any]) -> None:
    config = resnet_config(**{"width": 4, "classes": 20, **network})
    size = 64 if config.variant == "textbook" else 48
    resnetx.export(config, tmp_path / "m.onnx", image_size=size, verify=False, **options)
    result = verify_file(tmp_path / "m.onnx", VerifyOptions(providers=PROVIDERS, seed=options.get("seed", 0)))
    assert result.passed, [check.reason for verdict in result.verdicts for check in verdict.parity.checks]


FILES = honest_files(NEWEST)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_int8_on_openvino_is_judged_in_units_of_int8(tmp_path: Path) -> None:
    """It leaves out roundings between layers, so that its outputs are not those of the file's graph to a rounding."""
    (file,) = [file for file in FILES if file.name == "int8, a scale a tensor"]
    path, options = file.make(tmp_path)
    result = verify_file(path, replace(options, providers=("cpu", "openvino")))
    cpu, other = result.verdicts
    assert result.passed and cpu.graph is not None and cpu.notes == ()
    assert other.graph is None and other.layers and "moves roundings" in other.notes[0]
    assert all(check.multiple is not None and check.multiple < 6 for check in other.parity.checks)


def test_there_are_more_than_300_of_every_kind_in_the_table() -> None:
    names = [file.name for file in FILES]
    assert len(names) > 300 and len(set(names)) == len(names)
    assert all(sum(name.startswith(f"{family},") for name in names) >= 5 for family in FAMILIES)


@pytest.mark.sampled(5)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    "file", [pytest.param(file, id=file.name, marks=[pytest.mark.slow] if file.slow else []) for file in FILES]
)
def test_an_honest_file_raises_no_alarm(file: HonestFile, tmp_path: Path) -> None:
    path, options = file.make(tmp_path)
    result = verify_file(path, options)
    assert result.passed, [check.reason for verdict in result.verdicts for check in verdict.parity.checks]
