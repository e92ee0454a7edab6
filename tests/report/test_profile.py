"""A profile in a terminal: it fits, its sums are complete, and no name controls the terminal."""

import re
from dataclasses import replace
from io import StringIO

import pytest

from resnetx.benchmark.profiling.result import Profile
from resnetx.report.console import ReportConsole
from resnetx.report.profile import render_profile
from tests.support.sample_profile import CACHED, COMPUTES, UNKNOWN, WAITS, sample_profile


def shown(profile: Profile, *, top: int = 20, width: int = 80) -> str:
    console = ReportConsole(file=StringIO(), width=width, color_system=None)
    console.print(render_profile(profile, top=top, width=width))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_the_longest_layers_come_first_and_the_rest_is_one_row() -> None:
    lines = [line.split() for line in shown(sample_profile(UNKNOWN, CACHED, WAITS, COMPUTES), top=2).splitlines()]
    table = lines[[line[:2] for line in lines].index(["layer", "original"]) :]
    assert table[1] == ["layer3.0.conv2", "res4a_branch2b", "4.0000", "50.0%", "100", "50.0", "2.50", "50%", "compute"]
    assert table[2] == ["fc", "fc1000", "1.0000", "12.5%", "1.00", "2.00", "2.00", "20%", "memory"]
    assert table[3] == ["2", "other", "layers", "0.7500", "9.4%"]
    assert table[4] == ["outside", "the", "layers", "2.2500", "28.1%"]
    assert table[5] == ["a", "run", "8.0000", "100.0%"]
    assert ["Conv", "Conv", "nchwc", "fp32", "1", "4.0000", "50.0%"] in lines


def test_what_is_unknown_or_faster_than_its_limit_is_a_dash() -> None:
    text = shown(sample_profile(CACHED, UNKNOWN))
    assert re.search(r"maxpool +MaxPool +0\.5000 +6\.2% +- +- +20\.0 +- memory", text)
    assert re.search(r"lstm +LSTM +0\.2500 +3\.1% +- +- +- +-", text)


def test_layers_that_take_longer_than_a_run_leave_less_than_nothing() -> None:
    assert re.search(r"outside the layers +-0\.7500 +-15\.0%", shown(sample_profile(run_ms=5.0)))


def test_no_word_is_cut_where_figures_are_wide() -> None:
    wide = replace(COMPUTES, name="layer4.0.downsample.0", original_name="res5a_branch2b_left")
    text = shown(sample_profile(wide, WAITS))
    assert "outside the layers" in text and "50% compute\n" in text.replace(" \n", "\n")
    assert max(map(len, text.splitlines())) <= 80
    assert "MMAC" in shown(sample_profile(wide, WAITS), width=110)


@pytest.mark.parametrize("width", [80, 110])
def test_it_fits(width: int) -> None:
    long = replace(COMPUTES, name="features.denseblock4.denselayer16.conv2", kernel="brgconv_avx512_core_amx_1x1_int8")
    text = shown(sample_profile(long, *[replace(WAITS, name=f"layer{i}") for i in range(40)]), width=width)
    assert all(len(line) <= width for line in text.splitlines())
    assert "50% compute" in text and "21 other layers" in text
    assert (long.name in text) == (width == 110) and ("…" in text)
    # The kernel of each layer stands in its row where there is room.
    rows = shown(sample_profile(), width=width).split("\n\n")[1]
    assert ("Conv nchwc" in rows) == (width == 110)


def test_the_names_of_a_file_do_not_control_the_terminal() -> None:
    name = "a\x1b]0;title\x07\x9b2J[/bold][red]:bomb:\r\n\u202e"
    layer = replace(COMPUTES, name=name, original_name=name, operator=name, kernel=name, precision=name)
    text = shown(replace(sample_profile(layer), model=name, provider=name, notes=(name,)))
    assert text.replace("\n", "").isprintable() and "[red]:bomb:" in text
