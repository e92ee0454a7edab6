"""The page of a benchmark in a real browser: it sorts, fits a phone, can be read in both schemes, fetches nothing."""

from pathlib import Path

import pytest

from resnetx.report.html.page import render_html
from tests.report.html.test_page import benchmark_of, sample, simple_case
from tests.support.browser import Browser
from tests.support.html_pages import CONTRAST, HOSTILE


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "page.html"
    path.write_text(render_html(sample()), encoding="utf-8")
    return path.as_uri()


def column(browser: Browser, key: str) -> list[str | None]:
    return list(
        browser.evaluate(
            f"""[...document.querySelectorAll('#results-table tbody')].map(body => body.rows[0].cells[
            [...document.querySelectorAll('#results-table thead th')].findIndex(head => head.dataset.key == '{key}')
            ].dataset.sort ?? null)"""
        )
    )


def sorted_by(browser: Browser) -> list[list[str]]:
    return list(
        browser.evaluate("[...document.querySelectorAll('th[aria-sort]')].map(h => [h.dataset.key, h.ariaSort])")
    )


def test_browser_sorts_by_address_click_and_keyboard(browser: Browser, address: str) -> None:
    browser.resize(1280, 900)
    browser.open(f"{address}#sort=median,descending")
    medians = column(browser, "median")
    assert medians[-1] is None, "what failed stands last"
    numbers = [float(median) for median in medians[:-1] if median is not None]
    assert len(numbers) == 17 and numbers == sorted(numbers, reverse=True)
    assert sorted_by(browser) == [["median", "descending"]]
    browser.click("th[data-key=batch] button")
    assert column(browser, "batch") == ["1"] * 9 + ["8"] * 9
    assert sorted_by(browser) == [["batch", "ascending"]]
    browser.evaluate("document.querySelector('th[data-key=model] button').focus()")
    browser.press("Enter", 13, "\r")
    browser.press("Enter", 13, "\r")
    assert sorted_by(browser) == [["model", "descending"]]
    expected = ["resnet152-trained-on-flowers.onnx", "resnet50.onnx", "resnet18-int8.onnx"]
    assert column(browser, "model") == [model for model in expected for _ in range(6)]
    # The error moved with its row, and the row's provider stays told.
    failed = "[...document.querySelectorAll('tr.why')].find(e => e.innerText.includes('out of memory'))"
    verdict = f"{failed}.previousElementSibling.querySelector('[data-title=verdict]').innerText"
    assert browser.evaluate(verdict) == "✗ failed"
    assert browser.evaluate("document.querySelector('.sorted').innerText") == "Sorted by model, descending."


def test_browser_fetches_nothing_and_has_no_complaint(browser: Browser, address: str) -> None:
    browser.open(address)
    assert browser.requests == [address]
    assert browser.complaints == []
    browser.evaluate(
        "(e => (e.textContent = 'document.title = 1', document.body.append(e)))(document.createElement('script'))"
    )
    assert browser.evaluate("document.title") != "1", "the policy refuses any other script"


@pytest.mark.parametrize("name", HOSTILE[:5])
def test_browser_runs_nothing_of_a_hostile_name(browser: Browser, tmp_path: Path, name: str) -> None:
    case = simple_case(model=name, provider=name, warnings=[name], error=name, options={name: name})
    path = tmp_path / "hostile.html"
    path.write_text(render_html(benchmark_of(case)), encoding="utf-8")
    browser.open(path.as_uri())
    assert browser.requests == [path.as_uri()]
    assert browser.complaints == []
    assert browser.evaluate("document.scripts.length") == 1
    assert browser.evaluate("document.querySelector('#results-table tbody th').innerText") == name


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_browser_page_fits_its_width_in_readable_colours(
    browser: Browser, address: str, width: int, scheme: str
) -> None:
    browser.resize(width, 844, scheme=scheme)
    browser.open(address)
    assert browser.evaluate("window.innerWidth") == width
    assert browser.evaluate("(e => e.scrollWidth - e.clientWidth)(document.documentElement)") == 0
    shown = "(e => [e.display, getComputedStyle(document.querySelector('#results-table thead')).display])"
    style = "getComputedStyle(document.querySelector('#results-table tbody'))"
    cards = browser.evaluate(f"{shown}({style})")
    assert cards == (["block", "block"] if width < 860 else ["table-row-group", "table-header-group"])
    # What matters is large and comes first: nothing of it is out of the window.
    edges = browser.evaluate(
        "[...document.querySelectorAll('#results-table td.main')].map(e => e.getBoundingClientRect().right)"
    )
    assert len(edges) == 18 * 4 and max(edges) <= width
    sizes = browser.evaluate("[...document.querySelectorAll('.chart')].map(e => e.getBoundingClientRect().width / 340)")
    assert min(sizes) > 0.9, "the charts' text is drawn for 12 px"
    faint = browser.evaluate(CONTRAST)
    assert faint == []


def test_browser_shows_everything_without_scripts(browser: Browser, address: str) -> None:
    browser.resize(1280, 900, scripts=False)
    browser.open(address)
    browser.resize(1280, 900)
    assert browser.evaluate("document.querySelectorAll('table button').length") == 0
    assert browser.evaluate("document.querySelectorAll('#results-table tbody').length") == 18
    assert len(browser.evaluate("document.body.innerText")) > 5000
