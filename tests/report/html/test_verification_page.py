"""The page of a verification: the verdict, the first wrong layer, and a dot for each layer at its error."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetx.report.html.layer_chart import layer_charts, noise_range
from resnetx.report.html.verification_page import render_verification_page
from resnetx.verification.layers import LayerParity
from resnetx.verification.metrics import Metrics
from resnetx.verification.parity import MAX_MULTIPLE, Check, Parity
from resnetx.verification.result import FileVerdict, ProviderVerdict, Verification
from tests.cli.test_main import run
from tests.support.browser import Browser
from tests.support.html_pages import CONTRAST, HOSTILE, assert_sound, head_of, unexplained_dashes
from tests.support.onnx_models import small_classifier

METRICS = Metrics(
    max_abs=3.1e-6, rms=1e-6, sqnr_db=121.3, cosine=1.0, ulp_p99=3.0, top1=1.0, top5=1.0, flips=0, unexplained_flips=0
)
RIGHT = Check(output="logits", batch=1, passed=True, multiple=1.31, allowed=8.0, metrics=METRICS)
WRONG = replace(
    RIGHT, batch=8, passed=False, multiple=412.0, reason="its error is 412 times PyTorch's own", metrics=None
)


def layers_of(*multiples: float) -> tuple[LayerParity, ...]:
    return tuple(
        LayerParity(
            name=f"layer{place // 3}.{place}.conv", op="Conv", original=f"res{place}", shape=(1, 8), error=1e-7,
            noise=1e-7, multiple=multiple, passed=multiple <= MAX_MULTIPLE,
        )
        for place, multiple in enumerate(multiples)
    )  # fmt: skip


def verdict_of(*checks: Check, layers: tuple[LayerParity, ...] = (), **changes: object) -> ProviderVerdict:
    made = ProviderVerdict(
        provider="cpu", precision="fp32", placement=(("cpu", 12),), options={},
        parity=Parity(precision="fp32", checks=checks), deterministic=True, layers=layers,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def result_of(*verdicts: ProviderVerdict, file: FileVerdict | None = None) -> Verification:
    return Verification(
        model="m.onnx", model_sha256="0", architecture="ResNet-18", reference="PyTorch in float64", seed=0, samples=31,
        file=file, verdicts=verdicts,
    )  # fmt: skip


GOOD = result_of(
    verdict_of(RIGHT, layers=layers_of(0.5, 1, 2)),
    file=FileVerdict(parity=Parity(precision="fp32", checks=(RIGHT,)), layers=layers_of(0.1, 0.2, 0.3)),
)
BAD = result_of(
    verdict_of(RIGHT, layers=layers_of(1, 2)),
    verdict_of(RIGHT, WRONG, provider="openvino", layers=layers_of(1, 2, 30, 900, 5), deterministic=False),
)


def test_the_first_lines_say_what_was_verified_where_and_the_verdict() -> None:
    text = render_verification_page(GOOD)
    page = assert_sound(text)
    assert render_verification_page(GOOD) == text and unexplained_dashes(text) == []
    head = head_of(text)
    assert "m.onnx on cpu" in head and "ResNet-18, against PyTorch in float64, 31 samples" in head
    assert "✓ PASSED: the file and its outputs agree with the reference on cpu." in head
    assert "3 of 3" in head and "1.31" in head and "100 %" in head
    assert "3 layers stay within the limit" in page.words
    assert [attributes["id"] for tag, attributes in page.elements if tag == "section"] == ["file", "provider-0"]


def test_the_first_wrong_layer_is_named_and_each_provider_has_its_verdict() -> None:
    text = render_verification_page(BAD)
    words = assert_sound(text).words
    assert "✗ FAILED: openvino in fp32: " in words and "412 times" in words
    assert "The first wrong layer is layer0.2.conv (res2);" in " ".join(words.split())
    assert "2 of 5 layers are beyond the limit." in " ".join(words.split())
    assert words.count("✓ passed") == 1 and words.count("✗ FAILED") == 2
    assert "its error is 412 times PyTorch's own" in words and "two runs of the same input differ in rounding" in words
    assert "first wrong: layer0.2.conv" in words
    assert unexplained_dashes(text) == []


def test_a_file_without_a_network_and_nothing_to_compare_are_pages_too() -> None:
    exact = Check(output="ids", batch=1, passed=True)
    text = render_verification_page(result_of(verdict_of(exact)))
    words = assert_sound(text).words
    assert "✓ PASSED: the outputs agree" in words and "<svg" not in text and unexplained_dashes(text) == []
    wrong = assert_sound(
        render_verification_page(result_of(verdict_of(replace(WRONG, reason="3 elements differ"))))
    ).words
    assert "✗ FAILED: cpu in fp32: logits, batch 8: 3 elements differ" in wrong
    assert "✗ FAILED: nothing was compared" in assert_sound(render_verification_page(result_of())).words


def dots_of(chart: str) -> list[tuple[float, float, bool]]:
    found = re.findall(r'<circle class="([^"]+)" cx="([\d.]+)" cy="([\d.]+)"', chart)
    return sorted((float(x), float(y), "wrong" in kind) for kind, x, y in found)


@given(st.lists(st.floats(0, allow_nan=False, allow_infinity=True), min_size=2, max_size=40))
def test_every_layer_is_a_dot_at_its_error_beside_the_limit(multiples: list[float]) -> None:
    layers = layers_of(*multiples)
    for kind, chart in layer_charts("l", layers, noise_range([layers])):
        dots = dots_of(str(chart))
        assert len(dots) == len(layers)
        width = 340 if kind == "narrow" else 720
        assert all(0 <= x <= width and 40 <= y <= 200 for x, y, _ in dots)
        limit = re.search(r'class="limit" d="M46,([\d.]+)H', str(chart))
        assert limit is not None
        for (_, y, wrong), layer in zip(dots, layers, strict=True):
            assert wrong == (not layer.passed)
            # Downwards; a tenth of a pixel is rounding.
            assert (y >= float(limit[1]) - 0.1) if layer.passed else (y <= float(limit[1]) + 0.1)
        for (_, y, _), one in zip(dots, layers, strict=True):
            assert all(
                y <= other_y for (_, other_y, _), two in zip(dots, layers, strict=True) if one.multiple > two.multiple
            )
        first = next((layer for layer in layers if not layer.passed), None)
        assert ("first wrong: " in str(chart)) == (first is not None)
        assert first is None or f"first wrong: {first.name}" in str(chart)


def test_the_charts_of_a_page_share_an_axis_and_a_single_layer_has_none() -> None:
    text = render_verification_page(BAD)
    limits = set(re.findall(r'class="limit" d="M46,([\d.]+)H', text))
    assert len(limits) == 1 and text.count("<svg") == 4
    assert "<svg" not in render_verification_page(result_of(verdict_of(RIGHT, layers=layers_of(1.0))))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_only_text(name: str) -> None:
    layers = tuple(replace(layer, name=name, op=name, original=name + "!") for layer in layers_of(1, 99))
    check = replace(WRONG, output=name, reason=name)
    verdict = verdict_of(check, layers=layers, provider=name, precision=name, placement=((name, 1),), notes=(name,))
    file = FileVerdict(problems=(name,), notes=(name,), unshown=(name,), layers=layers, wrong_layer=name)
    hostile = replace(result_of(verdict, file=file), model=name, architecture=name, reference=name)
    seen = assert_sound(render_verification_page(hostile))
    plain = assert_sound(render_verification_page(replace(BAD, file=file)))
    assert {tag for tag, _ in seen.elements} <= {tag for tag, _ in plain.elements}


def test_the_command_writes_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(small_classifier())
    target = tmp_path / "v.html"
    same = ["--reference", tmp_path / "m.onnx", "--batch", "1,2"]
    assert run(monkeypatch, "verify", tmp_path / "m.onnx", *same, "--html", target) == 0
    words = assert_sound(target.read_text()).words
    assert "m.onnx on cpu" in words and "✓ PASSED" in words


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "dark")])
def test_browser_page_fits_in_readable_colours(browser: Browser, tmp_path: Path, width: int, scheme: str) -> None:
    (tmp_path / "p.html").write_text(render_verification_page(BAD))
    browser.resize(width, 800, scheme=scheme)
    browser.open((tmp_path / "p.html").as_uri())
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(CONTRAST) == []
    assert browser.complaints == [] and len(browser.requests) == 1
    # The one chart of the two that fits.
    shown = "[...document.querySelectorAll('.narrow, .broad')].map(e => e.getBoundingClientRect().height > 0)"
    assert browser.evaluate(shown) == ([True, False, True, False] if width == 390 else [False, True, False, True])
