"""Energy and GPU memory: counters that wrap, that nobody may read, that are not there, and a driver that is a fake."""

import io
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from resnetx.benchmark import meters
from resnetx.benchmark.result import BenchCase, Benchmark, ColdStart, Limits
from resnetx.benchmark.result_file import parse_benchmark
from resnetx.benchmark.summary import summarize, summarized
from resnetx.machine import gpu_meter
from resnetx.machine.energy import GPU, PROCESSOR, Package, read_packages, total_energy, watch_energy, watch_power
from resnetx.machine.gpu_meter import GpuMemory, GpuMeter, open_meter, pci_address
from resnetx.report.bench import render_bench
from resnetx.report.html.page import render_html


def domain(powercap: Path, folder: str, name: str, microjoules: int, highest: int = 1000) -> Path:
    own = powercap / folder
    own.mkdir(parents=True, exist_ok=True)
    (own / "name").write_text(f"{name}\n")
    (own / "energy_uj").write_text(f"{microjoules}\n")
    (own / "max_energy_range_uj").write_text(f"{highest}\n")
    return own


def test_packages_are_added_and_their_parts_are_not(tmp_path: Path) -> None:
    first = domain(tmp_path, "intel-rapl:0", "package-0", 900)
    second = domain(tmp_path, "intel-rapl:1", "package-1", 10)
    domain(tmp_path, "intel-rapl:0:0", "core", 5)
    domain(tmp_path, "intel-rapl:2", "psys", 5)
    domain(tmp_path, "intel-rapl-mmio:0", "package-0", 900)
    assert set(read_packages(tmp_path)) == {"intel-rapl:0", "intel-rapl:1"}
    stop = watch_energy(None, tmp_path)
    (first / "energy_uj").write_text("100")  # past its range, and begun again
    (second / "energy_uj").write_text("310")
    assert stop() == {PROCESSOR: pytest.approx(500e-6)}


@given(st.integers(1, 2**48), st.data())
def test_a_counter_that_wraps_once_has_lost_nothing(highest: int, data: st.DataObject) -> None:
    before, spent = data.draw(st.integers(0, highest)), data.draw(st.integers(0, highest - 1))
    later = before + spent if before + spent <= highest else before + spent - highest
    found = Package(before, highest).joules_until(Package(later, highest))
    assert found == pytest.approx(spent / 1e6)


def test_what_only_the_administrator_may_read_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    domain(tmp_path, "intel-rapl:0", "package-0", 1)
    closed = domain(tmp_path, "intel-rapl:1", "package-1", 1) / "energy_uj"
    read = Path.read_text

    def refused(path: Path, *arguments: Any) -> str:
        if path == closed:
            raise PermissionError(13, "Permission denied")
        return read(path, *arguments)

    assert len(read_packages(tmp_path)) == 2
    monkeypatch.setattr(Path, "read_text", refused)
    assert read_packages(tmp_path) == {} and watch_energy(None, tmp_path)() == {}


def test_no_counters_at_all(tmp_path: Path) -> None:
    assert watch_energy(None, tmp_path / "absent")() == {} and watch_power(None, tmp_path)(1.0) == {}


class Meter:
    """A GPU's counter."""

    def __init__(self, *joules: float | None) -> None:
        self._joules = list(joules)

    def energy_j(self) -> float | None:
        return self._joules.pop(0)


def test_the_gpu_counts_beside_the_processor(tmp_path: Path) -> None:
    package = domain(tmp_path, "intel-rapl:0", "package-0", 0, 10**7)
    stop = watch_energy(Meter(10.0, 14.5), tmp_path)
    (package / "energy_uj").write_text("2000000")
    assert stop() == {PROCESSOR: 2.0, GPU: 4.5}
    assert watch_energy(Meter(None, None), tmp_path / "absent")() == {}
    # A driver that was loaded anew counts from zero.
    assert watch_energy(Meter(10.0, 0.5), tmp_path / "absent")() == {}


def test_energy_is_of_what_could_be_read_in_every_round() -> None:
    assert total_energy([]) == (None, None) == total_energy([{PROCESSOR: 1.0}, {}])
    assert total_energy([{GPU: 3.0, PROCESSOR: 1.0}, {PROCESSOR: 2.0, GPU: 3.0}]) == (9.0, "processor and GPU")
    assert total_energy([{GPU: 3.0, PROCESSOR: 1.0}, {GPU: 1.0}]) == (4.0, "GPU")


def test_joules_an_image() -> None:
    case = BenchCase(model="m", provider="cuda", batch=4, threads=1, samples_ms=[[1.0] * 3, [1.0] * 2], energy_j=10.0)
    assert summarize(case, None).joules_per_image == 0.5
    assert summarize(BenchCase(model="m", provider="cuda", batch=4, threads=1), None).joules_per_image is None


