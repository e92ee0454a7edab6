"""`resnetx study` as a command: its table, JSON, pictures and page, and what it refuses before the work begins."""

import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from resnetx.cli.main import main
from resnetx.cli.study import STUDIES
from resnetx.report.html.study_page import render_study_page
from resnetx.report.study_picture import render_picture
from resnetx.study.gradients import GradientOptions, study_gradients
from resnetx.study.result import Line, Panel, Study
from tests.support.html_pages import assert_sound

QUICK = ("study", "gradients", "--depths", "8,14", "--steps", "0,1")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["resnetx", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def study() -> Study:
    return study_gradients(GradientOptions(depths=(8, 14), steps=(0, 1)))


def test_the_text_has_the_table_and_the_verdict_and_fits_in_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, study: Study
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    target = tmp_path / "r.json"
    assert run(monkeypatch, *QUICK, "--json", str(target)) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    assert study.verdict in flat and study.command in flat and study.claim in flat
    assert json.loads(target.read_text()) == json.loads(json.dumps(study.to_json()))
    assert study.to_json()["schema"] == "resnetx.study/1"


@pytest.mark.parametrize("name", ["p.png", "p.svg", "p.html", "P.PNG"])
def test_the_ending_of_the_file_is_its_format(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, study: Study
) -> None:
    monkeypatch.setattr("resnetx.study.gradients.study_gradients", lambda *_, **__: study)
    assert run(monkeypatch, *QUICK, "-q", "-o", str(tmp_path / name)) == 0
    assert capsys.readouterr() == ("", "")
    data = (tmp_path / name).read_bytes()
    if name.lower().endswith(".png"):
        with Image.open(BytesIO(data)) as image:
            image.load()
            assert image.format == "PNG" and image.width > 800
            assert len(image.convert("RGB").getcolors(1 << 24) or []) > 20 and len(data) < 150_000
    elif name.endswith(".svg"):
        assert ElementTree.fromstring(data).tag == "{http://www.w3.org/2000/svg}svg"
    else:
        page = data.decode()
        assert_sound(page)
        assert study.verdict in page.replace("&#39;", "'") and study.command in page


def test_the_same_study_gives_the_same_bytes_whatever_the_users_settings_are(study: Study) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    first = [render_picture(study, kind) for kind in ("png", "svg")]
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "lines.linewidth": 9}):
        assert [render_picture(study, kind) for kind in ("png", "svg")] == first
    assert dict(matplotlib.rcParams) == before
    assert b"<dc:date>" not in first[1]


def test_a_page_has_a_chart_for_each_panel_and_needs_no_matplotlib(
    monkeypatch: pytest.MonkeyPatch, study: Study
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = render_study_page(study)
    assert page == render_study_page(study)
    assert len(re.findall("<svg", page)) == len(study.panels) == 4
    for chart, panel in zip(re.findall("<svg.*?</svg>", page), study.panels, strict=True):
        assert [title for title in re.findall("<title>(.*?)</title>", chart)] == [line.name for line in panel.lines]
        drawn = re.findall(r'<path class="line c\d" d="M([^"h]*)"', chart)
        assert [path.count("L") + 1 for path in drawn] == [len(line.x) for line in panel.lines]


def test_a_claim_that_did_not_hold_is_a_result_with_status_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], study: Study
) -> None:
    failed = replace(study, held=False, verdict="The claim did not hold in this run: made up.")
    monkeypatch.setattr("resnetx.study.gradients.study_gradients", lambda *_, **__: failed)
    assert run(monkeypatch, *QUICK) == 0
    assert failed.verdict in capsys.readouterr().out
    assert '<p class="verdict undecided">The claim did not hold' in render_study_page(failed)


def made_up(*values: float | None, log_y: bool = True) -> Study:
    line = Line(name="<b>&", x=tuple(range(len(values))), y=values)
    panel = Panel(title="$\\alpha$ <i>", x_label="x", y_label="y", lines=(line,), log_y=log_y)
    return Study(
        name="gradients", title="<script>", claim="c", held=True, verdict="v <&>", seed=0, command="c", settings={},
        columns=(), rows=(), panels=(panel,),
    )  # fmt: skip


@pytest.mark.parametrize("log_y", [True, False])
@pytest.mark.parametrize("values", [(), (None,), (0.0, 0.0), (0.0, 1e-30, 1e30), (1.0,), (1.0, None, 3.0)])
def test_any_numbers_can_be_drawn(values: tuple[float | None, ...], log_y: bool) -> None:
    assert render_picture(made_up(*values, log_y=log_y), "svg") == render_picture(made_up(*values, log_y=log_y), "svg")
    page = render_study_page(made_up(*values, log_y=log_y))
    assert "<script>" not in page.partition("<h1>")[2].partition("</h1>")[0] and "v &lt;&amp;&gt;" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "p.jpg"), "-o takes a file that ends in .png, .svg or .html; found p.jpg"),
        (("-o", "-"), "-o takes a file that ends in"),
        (("-o", "absent/p.png"), "the folder absent does not exist"),
        (("--json", "absent/p.json"), "the folder absent does not exist"),
        (("-o", "p.html", "--json", "p.html"), "the same file"),
        (("--depths", "20,x"), "--depths takes whole numbers"),
        (("--depths", "20,21"), "A depth of 21 cannot be built"),
        (("--steps", "10,0"), "--steps takes one to 6 increasing numbers"),
        (("--seed", "-1"), "--seed takes 0 to"),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("resnetx.study.gradients.load_digits", lambda _: pytest.fail("the work began"))
    assert run(monkeypatch, "study", "gradients", *arguments) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_told_in_a_sentence_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("resnetx.study.requirements.find_spec", lambda _: None)
    assert run(monkeypatch, *QUICK, "-o", "p.png") == 2
    assert "pip install 'resnetx[study]'" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("name", ["", *STUDIES])
def test_a_help_fits_and_says_what_the_status_means(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(monkeypatch, "study", *filter(None, [name]), "--help") == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert not re.search(r"\b(TEXT|INTEGER|PATH|None|str|Path)\b|<path>", text)
    words = ("--quiet", "Exit status: 0") if name else (*STUDIES, "did not hold")
    assert all(each in " ".join(text.split()) for each in words)
