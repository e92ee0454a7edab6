"""Several providers in one verification: one that cannot run the file is a row, and the others' results are kept."""

import json
import os
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import resnetx
from resnetx.base.isolation import PYTHON
from resnetx.cli.main import main
from resnetx.errors import GraphError, ResnetxError, RuntimeUnavailableError, UsageError
from resnetx.report.console import plain_text
from resnetx.report.verification import render_verification, verdict_in_words
from resnetx.runtime import catalog
from resnetx.testing import ParityError, assert_parity
from resnetx.verification import isolated
from resnetx.verification import verify as module
from resnetx.verification.result import Images
from resnetx.verification.verify import VerifyOptions, verify_file
from tests.conftest import TINY_SIZE, tiny_config

ABSENT = ("cuda", "tensorrt")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ours") / "m.onnx"
    assert resnetx.export(tiny_config(), path, image_size=TINY_SIZE).passed
    return path


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """GPUs that are not there, wherever the test runs."""
    for name in ABSENT:
        row = replace(catalog.BY_NAME[name], problem=lambda: "its library is missing")  # type: ignore[call-arg]
        monkeypatch.setitem(catalog.BY_NAME, name, row)


def options(*providers: str) -> VerifyOptions:
    return VerifyOptions(providers=providers, batches=(1, 2), layers=False)


@pytest.mark.usefixtures("absent")
def test_one_that_is_not_there_is_a_row_and_the_others_are_kept(ours: Path) -> None:
    result = verify_file(ours, options("cuda,cpu", "tensorrt", "cpu"))
    assert [verdict.provider for verdict in result.verdicts] == ["cpu"] and result.verdicts[0].passed
    assert [each.provider for each in result.not_run] == list(ABSENT)
    assert all("its library is missing; " in each.reason for each in result.not_run)
    assert not result.passed and not result.failed
    assert verdict_in_words(result) == "NOT RUN on cuda, tensorrt; the others passed"
    assert [row["provider"] for row in result.to_json()["not_run"]] == list(ABSENT)
    with pytest.raises(ParityError, match=r"^.*m\.onnx: NOT RUN on cuda; the others passed"):
        assert_parity(ours, providers=("cpu", "cuda"), batches=(1,))


@pytest.mark.usefixtures("absent")
def test_it_is_an_error_if_none_can_run(ours: Path) -> None:
    with pytest.raises(RuntimeUnavailableError, match="The provider cuda was requested, but it does not run the model"):
        verify_file(ours, options("cuda"))
    with pytest.raises(RuntimeUnavailableError, match="No provider could run the file") as caught:
        verify_file(ours, options("cuda", "tensorrt"))
    assert str(caught.value).count("its library is missing") == len({reason(each) for each in ABSENT})
    with pytest.raises(UsageError, match="runs PyTorch modules"):
        verify_file(ours, options("cpu", "torch"))


def reason(name: str) -> str:
    with pytest.raises(RuntimeUnavailableError) as caught:
        catalog.open_runner(b"", provider=name)
    return caught.value.reason


