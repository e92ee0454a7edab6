"""The doctor: providers really tried in children that may do anything, remedies that fit, and the command's answers."""

import dataclasses
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from resnetx.cli.main import main
from resnetx.doctor import checkup, trial_worker
from resnetx.doctor.checkup import Checkup, Diagnosis, Finding, Library, Version, examine
from resnetx.errors import FileError, RuntimeUnavailableError, UsageError
from resnetx.machine.facts import read_machine
from resnetx.machine.gpus import DRIVER, Gpu
from resnetx.report.console import plain_text
from resnetx.report.doctor import render_checkup
from resnetx.runtime import fixes
from resnetx.runtime.catalog import BY_NAME, CATALOG, engine_of
from resnetx.runtime.fixes import Fix, Situation
from resnetx.runtime.installed_runtimes import Wheel
from resnetx.runtime.ort import nvidia_versions
from resnetx.runtime.ort.shared_libraries import provider_library
from resnetx.tuning.tune import _working

SAMPLE = Situation(
    wheels=(Wheel(name="onnxruntime-gpu", version="1.31.1"),),
    imports=True,
    versions={"torch": "2.13", "onnxruntime-ep-openvino": "1.8"},
    vendor="Intel",
    architecture="x86_64",
    nvidia=True,
    driver=True,
)


def commands(name: str, problem: str = "it fails", missing: Sequence[str] = (), **changes: object) -> list[str | None]:
    at = dataclasses.replace(SAMPLE, **changes)  # type: ignore[arg-type]
    return [fix.command for fix in fixes.fixes_for(BY_NAME[name], problem, missing, at)]


@pytest.fixture
def gpu_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixes, "right_wheel", lambda: "onnxruntime-gpu")


def test_the_catalog_is_read_without_any_engine() -> None:
    code = "import sys, resnetx.runtime.catalog; print({'onnxruntime', 'torch', 'openvino'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_the_cpu_works_in_a_child() -> None:
    result = examine(["CPUExecutionProvider", "cpu"])
    assert result.passed and result.asked == ("cpu",)
    (provider,) = result.providers
    assert (provider.name, provider.works, provider.precision, provider.fixes) == ("cpu", True, "fp32", ())
    assert result.findings == ()


def test_the_child_says_what_the_probe_says() -> None:
    for row in CATALOG:
        if row.engine == "onnxruntime":
            assert trial_worker.try_provider(row.name)["problem"] == engine_of(row).why_not()


def test_torch_is_tried_as_a_runner() -> None:
    assert trial_worker.try_provider("torch") == {"problem": None, "precision": "fp32"}


def test_the_survey_names_all_and_reads_their_libraries() -> None:
    survey = trial_worker.survey()
    assert set(survey["libraries"]) == {row.name for row in CATALOG if row.engine == "onnxruntime"}
    if provider_library("cuda") is None:
        pytest.skip("this build of ONNX Runtime has no CUDA provider")
    found = dict(survey["libraries"]["cuda"])
    assert found["libc.so.6"] is True and {"libcuda.so.1", "libcudnn.so.9"} <= found.keys()
    assert [row["name"] for row in survey["components"]] == ["driver's CUDA", "CUDA runtime", "cuDNN", "TensorRT"]
    assert {row["library"]: row["wanted"] for row in survey["components"]}["libnvinfer.so.10"] == "10"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import os; os.abort()", "crashed (SIGABRT)"),
        ("import time; time.sleep(60)", "took longer than 2 s"),
        ("raise SystemExit('no such thing \\x1b[31m here')", "failed with exit status 1: no such thing ?[31m here"),
        ("import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('{')", "the process gave no valid answer"),
        ("pass", "the process gave no valid answer"),
    ],
)
def test_a_child_that_crashes_hangs_fails_or_says_nothing(
    body: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkup, "CHILD", (sys.executable, "-c", body))
    result = examine(["cpu"], timeout_s=2)
    assert not result.passed
    assert words in (result.providers[0].problem or "")
    assert result.providers[0].fixes
    assert "ONNX Runtime cannot be used at all" in result.findings[0].problem


def test_no_folder_to_try_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(FileError, match="TMPDIR"):
        examine(["cpu"])


@pytest.mark.parametrize("body", ["", "import os; os.abort()", "raise ImportError('libonnxruntime.so.1: not found')"])
def test_a_broken_runtime_is_a_diagnosis_and_not_a_crash(tmp_path: Path, body: str) -> None:
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(body)
    ended = subprocess.run(
        [sys.executable, "-m", "resnetx", "doctor", "--provider", "cpu", "--json", "-"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert [line.partition("] ")[2] for line in ended.stderr.splitlines()][-1] == "step 3 of 3: testing cpu"
    result = json.loads(ended.stdout)
    assert result["providers"][0]["works"] is False
    assert "pip install onnxruntime" in result["findings"][0]["fix"]["command"]


@pytest.mark.parametrize("name", ["gpu", "", "cpu,", "\x1b[31m", "x" * 10_000])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(
        UsageError, match="choose one of cpu, openvino-ep, openvino, cuda, cudnn, tensorrt, torch, torch-compile"
    ) as caught:
        examine([name])
    assert "\x1b" not in str(caught.value) and len(str(caught.value)) < 250


def test_all_that_were_asked_for_must_work(monkeypatch: pytest.MonkeyPatch) -> None:
    working = {"cpu"}

    def child(task: Sequence[str], timeout_s: float) -> tuple[dict[str, object], str | None]:
        if task[0] == "survey":
            return {}, None
        return {"problem": None if task[1] in working else "it is not there"}, None

    monkeypatch.setattr(checkup, "_child", child)
    assert examine().passed and not examine(["cpu,cuda"]).passed
    assert [provider.name for provider in examine().providers] == list(BY_NAME)
    working.add("cuda")
    assert examine(["cpu", "cuda"]).passed
    working.remove("cpu")
    assert examine(["cuda"]).passed and not examine().passed


@pytest.mark.usefixtures("gpu_platform")
class TestRemedies:
    def test_two_runtimes_go_and_one_comes_back(self) -> None:
        both = (Wheel(name="onnxruntime", version="1"), Wheel(name="onnxruntime-gpu", version="1"))
        repair = "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"
        for name in ("cpu", "cuda", "openvino-ep"):
            assert commands(name, wheels=both) == [repair]
        assert commands("torch", wheels=both) == ["pip install --force-reinstall torch"]
        assert commands("torch", imports=False) == ["pip uninstall -y onnxruntime-gpu && pip install onnxruntime-gpu"]
        assert commands("cpu", wheels=()) == ["pip install onnxruntime-gpu"]

    def test_the_plain_runtime_is_exchanged_before_libraries_are_installed(self) -> None:
        plain = (Wheel(name="onnxruntime", version="1.31.1"),)
        assert commands("cuda", wheels=plain) == [
            "pip uninstall -y onnxruntime && pip install onnxruntime-gpu",
            "pip install 'resnetx[cuda]'",
        ]

    def test_libraries_and_driver_are_different_things(self) -> None:
        assert commands("cuda", missing=["libcudnn.so.9"]) == ["pip install 'resnetx[cuda]'"]
        assert commands("cuda", missing=["libcuda.so.1"]) == ["sudo apt install nvidia-driver-580"]
        assert len(commands("cuda", missing=["libcuda.so.1", "libcudnn.so.9"], nvidia=None)) == 2
        assert commands("cuda", "CUDA driver version is insufficient for CUDA runtime version") == [
            "sudo apt install nvidia-driver-580"
        ]
        assert commands("cuda", "it computes nonsense") == ["pip install --force-reinstall --no-deps onnxruntime-gpu"]

    def test_tensorrt_of_another_version_is_named(self) -> None:
        versions = {"tensorrt-cu13": "11.0.2"}
        at = dataclasses.replace(SAMPLE, versions=versions)
        (fix,) = fixes.fixes_for(BY_NAME["tensorrt"], "it fails", ["libnvinfer.so.10"], at)
        assert fix.command == "pip install 'resnetx[cuda,tensorrt]'" and "tensorrt-cu13 11.0.2" in (fix.note or "")
        at = dataclasses.replace(SAMPLE, versions={"tensorrt-cu13": "10.14"})
        assert fixes.fixes_for(BY_NAME["tensorrt"], "it fails", ["libcudnn.so.9"], at)[0].note is None

    def test_no_command_where_none_would_help(self) -> None:
        assert commands("cuda", missing=["libcuda.so.1"], nvidia=False) == [None]
        assert commands("openvino-ep", vendor="AMD") == [None]
        assert commands("openvino-ep", architecture="aarch64") == [None]
        assert commands("openvino-ep", versions={}) == ["pip install onnxruntime-ep-openvino"]
        assert commands("openvino-ep") == ["pip install --force-reinstall --no-deps onnxruntime-ep-openvino"]

    def test_compiling_needs_a_compiler(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fixes.shutil, "which", lambda name: None)
        assert commands("torch-compile") == ["sudo apt install g++"]
        assert commands("torch-compile", versions={}) == ["pip install torch"]

    def test_every_failure_has_a_remedy_that_says_something(self) -> None:
        for name in BY_NAME:
            for nvidia_gpu in (True, False, None):
                at = dataclasses.replace(SAMPLE, nvidia=nvidia_gpu, driver=False)
                found = fixes.fixes_for(BY_NAME[name], "it fails", (), at)
                assert found and all(fix.command or fix.note for fix in found)


@pytest.mark.parametrize(
    ("library", "wanted", "found", "fits"),
    [
        ("libcudnn.so.9", "9", "9.13.1", True),
        ("libcudnn.so.9", "9", "8.9.0", False),
        ("libnvinfer.so.10", "10", "11.0.0", False),
        ("libnvinfer.so.10", "10", None, False),
        (DRIVER, "13", "13.1", True),
        (DRIVER, "13", "14.0", True),
        (DRIVER, "13", "12.8", False),
    ],
)
def test_versions_that_fit(library: str, wanted: str, found: str | None, fits: bool) -> None:
    assert nvidia_versions.Component(name="x", library=library, wanted=wanted, found=found).fits is fits


@pytest.mark.parametrize(
    ("decode", "number", "version"),
    [
        (nvidia_versions._thousands, 13000, "13.0"),
        (nvidia_versions._thousands, 12080, "12.8"),
        (nvidia_versions._ten_thousands, 91301, "9.13.1"),
        (nvidia_versions._ten_thousands, 101400, "10.14.0"),
    ],
)
def test_versions_as_nvidia_counts(decode: Callable[[int], str], number: int, version: str) -> None:
    assert decode(number) == version


def worst_case() -> Checkup:
    """Everything that can be said, with names from a hostile machine."""
    machine = dataclasses.replace(
        read_machine(),
        processor="Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz with a very long name indeed",
        instruction_sets=("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8"),
        cpu_quota=1.5,
        gpus=(Gpu(name="[bold]NVIDIA[/bold] H200", driver="580.65.06", memory_mb=143771, compute_capability="9.0"),),
        versions={"resnetx": "0.1.0", "onnxruntime-gpu": "1.31.1", "onnxruntime-openvino": "1.24.1"},
    )
    broken = Diagnosis(
        name="tensorrt",
        works=False,
        precision=None,
        problem="these libraries cannot be loaded: " + ", ".join(f"libnvinfer_part{index}.so.10" for index in range(9)),
        fixes=(Fix(command="pip install 'resnetx[cuda,tensorrt]'"), Fix(command=None, note="buy one")),
        libraries=(Library(name="libnvinfer.so.10", found=False), Library(name="libcudnn.so.9", found=True)),
    )
    versions = (
        Version(name="TensorRT", library="libnvinfer.so.10", wanted="10", found=None, fits=False),
        Version(name="cuDNN", library="libcudnn.so.9", wanted="9", found="9.13.1", fits=True),
        Version(name="driver's CUDA", library="libcuda.so.1", wanted="13", found="12.8", fits=False),
    )
    works = Diagnosis(name="cpu", works=True, precision="fp32", problem=None, fixes=(), libraries=())
    finding = Finding(problem="two of them [red]are[/red] installed", fix=Fix(command="pip uninstall -y both"))
    return Checkup(
        machine=machine, providers=(works, broken), versions=versions, findings=(finding,), asked=("tensorrt",)
    )


def test_the_report_fits_80_columns_and_takes_no_markup_from_names() -> None:
    stream = io.StringIO()
    Console(file=stream, width=80, highlight=False).print(render_checkup(worst_case()))
    shown = stream.getvalue()
    assert max(map(len, shown.splitlines())) <= 80
    flat = " ".join(shown.split())
    assert "[bold]NVIDIA[/bold] H200, 140 GiB, driver 580.65.06" in flat
    assert "warning: two of them [red]are[/red] installed to fix pip uninstall -y both" in flat
    assert "this build requires 10; not found" in flat and "9.13.1, as this build requires (9)" in flat
    assert "12.8" not in flat  # no library of this provider needs the driver
    assert "AMX int8" in flat and "a quota of 1.5" in flat
    assert "None" not in flat
    assert flat.endswith("NOT WORKING: tensorrt")


def test_what_providers_have_in_common_is_said_once() -> None:
    def diagnosis(name: str, problem: str, note: str) -> Diagnosis:
        fixes = (Fix(command=None, note=note),)
        return Diagnosis(name=name, works=False, precision=None, problem=problem, fixes=fixes, libraries=())

    rows = (
        diagnosis("cuda", "a library is missing", "buy a GPU"),
        diagnosis("tensorrt", "a library is missing", "buy a GPU"),
        diagnosis("cudnn", "there is no GPU", "buy a GPU"),
    )
    text = plain_text(lambda _: render_checkup(dataclasses.replace(worst_case(), providers=rows)))
    assert text.count("a library is missing") == text.count("there is no GPU") == text.count("buy a GPU") == 1
    assert "does not work, for the reason of cuda" in text and text.count("as cuda") == 2


@pytest.mark.parametrize("name", BY_NAME)
def test_errors_give_the_doctor_s_advice(name: str) -> None:
    """Of each provider that does not work here, as the user of a command meets it."""
    (provider,) = examine([name]).providers
    if provider.works:
        pytest.skip("it works here")
    with pytest.raises(RuntimeUnavailableError) as caught:
        _working([name])
    for fix in provider.fixes:
        assert (fix.command or fix.note or "") in str(caught.value)
    assert str(caught.value).count("nothing to install") <= 1


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("nvidia", [True, False])
def test_advice_is_in_words_and_never_twice(name: str, nvidia: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixes, "has_nvidia_hardware", lambda: nvidia)
    advice = fixes.advice_for(BY_NAME[name], fixes.NO_GPU)
    assert advice and advice.count(fixes.NO_GPU) == 0 and not advice.endswith(".")
    error = fixes.unavailable(BY_NAME[name], "it is broken")
    assert error.problem == "it is broken" and error.reason.startswith("it is broken; ")
    assert str(error) == f"The provider {name} was asked for, and it does not work here: {error.reason}."


def test_a_long_command_stays_in_one_piece() -> None:
    long = "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"
    for command in (long, "pip install torch"):
        result = dataclasses.replace(worst_case(), findings=(Finding(problem="x", fix=Fix(command=command, note="y")),))
        stream = io.StringIO()
        Console(file=stream, width=80, highlight=False).print(render_checkup(result))
        assert any(line.rstrip().endswith(command) for line in stream.getvalue().splitlines())
        assert max(map(len, stream.getvalue().splitlines())) <= 80 and "(y)" in stream.getvalue()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["resnetx", "doctor", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_exit_status_and_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--provider", "cpu", "--json", "-") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["schema"], result["passed"], result["asked"]) == ("resnetx.doctor/1", True, ["cpu"])
    assert result["machine"]["cores"] >= 1 and result["providers"][0]["precision"] == "fp32"
    monkeypatch.setattr(checkup, "examine", lambda *_, **__: worst_case())
    assert run(monkeypatch) == 1
    assert "NOT WORKING: tensorrt" in capsys.readouterr().out
    monkeypatch.undo()
    assert run(monkeypatch, "--provider", "no-such") == 2
    error = capsys.readouterr().err
    assert "There is no provider 'no-such'" in error and "Traceback" not in error


def test_a_variable_that_hands_the_session_to_the_model_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", "1")
    (finding,) = examine(["cpu"]).findings
    assert finding.fix.command == "unset ORT_LOAD_CONFIG_FROM_MODEL"


def test_messages_of_libraries_show_no_home_and_no_control_characters() -> None:
    text = checkup._clean(f"\x1b[31mcannot open {Path.home()}/x\nand more" + "y" * 2000)
    assert "\x1b" not in text and "\n" not in text and str(Path.home()) not in text
    assert len(text) <= checkup.MOST_CHARACTERS
