"""The program as a user meets it: exit codes, one clear paragraph for an error, and nothing half-written."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest

import resnetx
from resnetx.cli.main import main
from resnetx.conversion import export
from tests.conftest import TINY_SIZE, tiny_config
from tests.conversion.test_export import break_weight
from tests.support.onnx_models import small_classifier

TINY = ["--stages", "1,1", "--width", "8", "--classes", "10", "--image-size", "32"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["resnetx", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_export_says_what_it_wrote_and_from_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, report = tmp_path / "m.onnx", tmp_path / "r.json"
    assert run(monkeypatch, "export", *TINY, "--seed", "3", "-o", path, "--json", report) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "seed 3: NOT TRAINED" in shown and "times PyTorch's own fp32 error" in shown
    result = json.loads(report.read_text())
    assert result["schema"] == "resnetx.export/2" and result["parity"]["passed"] and result["written"]
    assert result["size_bytes"] == path.stat().st_size
    assert result["card"]["config"]["stages"] == [1, 1]


def test_a_disagreement_exits_with_1_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "convert_precision", lambda model, precision: break_weight(model))
    report = tmp_path / "r.json"
    assert run(monkeypatch, "export", *TINY, "-o", tmp_path / "m.onnx", "--json", report) == 1
    assert "was NOT written" in " ".join(capsys.readouterr().out.split())
    assert json.loads(report.read_text())["written"] is False
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--depth", "51"], "no ResNet of depth 51"),
        (["--depth", "50", "--stages", "1,1"], "depth and a stage list"),
        (["--stages", "1,x"], "such as 3,4,6,3; found '1,x'"),
        (["--batch", "many"], "the word dynamic"),
        (["--batch", "0"], "batch of 0"),
        (["--opset", "12"], "Opset 12"),
        (["--opset", "17", "--exporter", "dynamo"], "leave --exporter out"),
        (["--weights", "absent.safetensors"], "absent.safetensors"),
        (["--new-head"], "add --weights"),
        (["--output", "top0"], "no output form"),
        (["--labels", "absent.txt"], "absent.txt"),
        (["--textbook-last-filters", "512"], "--variant textbook"),
        (["-o", "absent/m.onnx", *TINY], "absent does not exist"),
        (["--variant", "v3"], "Invalid value for '--variant': 'v3' is not one of"),
        (["--nothing"], "No such option: --nothing. See resnetx export --help."),
        (["-o", "-"], "write to /dev/stdout"),
        (["-o", "."], "it is a folder. Give the name of a file."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_paragraph_and_exit_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "export", *arguments) == 2
    shown = capsys.readouterr()
    assert words in " ".join(shown.err.split())
    assert "Traceback" not in shown.err and shown.out == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("verify m.onnx --batch 1,x", "--batch takes whole numbers separated by commas, such as 1,8; found '1,x'"),
        ("verify m.onnx --atol -1", "greater than or equal to 0. See resnetx verify --help."),
        ("inspect folder", "folder is a folder without model.onnx. Give an ONNX file, or a folder that resnetx tune"),
        ("verify m.onnx --reference o.onnx", "its inputs are other (float32), and the model's are x (float32). Give"),
        ("verify m.onnx --golden g.npz", "has the inputs input, but the model takes x. Use the bundle"),
    ],
)
def test_what_a_model_file_does_not_fit_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "m.onnx").write_bytes(small_classifier())
    other = onnx.load("m.onnx")
    other.graph.input[0].name = other.graph.node[0].input[0] = "other"
    onnx.save(other, "o.onnx")
    if "--golden" in line:
        resnetx.export(tiny_config(), "t.onnx", image_size=TINY_SIZE, golden="g.npz")
    assert run(monkeypatch, *line.split()) == 2
    said = " ".join(capsys.readouterr().err.replace("\n", " ").split())
    assert words in said.split("resnetx: ", 1)[1], said


def test_weights_and_options_that_contradict_each_other_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    from tests.conftest import random_network, tiny_config

    torch.save(random_network(tiny_config()).state_dict(), tmp_path / "w.pt")
    out = ["-o", tmp_path / "m.onnx", "--image-size", "32"]
    for options, words in (
        (["--depth", "18"], "--depth 18 was requested, but the weights are ResNet-11 v1.5"),
        (["--classes", "7"], "Add --new-head"),
        (["--stages", "1,1"], "stages 1,2"),
    ):
        assert run(monkeypatch, "export", "--weights", tmp_path / "w.pt", *options, *out) == 2
        assert words in " ".join(capsys.readouterr().err.split())
    assert run(monkeypatch, "export", "--weights", tmp_path / "w.pt", "--classes", "7", "--new-head", *out) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "7 classes" in shown and "NEW, UNTRAINED classifier" in shown and "torchvision naming" in shown


def test_a_killed_export_leaves_no_file_under_the_name(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    command = [sys.executable, "-m", "resnetx", "export", *TINY, "-o", str(path)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    # The moment the temporary file appears, the export is between writing and renaming.
    while child.poll() is None and not any(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    child.wait()
    names = [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert names in ([], ["m.onnx"])
    if names:
        import onnx

        onnx.checker.check_model(onnx.load(path))


def test_a_disk_that_fills_up_is_a_clear_error(tmp_path: Path) -> None:
    """The largest file a process may write is set below the model's size, which the kernel treats as a full disk."""
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from resnetx.conversion import export\n"
        "write = export.parity_suffix\n"
        "from resnetx.cli.main import main\n"
        "original = export.embed_card\n"
        "def limited(*arguments):\n"
        "    original(*arguments); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "export.embed_card = limited\n"
        f"sys.argv = ['resnetx', 'export', *{TINY}, '-o', {str(tmp_path / 'm.onnx')!r}]\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "Cannot write" in done.stderr and "Nothing was left behind" in " ".join(done.stderr.split())
    assert not list(tmp_path.iterdir())


def test_the_version_is_the_packages(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from resnetx import __version__

    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"resnetx {__version__}\n"