def test_a_provider_that_fails_while_it_runs_is_a_row(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = module.Verdicts.provider

    def provider(self: object, runner: object, *rest: object) -> object:
        if runner.provider == "openvino":  # type: ignore[attr-defined]
            raise GraphError("OpenVINO could not run the model: out of luck")
        return verdict(self, runner, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module.Verdicts, "provider", provider)
    result = verify_file(ours, options("openvino", "cpu"))
    assert [each.reason for each in result.not_run] == ["OpenVINO could not run the model: out of luck"]
    with pytest.raises(ResnetxError, match="out of luck"):
        verify_file(ours, options("openvino"))


CRASHING = """
import os, signal, sys, time
from resnetx.verification import verify, verify_worker

def end():
    {how}

def open_runner(model, *, provider, options, precision):
    runner = real(model, provider="cpu", precision=precision)
    if provider in ("openvino", "openvino-ep"):
        {when}
    return runner

real, verify.open_runner = verify.open_runner, open_runner
verify_worker.main()
"""
OPENED, RUN = "end()", "runner.run = lambda *_: end()"


def crashing(folder: Path, monkeypatch: pytest.MonkeyPatch, *, how: str, when: str) -> None:
    """Let a provider end the process in which it is verified."""
    (folder / "crashing.py").write_text(CRASHING.format(how=how, when=when))
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(isolated, "CHILD", (*PYTHON, "crashing"))


@pytest.mark.parametrize(
    ("how", "when", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", OPENED, "it crashed (SIGSEGV)"),
        ("os._exit(0)", RUN, "it ended without an answer"),
        ("raise KeyError(7)", RUN, "KeyError: 7"),
        ("time.sleep(600)", RUN, "it took longer than 30 s"),
    ],
    ids=["a crash at the start", "an exit while it runs", "an unforeseen error", "no end"],
)
def test_a_provider_that_ends_the_process_is_a_row(
    ours: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    how: str,
    when: str,
    words: str,
) -> None:
    crashing(tmp_path, monkeypatch, how=how, when=when)
    report = tmp_path / "r.xml"
    short = ("--batch", "1", "--timeout", "30", "--provider-option", "openvino:NUM_STREAMS=1")
    assert run(monkeypatch, "verify", ours, "--provider", "openvino,cpu", *short, "--junit", report) == 2
    shown = capsys.readouterr().out
    assert "openvino  NOT RUN" in shown and words in " ".join(shown.split())
    assert "NOT RUN on openvino; the others passed" in shown
    suites = list(ElementTree.parse(report).getroot())
    assert suites[-1].attrib["errors"] == "1" and suites[-2].attrib["errors"] == "0"


def test_it_is_an_error_if_all_end_the_process(
    ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    crashing(tmp_path, monkeypatch, how="os._exit(3)", when=RUN)
    for providers in ("openvino", "openvino,openvino-ep"):
        assert run(monkeypatch, "verify", ours, "--provider", providers, "--batch", "1") == 2
        shown = capsys.readouterr().err
        assert "it failed with exit status 3" in " ".join(shown.split()) and "Traceback" not in shown


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["resnetx", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


@pytest.mark.parametrize(("tolerance", "status"), [([], 2), (["--atol", "0"], 1)], ids=["others agree", "others fail"])
def test_the_exit_status_and_the_reports(
    ours: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tolerance: list[str],
    status: int,
) -> None:
    from resnetx.machine.gpus import has_nvidia_hardware

    if has_nvidia_hardware():
        pytest.skip("there is a GPU")
    files = ["--json", tmp_path / "r.json", "--junit", tmp_path / "r.xml"]
    assert run(monkeypatch, "verify", ours, "--provider", "cpu,cuda", "--batch", "1,2,2", *tolerance, *files) == status
    shown = capsys.readouterr()
    assert "cuda  NOT RUN" in shown.out and "resnetx: " not in shown.err
    result = json.loads((tmp_path / "r.json").read_text())
    assert [row["provider"] for row in result["verdicts"]] == ["cpu"] and result["not_run"][0]["provider"] == "cuda"
    assert not result["passed"] and result["verdicts"][0]["seconds"] > 0
    suites = list(ElementTree.parse(tmp_path / "r.xml").getroot())
    assert suites[-1].attrib["errors"] == "1" and suites[-1][0][0].tag == "error"
    assert suites[-2].attrib["errors"] == "0" and float(suites[-2].attrib["time"]) > 0
    cases = [case for suite in suites for case in suite]
    names = Counter((case.attrib["classname"], case.attrib["name"]) for case in cases)
    assert set(names.values()) == {1}
    for suite in suites:
        assert float(suite.attrib["time"]) == pytest.approx(sum(float(case.attrib["time"]) for case in suite))


def test_a_failure_says_first_what_failed_and_by_how_much(ours: Path) -> None:
    with pytest.raises(ParityError) as caught:
        assert_parity(ours, batches=(2,), rtol=1e-12)
    first, *table = str(caught.value).splitlines()
    assert first.startswith(f"{ours}: FAILED: cpu in fp32: logits, batch 2: ")
    assert first.endswith("of 20 values are beyond atol 0, rtol 1e-12")
    assert any(line.startswith("logits") for line in table) and all(line == line.rstrip() for line in table)


def test_another_file_as_the_reference_is_not_called_pytorch(ours: Path, tmp_path: Path) -> None:
    resnetx.export(tiny_config(), tmp_path / "other.onnx", image_size=TINY_SIZE, seed=1)
    result = verify_file(tmp_path / "other.onnx", VerifyOptions(reference=ours, batches=(1, 2)))
    assert result.failed
    text = plain_text(lambda _: render_verification(result, layers=True))
    assert "PyTorch" not in text and "times the reference's own fp32 error" in text


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (Images(used=5, found=5), "on 5 photographs"),
        (Images(used=512, found=3000), "on 512 photographs, the first of 3,000 in the folder"),
    ],
)
def test_it_says_on_how_many_photographs(ours: Path, images: Images, words: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, TINY_SIZE, TINY_SIZE, 3), np.uint8)
    result = verify_file(ours, VerifyOptions(images=pixels, batches=(1, 2)))
    assert result.images == Images(used=5, found=5)
    text = plain_text(lambda _: render_verification(replace(result, images=images)))
    assert text.splitlines()[1] == f"against PyTorch in float64, {words}"


def test_a_folder_of_photographs_is_counted(ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    for number in range(4):
        image.new("RGB", (40, 40), (60 * number, 100, 200)).save(tmp_path / f"{number}.png")
    monkeypatch.setattr("resnetx.inputs.image_folder.most_images", lambda size: 3)
    result = verify_file(ours, VerifyOptions(images=tmp_path, batches=(1,)))
    assert result.images == Images(used=3, found=4)