@pytest.mark.parametrize(
    ("provider", "options", "precision", "expected"),
    [
        ("cuda", {}, "tf32", 0.5),
        ("cuda", {}, "fp32", None),
        ("torch", {"device": "cuda"}, "fp16", 0.25),
        ("torch", {"device": "cpu"}, "fp32", 1.0),
        ("cpu", {}, "fp32", 1.0),
    ],
)
def test_each_case_is_held_against_the_peak_of_where_it_ran(
    provider: str, options: dict[str, str], precision: str, expected: float | None
) -> None:
    limits = Limits(threads=1, fp32_gflops=2.0, gpu_tf32_gflops=4.0, gpu_fp16_gflops=8.0)
    case = BenchCase(
        model="m",
        provider=provider,
        batch=1,
        threads=1,
        options=options,
        effective_precision=precision,
        macs=10**6,
        samples_ms=[[1.0]],
    )
    assert summarize(case, limits).limit_fraction == expected


def test_what_only_some_machines_tell_is_shown_where_they_do() -> None:
    console = Console(width=80, file=io.StringIO())
    plain = BenchCase(model="m.onnx", provider="cpu", batch=4, threads=1, samples_ms=[[1.0] * 5])
    told = replace(
        plain,
        provider="tensorrt",
        energy_j=10.0,
        energy_of="processor and GPU",
        gpu_memory_mb=12345.6,
        cold=ColdStart(session_s=43.2, first_run_ms=1.0, engine="from cache"),
    )
    limits = Limits(threads=1, gpu_tf32_gflops=4e5)
    run = summarized(Benchmark(created="", machine={}, limits=limits, cases=(plain,)))
    console.print(render_bench(run))
    assert "J/img" not in console.file.getvalue()  # type: ignore[attr-defined]
    assert "J/image" not in render_html(run)
    run = summarized(replace(run, cases=(plain, told)))
    console.print(render_bench(run))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "12346 0.5000 processor and GPU from cache" in " ".join(text.split())
    assert all(len(line) <= 80 for line in text.splitlines())
    page = render_html(run)
    assert all(words in page for words in ("J/image", "processor and GPU", "from cache", "GPU tf32 peak"))
    assert parse_benchmark(json.dumps(run.to_json()), source="t") == run


class NvmlError(Exception):
    """As pynvml's."""


def fake_nvml(pid: int | None, own: int | None, *used: int) -> Any:
    left = list(used)
    processes = [] if pid is None else [SimpleNamespace(pid=pid, usedGpuMemory=own)]

    def unsupported(handle: object) -> int:
        raise NvmlError

    return SimpleNamespace(
        NVMLError=NvmlError,
        nvmlDeviceGetComputeRunningProcesses=lambda handle: processes,
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=left.pop(0) * gpu_meter.MB),
        nvmlDeviceGetTotalEnergyConsumption=unsupported,
    )


def test_the_memory_of_this_process_where_the_driver_knows_it() -> None:
    memory = GpuMemory(GpuMeter(fake_nvml(os.getpid(), 700 * gpu_meter.MB, 5000, 6000), None))
    memory.watch()()
    assert memory.peak_mb == 700 and memory.counted


@pytest.mark.parametrize("pid", [None, os.getpid()], ids=["absent", "here"])
def test_what_was_taken_meanwhile_where_the_driver_does_not(pid: int | None) -> None:
    # Between its turns others take and give back: 900 -> 2000 is not this process's doing.
    memory = GpuMemory(GpuMeter(fake_nvml(pid, None, 100, 600, 900, 1000, 2000, 1900), None))
    for expected in (500, 600, 600):
        memory.watch()()
        assert memory.peak_mb == expected
    assert not memory.counted


def test_a_gpu_that_does_not_count_energy_says_nothing() -> None:
    meter = GpuMeter(fake_nvml(None, None), None)
    assert meter.energy_j() is None
    assert GpuMeter(SimpleNamespace(NVMLError=NvmlError), None).used_mb() is None


def test_without_a_driver_there_is_no_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pci_address(0, "libno-such-driver.so.1") is None
    assert pci_address(0, "libc.so.6") is None  # a library without these functions
    monkeypatch.setattr(gpu_meter, "pci_address", lambda device: None)
    assert open_meter() is None
    monkeypatch.setattr(gpu_meter, "pci_address", lambda device: "0000:ff:1f.7")
    assert open_meter() is None  # no such GPU, no library, or no package for it


def test_meters_stay_with_a_case_that_runs_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "open_meter", lambda device: GpuMeter(fake_nvml(None, None, *range(0, 900, 100)), None))
    on_gpu: Any = SimpleNamespace(provider="torch", options={"device": "cuda"}, fallback=None)
    own = meters.Meters("torch", {"device": "cuda"})
    own.settle(on_gpu)
    answer = own.watch()(0.0)
    assert answer.gpu_memory_mb == 200 and answer.notes == [meters.TAKEN_WORDS]
    for provider, fallback in (("cpu", None), ("cuda", "no GPU")):
        other = meters.Meters("auto", {})
        other.settle(SimpleNamespace(provider=provider, options={}, fallback=fallback))  # type: ignore[arg-type]
        answer = other.watch()(0.0)
        assert answer.gpu_memory_mb is None and answer.notes == []
    monkeypatch.setattr(meters, "open_meter", lambda device: pytest.fail("a case on the processor asked for a GPU"))
    meters.Meters("cpu", {})
