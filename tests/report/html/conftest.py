"""What the tests of pages in a browser share."""

from collections.abc import Iterator

import pytest

from tests.support.browser import BASH, CHROMIUM, Browser, open_browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None or BASH is None:
        pytest.skip("there is no chromium (or no bash) in the search path")
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened
