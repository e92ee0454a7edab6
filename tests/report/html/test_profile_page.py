"""The page of a profile: every layer under the machine's limits, escaped, and sortable in a real browser."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnetx.benchmark.profiling.result import Profile
from resnetx.report.html.profile_page import render_profile_page
from resnetx.report.html.roofline import HEIGHT, WIDTH, roofline_chart
from tests.support.browser import Browser
from tests.support.html_pages import CONTRAST, HOSTILE, Page, assert_sound, policy_of, unexplained_dashes
from tests.support.sample_profile import CACHED, COMPUTES, LIMITS, UNKNOWN, WAITS, sample_profile


@pytest.fixture(scope="module")
def page_text() -> str:
    return render_profile_page(sample_profile())


def test_every_layer_has_its_row_and_so_has_what_lies_outside(page_text: str) -> None:
    page = Page(page_text)
    rows = page_text[page_text.index('id="results-table"') : page_text.index("</table>")].split("<tbody>")[1:]
    names = [re.search(r'data-sort="([^"]+)"', row) for row in rows]
    # The longest first.
    assert [name and name[1] for name in names] == ["layer3.0.conv2", "fc", "maxpool", "lstm", "outside the layers"]
    assert "res4a_branch2b" in rows[0] and "layer3.0.conv2, layer3.0.relu_1" in rows[0] and "Conv nchwc" in rows[0]
    for column in ("ms", "share %", "bound by", "% of limit", "GFLOP/s", "GB/s", "MMACs", "MB", "operations / byte"):
        assert f">{column}</th>" in page_text
    assert "2.25 ms (28.1%) lie outside the layers" in page.words
    assert "Measured limits: 100 GFLOP/s in fp32, 10.0 GB/s of memory." in page.words
    assert "2 layers without multiplications are not drawn" in page.words


def test_the_page_obeys_the_policy_of_all_pages(page_text: str) -> None:
    assert_sound(page_text)
    assert render_profile_page(sample_profile()) == page_text
    assert unexplained_dashes(page_text) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_only_text(name: str, page_text: str) -> None:
    layer = replace(COMPUTES, name=name, original_name=name, nodes=(name,), operator=name, kernel=name, precision=name)
    profile = replace(
        sample_profile(layer, replace(layer, precision="fp32")),
        model=name, provider=name, effective_precision=name, options={name: name}, notes=(name,),
        machine={name: [name]}, limits_problem=name, created=name,
    )  # fmt: skip
    text = render_profile_page(profile)
    seen = assert_sound(text)
    assert {tag for tag, _ in seen.elements} <= {tag for tag, _ in Page(page_text).elements}
    assert policy_of(seen) == policy_of(Page(page_text))


def test_dots_stand_under_or_over_their_limits() -> None:
    """The peak of 100 GFLOP/s is a level line, under a dot at 200 and above one at 50."""

    def heights(time_ms: float) -> tuple[float, float]:
        chart = str(roofline_chart(sample_profile(replace(COMPUTES, times_ms=(time_ms,)))))
        dot, peak = re.search(r'cy="([\d.]+)"', chart), re.search(r'class="roof c0" d="M[\d.]+,([\d.]+)H', chart)
        assert dot and peak
        return float(dot[1]), float(peak[1])

    for time_ms, lower in ((4.0, True), (1.0, False)):
        dot, peak = heights(time_ms)
        assert (dot > peak) == lower  # downwards
    words = "layer3.0.conv2, fp32: 4.00 ms (50.0%), 50.0 GFLOP/s, 20.0 operations a byte"
    assert words in str(roofline_chart(sample_profile(COMPUTES)))


def test_only_measured_limits_are_drawn() -> None:
    without = str(roofline_chart(replace(sample_profile(COMPUTES), limits=None)))
    assert 'class="roof' not in without and without.count("<circle") == 1
    no_memory = str(roofline_chart(replace(sample_profile(COMPUTES), limits=replace(LIMITS, bandwidth_gb_s=None))))
    assert no_memory.count('class="roof') == 1 and "GB/s" not in no_memory
    # One precision that has a peak and one that has none.
    mixed = str(roofline_chart(sample_profile(COMPUTES, replace(WAITS, precision="fp64"))))
    assert mixed.count('class="roof c') == 1 and mixed.count("<circle") == 2
    int8 = str(roofline_chart(sample_profile(COMPUTES, replace(WAITS, precision="int8"))))
    assert int8.count('class="roof c') == 2
    assert roofline_chart(sample_profile(CACHED, UNKNOWN)) is None
    assert "No layer has known multiplications" in render_profile_page(sample_profile(CACHED, UNKNOWN))


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 10**14), st.integers(1, 10**12), st.floats(1e-3, 1e6)), min_size=1, max_size=5),
    st.floats(1e-2, 1e6),
    st.floats(1e-2, 1e5),
)
def test_everything_is_drawn_inside_the_frame(
    layers: list[tuple[int, int, float]], peak: float, bandwidth: float
) -> None:
    limits = replace(LIMITS, fp32_gflops=peak, bandwidth_gb_s=bandwidth)
    made = [replace(COMPUTES, macs=macs, moved_bytes=moved, times_ms=(ms,)) for macs, moved, ms in layers]
    chart = str(roofline_chart(replace(sample_profile(*made), limits=limits)))
    across = [float(x) for x in re.findall(r'\b(?:cx|x)="([-\d.e+]+)"', chart)]
    down = [float(y) for y in re.findall(r'\b(?:cy|y)="([-\d.e+]+)"', chart)]
    pairs = [pair for d in re.findall(r' d="([^"]+)"', chart) for pair in re.findall(r"([-\d.]+),([-\d.]+)", d)]
    assert all(0 <= x <= WIDTH for x in [*across, *(float(x) for x, _ in pairs)])
    assert all(0 <= y <= HEIGHT for y in [*down, *(float(y) for _, y in pairs)])


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_browser_page_fits_sorts_and_has_no_complaint(
    browser: Browser, page_text: str, tmp_path: Path, width: int, scheme: str
) -> None:
    (tmp_path / "p.html").write_text(page_text)
    browser.resize(width, 800, scheme=scheme)
    browser.open((tmp_path / "p.html").as_uri())
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(CONTRAST) == []
    browser.click('th[data-key="rate"] button')
    first = "document.querySelector('#results-table tbody th').textContent"
    assert browser.evaluate(first) == "fc"  # 2 GFLOP/s, the fewest
    assert browser.complaints == [] and len(browser.requests) == 1


def test_a_profile_that_was_read_back_gives_the_same_page(page_text: str) -> None:
    import json

    assert render_profile_page(Profile.from_json(json.loads(json.dumps(sample_profile().to_json())))) == page_text
