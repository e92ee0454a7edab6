"""The pytest plugin: a fixture `resnetx_parity` and an option `--resnetx-provider`.

It is loaded into every pytest run where resnetx is installed, so it imports nothing of resnetx before it is used.
"""

from collections.abc import Callable
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("resnetx").addoption(
        "--resnetx-provider",
        action="append",
        metavar="NAME",
        help="run resnetx_parity on this provider (cpu, openvino, cuda, tensorrt); can be repeated",
    )


@pytest.fixture
def resnetx_parity(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`resnetx.testing.assert_parity`, on the providers of `--resnetx-provider` if the test names none."""
    from functools import partial

    from resnetx.testing import assert_parity

    asked = request.config.getoption("--resnetx-provider")
    return partial(assert_parity, providers=tuple(asked)) if asked else assert_parity
