"""An INT8 file as a whole beside the float network: what is right passes, and what is wrong says by how much."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import resnetx
from resnetx.conversion.quantization.quantize import QuantizeOptions, quantize_file
from resnetx.report.console import ReportConsole
from resnetx.report.junit import render_junit
from resnetx.report.verification import render_verification
from resnetx.verification.float_agreement import FloatAgreement, Rehearsal, compare_with_float, flip_probability
from resnetx.verification.reference_outputs import References, Samples
from resnetx.verification.result import Verification
from resnetx.verification.verify import VerifyOptions, verify_file
from tests.conftest import TINY_SIZE, tiny_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("agreement")
    resnetx.export(tiny_config(), folder / "float.onnx", image_size=TINY_SIZE, verify=False)
    quantize_file(
        folder / "float.onnx",
        folder / "int8.onnx",
        QuantizeOptions(calibrate="synthetic", samples=32, target="cpu", method="minmax"),
    )
    return folder


def found(result: Verification) -> FloatAgreement:
    agreement = result.verdicts[0].agreement
    assert agreement is not None
    return agreement


def without_card(source: Path, target: Path) -> Path:
    model = onnx.load(source)
    del model.metadata_props[:]
    onnx.save(model, target)
    return target


def damaged(folder: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    model = onnx.load(folder / "int8.onnx")
    (tensor,) = (each for each in model.graph.initializer if each.name == name)
    array = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(change(array), dtype=array.dtype), name))
    onnx.save(model, folder / "damaged.onnx")
    return folder / "damaged.onnx"


def test_what_is_right_is_as_good_as_its_steps_explain(folder: Path) -> None:
    result = verify_file(folder / "int8.onnx", VerifyOptions())
    agreement = found(result)
    assert result.passed and agreement.passed and agreement.samples == 16 and agreement.unlikely_flips == 0
    assert agreement.simulated_db is not None and agreement.expected_db is not None
    assert abs(agreement.simulated_db - agreement.expected_db) < 6
    assert agreement.provider_db == pytest.approx(agreement.simulated_db, abs=0.5)
    assert result.to_json()["verdicts"][0]["agreement"]["samples"] == 16
    page = StringIO()
    ReportConsole(file=page, width=200).print(render_verification(result))
    assert f"on 16 samples: SQNR {agreement.sqnr_db:.1f} dB, top-1 {agreement.top1:.1%}" in page.getvalue()
    names = [case.attrib["name"] for case in ElementTree.fromstring(render_junit(result)).iter("testcase")]
    assert "agreement with the float network" in names


def test_a_file_without_a_card_is_compared_with_its_float_file(folder: Path) -> None:
    plain = without_card(folder / "int8.onnx", folder / "plain.onnx")
    reference = without_card(folder / "float.onnx", folder / "plain_float.onnx")
    result = verify_file(plain, VerifyOptions(reference=reference))
    assert result.passed and found(result).passed and found(result).rehearsed == 3
    alone = verify_file(plain, VerifyOptions())
    assert alone.passed and alone.verdicts[0].agreement is None


@pytest.mark.parametrize(
    ("name", "change", "least_loss_db"),
    [
        ("layer1.0.relu_scale", lambda scale: scale / 8, 6.0),
        ("layer2.0.conv2.weight_quantized", lambda weights: weights[:, ::-1], 3.0),
    ],
    ids=["a range that cuts off", "weights in the wrong places"],
)
def test_damage_costs_signal_and_the_file_fails(
    name: str, change: Callable[[np.ndarray], np.ndarray], least_loss_db: float, folder: Path
) -> None:
    right = found(verify_file(folder / "int8.onnx", VerifyOptions()))
    result = verify_file(damaged(folder, name, change), VerifyOptions())
    assert not result.passed and result.wrong_layer is not None
    assert found(result).sqnr_db < right.sqnr_db - least_loss_db


def agreement_of(exact: np.ndarray, actual: np.ndarray, rehearsal: Rehearsal | None = None) -> FloatAgreement:
    samples = Samples(
        groups=[[exact]],
        outputs=References(truth=[[exact]], noisy={}),
        arrangement=((0, tuple(range(len(exact)))), (0, (0, 0))),
    )
    agreement = compare_with_float(samples, [actual, actual[[0, 0]]], rehearsal)
    assert agreement is not None and agreement.samples == len(exact)
    return agreement


def test_each_thing_that_is_wrong_has_its_reason() -> None:
    random = np.random.default_rng(0)
    exact, noise = random.standard_normal((40, 100)), 0.03 * random.standard_normal((40, 100))
    assert agreement_of(exact, exact + noise).passed
    rehearsal = Rehearsal(exact=exact[:3], simulated=exact[:3] + noise[:3], least=0.03)
    assert agreement_of(exact, exact + noise, rehearsal).passed
    assert "the provider is off by" in str(agreement_of(exact, exact + 2 * noise, rehearsal).reason)
    worse = Rehearsal(exact=exact[:3], simulated=exact[:3] + 15 * noise[:3], least=0.03)
    assert "the file itself" in str(agreement_of(exact, exact + 15 * noise, worse).reason)
    swapped = exact + noise
    swapped[5, exact[5].argmin()] = 10.0
    found = agreement_of(exact, swapped)
    assert found.unlikely_flips == 1 and "1 of 40 best classes" in str(found.reason)


def test_the_probability_of_a_flip_is_what_random_errors_do() -> None:
    random = np.random.default_rng(0)
    exact, found = np.array([[1.0, 0.9], [1.0, 0.5], [1.0, 0.0]]), np.array([[0.0, 1.0]] * 3)
    errors = 0.5 * random.standard_normal((20_000, *exact.shape))
    seen = ((exact + errors).argmax(axis=2) == 1).mean(axis=0)
    np.testing.assert_allclose(flip_probability(exact, found, np.full(3, 0.5)), seen, atol=0.01)
