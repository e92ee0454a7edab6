"""The machine's facts: read from files of every form, and nothing in them that says whose machine it is."""

import getpass
import json
import socket
import sys
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetx.machine import gpus
from resnetx.machine.facts import (
    INSTRUCTION_SETS,
    installed_versions,
    read_governor,
    read_machine,
    read_processor,
    read_turbo,
    usable_memory_mb,
)
from resnetx.runtime import installed_runtimes

INTEL = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model name\t: Intel(R) Xeon(R) Processor @ 2.10GHz
flags\t\t: fpu vme avx2 fma avx512f avx512_vnni amx_bf16 avx512_bf16 amx_tile amx_int8

processor\t: 1
vendor_id\t: GenuineIntel
model name\t: Another
flags\t\t: fpu
"""
ARM = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd asimddp i8mm bf16 sve\nCPU implementer\t: 0x41\n"


def test_the_machine_as_it_is() -> None:
    machine = read_machine()
    assert 1 <= machine.cores <= machine.cpus and machine.default_threads >= 1
    assert machine.memory_mb is None or machine.memory_mb > 100
    assert machine.python == f"CPython {sys.version.split()[0]}"
    assert machine.versions["torch"] == metadata.version("torch") and "onnx" in machine.versions
    assert set(machine.instruction_sets) <= set(INSTRUCTION_SETS)
    assert json.loads(json.dumps(machine.to_json()))["cores"] == machine.cores


def test_nothing_says_whose_machine_it_is() -> None:
    texts = _texts(read_machine().to_json())
    assert not any("/home/" in text or text.startswith("/") for text in texts)
    assert str(Path.home()) not in " ".join(texts)
    words = {word for text in texts for word in text.split()}
    assert not words & {socket.gethostname(), getpass.getuser()}


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    return [str(value)]


def test_processor_of_intel_and_arm(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(INTEL)
    intel = read_processor(file)
    assert (intel.name, intel.vendor) == ("Intel(R) Xeon(R) Processor @ 2.10GHz", "Intel")
    assert intel.instruction_sets == (
        *("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16"),
        *("amx_tile", "amx_int8", "amx_bf16"),
    )
    file.write_text(ARM)
    arm = read_processor(file)
    assert (arm.vendor, arm.instruction_sets) == ("Arm", ("asimd", "asimddp", "i8mm", "bf16", "sve"))
    assert arm.name


@given(st.text(max_size=200), st.sampled_from(["vendor_id", "model name", "flags", "x"]))
def test_any_cpuinfo_is_survived_and_printable(tmp_path_factory: pytest.TempPathFactory, text: str, field: str) -> None:
    file = tmp_path_factory.mktemp("proc") / "cpuinfo"
    file.write_text(f"{field}\t: {text}\n", errors="replace")
    processor = read_processor(file)
    assert processor.name.isprintable() and processor.vendor.isprintable() and processor.name and processor.vendor


def memory(
    folder: Path, *, total_kb: int | None, unified: str | None = None, separate: str | None = None
) -> int | None:
    folder.mkdir()
    meminfo, membership, root = folder / "meminfo", folder / "cgroup", folder / "fs"
    if total_kb is not None:
        meminfo.write_text(f"MemTotal:       {total_kb} kB\nMemFree: 1 kB\n")
    membership.write_text("4:memory:/box\n0::/box/inner\n")
    for path, text in ((root / "box" / "memory.max", unified), (root / "memory" / "memory.limit_in_bytes", separate)):
        if text is not None:
            path.parent.mkdir(parents=True)
            path.write_text(text)
    return usable_memory_mb(meminfo, membership, root)


def test_memory_is_the_tightest_limit(tmp_path: Path) -> None:
    total = 8 * 2**20
    assert memory(tmp_path / "a", total_kb=total) == 8192
    assert memory(tmp_path / "b", total_kb=total, unified="max") == 8192
    assert memory(tmp_path / "c", total_kb=total, unified=str(2 * 2**30)) == 2048
    assert memory(tmp_path / "d", total_kb=total, separate=str(3 * 2**30), unified="max") == 3072
    assert memory(tmp_path / "e", total_kb=total, separate="9223372036854771712") == 8192
    assert memory(tmp_path / "f", total_kb=total, unified="0") == 8192
    assert memory(tmp_path / "g", total_kb=total, unified="-5") == 8192
    assert memory(tmp_path / "h", total_kb=total, unified="9" * 400) == 8192


def test_the_governor_of_the_processors_that_may_be_used(tmp_path: Path) -> None:
    assert read_governor(frozenset({0, 1}), tmp_path) is None
    for cpu, name in enumerate(["performance", "performance", "powersave"]):
        (tmp_path / f"cpu{cpu}" / "cpufreq").mkdir(parents=True)
        (tmp_path / f"cpu{cpu}" / "cpufreq" / "scaling_governor").write_text(f"{name}\n")
    assert read_governor(frozenset({0, 1}), tmp_path) == "performance"
    assert read_governor(frozenset({1, 2}), tmp_path) == "performance, powersave"


@pytest.mark.parametrize(
    ("file", "text", "on"),
    [
        ("intel_pstate/no_turbo", "0", True),
        ("intel_pstate/no_turbo", "1", False),
        ("cpufreq/boost", "1", True),
        ("cpufreq/boost", "0", False),
        ("cpufreq/boost", "maybe", None),
        ("cpufreq/other", "1", None),
    ],
)
def test_whether_processors_may_boost(tmp_path: Path, file: str, text: str, on: bool | None) -> None:
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(text)
    assert read_turbo(tmp_path) is on


def test_gpus_by_line() -> None:
    answer = "NVIDIA H200, 580.65.06, 143771, 9.0\nNVIDIA Thor, 580.00, [N/A], 11.0\nFailed to initialize NVML\n\n"
    first, second = gpus.read_answer(answer)
    assert (first.name, first.driver, first.memory_mb, first.compute_capability) == (
        *("NVIDIA H200", "580.65.06"),
        *(143771, "9.0"),
    )
    assert (second.memory_mb, second.compute_capability) == (None, "11.0")


@given(st.text(max_size=200))
def test_any_answer_about_gpus_is_survived(text: str) -> None:
    assert all(gpu.name.isprintable() and gpu.driver.isprintable() for gpu in gpus.read_answer(text))


def program(folder: Path, body: str) -> Path:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are shell scripts")
def test_nvidia_smi_that_works_fails_and_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpus.find_gpus("no-such-program-here") == ()
    works = program(tmp_path, "echo 'NVIDIA T4, 580.1, 15360, 7.5'")
    assert [gpu.name for gpu in gpus.find_gpus(str(works))] == ["NVIDIA T4"]
    fails = program(tmp_path, "echo 'NVIDIA T4, 580.1, 15360, 7.5'; exit 9")
    assert gpus.find_gpus(str(fails)) == ()
    monkeypatch.setattr(gpus, "TIMEOUT_S", 0.2)
    assert gpus.find_gpus(str(program(tmp_path, "exec sleep 20"))) == ()


def test_whether_there_is_nvidia_hardware(tmp_path: Path) -> None:
    devices, file = tmp_path / "devices", tmp_path / "nvidiactl"
    assert gpus.has_nvidia_hardware(devices, (file,)) is None
    for index, vendor in enumerate(["0x8086", "0x1af4"]):
        (devices / f"0000:00:0{index}.0").mkdir(parents=True)
        (devices / f"0000:00:0{index}.0" / "vendor").write_text(f"{vendor}\n")
    assert gpus.has_nvidia_hardware(devices, (file,)) is False
    (devices / "0000:00:01.0" / "vendor").write_text("0x10de\n")
    assert gpus.has_nvidia_hardware(devices, (file,)) is True
    file.touch()
    assert gpus.has_nvidia_hardware(tmp_path / "absent", (file,)) is True


def install(folder: Path, name: str, *files: str) -> None:
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))


def test_packages_that_bring_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert installed_runtimes.runtime_wheels() == ()
    install(tmp_path, "onnxruntime-ep-openvino", "onnxruntime_ep_openvino/__init__.py")
    install(tmp_path, "onnxruntime-gpu", "onnxruntime/__init__.py")
    install(tmp_path, "some-package", "onnxruntime/__init__.py")
    (tmp_path / "broken-1.0.dist-info").mkdir()
    assert [wheel.name for wheel in installed_runtimes.runtime_wheels()] == ["onnxruntime-gpu"]
    install(tmp_path, "Onnxruntime_OpenVINO", "onnxruntime/__init__.py", "onnxruntime/capi/x.so")
    assert [wheel.name for wheel in installed_runtimes.runtime_wheels()] == ["onnxruntime-gpu", "onnxruntime-openvino"]
    assert sorted(installed_versions()) == ["onnxruntime-ep-openvino", "onnxruntime-gpu", "onnxruntime-openvino"]


def test_the_installed_runtime_is_one_package() -> None:
    assert [wheel.name for wheel in installed_runtimes.runtime_wheels()] == [installed_runtimes.right_wheel()]
