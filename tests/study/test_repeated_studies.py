"""The commands of the studies of several seeds: text, JSON, picture and page, with the range of the seeds in each."""

import json
import re
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from resnetx.cli.main import main
from tests.support.html_pages import assert_sound

COMMANDS = (
    ("identity", "--error", "0.9", "--steps", "10", "--seeds", "3"),
    ("transfer", "--samples", "1,2", "--steps", "10", "--seeds", "3"),
)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["resnetx", "study", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetx.study.transfer.BODY_STEPS", 2)
    monkeypatch.setattr("resnetx.study.transfer.WIDTH", 8)
    monkeypatch.setattr("resnetx.study.identity.RATES", (0.1,))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_text_json_and_page_say_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    page, stored = tmp_path / "s.html", tmp_path / "s.json"
    assert run(monkeypatch, *command, "-o", str(page), "--json", str(stored)) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    study = json.loads(stored.read_text())
    assert study["schema"] == "resnetx.study/1" and study["name"] == command[0]
    assert study["command"] == f"resnetx study {' '.join(command)} --seed 0"
    assert study["verdict"] in " ".join(text.split())
    html = page.read_text()
    assert_sound(html)
    assert study["verdict"] in html.replace("&#39;", "'")
    lines = [line for panel in study["panels"] for line in panel["lines"]]
    ranges = re.findall(r'<path class="range c\d" d="M([^"]*)Z"', html)
    assert [each.count("L") + 1 for each in ranges] == [2 * len(line["x"]) for line in lines]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_the_picture_opens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: tuple[str, ...]
) -> None:
    assert run(monkeypatch, *command, "-q", "-o", str(tmp_path / "p.png")) == 0
    assert capsys.readouterr() == ("", "")
    with Image.open(BytesIO((tmp_path / "p.png").read_bytes())) as image:
        image.load()
        assert image.format == "PNG" and image.width > 800


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("identity", "--error", "0"), "--error takes a relative error between 0 and 1"),
        (("identity", "--seeds", "2"), "--seeds takes 3 to 100; found 2"),
        (("transfer", "--samples", "1,x"), "--samples takes whole numbers"),
        (("transfer", "--samples", "5,1"), "--samples takes increasing numbers"),
        (("transfer", "--steps", "5"), "--steps takes 10 to"),
        (("transfer", "--seed", "-1"), "--seed takes 0 to"),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr("resnetx.study.transfer.load_digits", lambda _: pytest.fail("the work began"))
    monkeypatch.setattr("resnetx.study.identity.build_block", lambda *_, **__: pytest.fail("the work began"))
    assert run(monkeypatch, *command) == 2
    assert words in " ".join(capsys.readouterr().err.split())
