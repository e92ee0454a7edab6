"""`resnetx bench`: cases that time, verify, crash, hang and run out of memory, side by side; and bad input."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import resnetx
from resnetx.base.worker_process import ChildError
from resnetx.benchmark import run as benchmarking
from resnetx.benchmark.case import RunningCase, open_request
from resnetx.benchmark.messages import TruthOrder
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.plan import look_into, plan_cases
from resnetx.benchmark.reference_files import write_truths
from resnetx.benchmark.result import BenchCase, Benchmark, Limits
from resnetx.benchmark.result_file import parse_benchmark
from resnetx.benchmark.run import interrupted, passed, run_benchmark
from resnetx.benchmark.stopwatch import Stopwatch
from resnetx.benchmark.worker import CaseOrder, Worker
from resnetx.errors import ResnetxError, RuntimeUnavailableError, UsageError
from resnetx.graph.card import ModelCard
from resnetx.inputs.timed import timed_feeds
from resnetx.machine.cpu_contention import Disturbance, processor_seconds, total
from resnetx.report.bench import render_bench
from resnetx.runtime.catalog import BY_NAME, engine_of, open_runner
from resnetx.runtime.ort.device_session import DeviceSession
from resnetx.runtime.runner import Call, Feeds, Opening, Runner, TensorInfo
from tests.cli.test_main import run
from tests.conftest import TINY_SIZE, random_network, tiny_config
from tests.support import fake_bench_worker as fake
from tests.support.onnx_models import constant, small_classifier
from tests.support.watching import interrupting
from tests.verification.test_verify import edited

FAKE = (sys.executable, str(Path(fake.__file__)))
# One process for each case, to be quick; tests/benchmark/test_waves.py is about several.
QUICK = BenchOptions(providers=("cpu",), duration_s=0.02, rounds=2, processes=1, warmup=1, threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that all tests only read: with a card, foreign, and of a fixed batch."""
    folder = tmp_path_factory.mktemp("bench")
    assert resnetx.export(tiny_config(), folder / "ours.onnx", image_size=TINY_SIZE).passed
    top3 = {"output": "top3", "exporter": "torchscript"}
    assert resnetx.export(tiny_config(), folder / "top3.onnx", image_size=TINY_SIZE, **top3).passed  # type: ignore[arg-type]
    (folder / "foreign.onnx").write_bytes(small_classifier())
    (folder / "fixed.onnx").write_bytes(small_classifier(batch=4))
    (folder / "constant.onnx").write_bytes(constant())
    (folder / "empty.onnx").write_bytes(b"")
    (folder / "broken.onnx").write_bytes(b"broken")
    return folder


@pytest.fixture(autouse=True)
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's limits have tests of their own, and take seconds."""
    monkeypatch.setattr(benchmarking, "measured_limits", lambda threads, gpu: None)


def test_openvino_is_timed_verified_and_tells_its_kernels(folder: Path) -> None:
    options = replace(QUICK, providers=("cpu", "openvino"), batches=(2,), processes=2)
    result = run_benchmark([folder / "ours.onnx"], options)
    assert passed(result)
    case = case_of(result, provider="openvino")
    assert case.kernels and case.cold is not None and case.cold.engine == "built"
    assert [start.engine for start in case.restarts] == ["from cache"]
    assert "openvino, batch 2: layers that multiply: " in " ".join(shown(result).split())
    assert parse_benchmark(json.dumps(result.to_json()), source="x").cases[1].kernels == case.kernels
    assert case_of(result, provider="cpu").kernels == []


def test_logits_behind_other_outputs_are_not_those_of_the_cached_engine(folder: Path) -> None:
    options = replace(QUICK, providers=("openvino",), batches=(2,), processes=1)
    (case,) = run_benchmark([folder / "top3.onnx"], options).cases
    assert case.error is None and case.parity is not None and case.parity.passed
    assert {check.output for check in case.parity.checks} == {"logits", "scores", "indices"}


def test_int8_files_are_verified_on_samples_like_those_of_calibration(tmp_path: Path) -> None:
    """Loud samples, which every other precision must hold, are cut off by ranges that fit photographs."""
    source, target = tmp_path / "m.onnx", tmp_path / "q.onnx"
    assert resnetx.export(tiny_config(), source, image_size=TINY_SIZE).passed
    assert resnetx.quantize(source, target, calibrate="synthetic", target="cpu", method="minmax", samples=32).written
    options = replace(QUICK, providers=("cpu", "openvino"), batches=(1, 2), processes=1)
    cases = run_benchmark([target], options).cases
    assert [case.effective_precision for case in cases] == ["int8"] * 4
    assert all(case.parity is not None and case.parity.passed for case in cases)
    # It is computed in floats where nothing is fused, as for the reference: its memory is that of the float file.
    sizes = [look_into(path).float_bytes for path in (source, target)]
    assert target.stat().st_size < sizes[1] and sizes[1] > 0.8 * sizes[0]


def test_a_link_to_itself_is_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "circle").symlink_to("circle")
    assert run(monkeypatch, "bench", tmp_path / "circle") == 2
    assert "Too many levels of symbolic links" in " ".join(capsys.readouterr().err.split())


def test_peaks_are_the_best_of_several_measurements(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, between and after the rounds; one that fails leaves the others."""
    found = iter(
        [
            Limits(threads=1, fp32_gflops=2.0, int8_gops=9.0),
            ChildError("it crashed"),
            Limits(threads=1, fp32_gflops=5.0, bf16_gflops=1.0, int8_gops=3.0),
        ]
    )

    def measured(threads: int, gpu: bool) -> Limits:
        answer = next(found)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(benchmarking, "measured_limits", measured)
    result = run_benchmark([folder / "foreign.onnx"], replace(QUICK, verify=False, processes=2), worker=FAKE)
    assert result.limits == Limits(threads=1, fp32_gflops=5.0, bf16_gflops=1.0, int8_gops=9.0)
    assert result.limits_problem is None and next(found, None) is None


def case_of(benchmark: Benchmark, **wanted: Any) -> BenchCase:
    (found,) = [case for case in benchmark.cases if all(getattr(case, name) == value for name, value in wanted.items())]
    return found


def shown(benchmark: Benchmark) -> str:
    console = Console(width=80, file=io.StringIO())
    console.print(render_bench(benchmark))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_every_case_is_timed_and_what_was_timed_is_verified(folder: Path) -> None:
    options = replace(QUICK, providers=("cpu", "torch"), batches=(1, 3))
    result = run_benchmark([folder / "ours.onnx", folder / "top3.onnx"], options)
    assert passed(result) and len(result.cases) == 8
    for case in result.cases:
        assert case.status == "ok" and case.error is None
        assert case.parity is not None and case.parity.passed and case.parity.reference == "PyTorch in float64"
        assert [check.batch for check in case.parity.checks][:2] == [case.batch, case.batch]
        assert case.cold is not None and case.cold.session_s > 0 and case.cold.first_run_ms > 0
        assert len(case.samples_ms) == 2 and all(sample > 0 for samples in case.samples_ms for sample in samples)
        assert case.placement[0][0] == case.provider and case.placement[0][1] > 0
        assert case.macs is not None and case.macs > 0
        assert case.peak_memory_mb is not None and case.peak_memory_mb > 10
        assert case.options["intra_op_num_threads"] == "1"
    top3 = case_of(result, model=str(folder / "top3.onnx"), provider="cpu", batch=3)
    assert top3.parity is not None
    # A classifier's logits are judged as well, though the file does not put them out: softmax hides errors.
    assert {check.output for check in top3.parity.checks} == {"logits", "scores", "indices"}
    assert parse_benchmark(json.dumps(result.to_json()), source="x").cases == result.cases
    assert all(len(line) <= 80 for line in shown(result).splitlines())


def test_a_file_that_computes_something_else_fails_after_it_was_timed(folder: Path, tmp_path: Path) -> None:
    wrong = edited(folder / "ours.onnx", tmp_path / "wrong.onnx", "layer1.0.conv1.weight", 1.01)
    result = run_benchmark([wrong, folder / "foreign.onnx"], QUICK)
    case = case_of(result, model=str(wrong))
    assert case.status == "ok" and case.parity is not None and case.parity.checks and not case.parity.passed
    assert not passed(result) and "FAILED" in shown(result)
    foreign = case_of(result, model=str(folder / "foreign.onnx"))
    assert foreign.parity is not None and foreign.parity.passed and foreign.samples_ms
    assert str(foreign.parity.reference).startswith("the file itself, not optimized")


def test_weights_that_are_not_here_leave_the_case_unverified(folder: Path, tmp_path: Path) -> None:
    model = onnx.load(folder / "ours.onnx")
    for entry in model.metadata_props:
        entry.value = entry.value.replace('"source":null', '"source":"gone.safetensors"')
    onnx.save(model, tmp_path / "m.onnx")
    result = run_benchmark([tmp_path / "m.onnx"], replace(QUICK, providers=("cpu", "torch")))
    parity = case_of(result, provider="cpu").parity
    assert parity is not None and "gone.safetensors" in str(parity.reason) and not parity.passed
    assert not passed(result) and "not verified" in shown(result)
    assert passed(run_benchmark([tmp_path / "m.onnx"], replace(QUICK, verify=False)))
    torch_case = case_of(result, provider="torch")
    assert torch_case.status == "failed" and "gone.safetensors" in str(torch_case.error)


def test_a_case_that_crashes_hangs_or_fills_memory_leaves_the_others_unharmed(folder: Path) -> None:
    options = replace(QUICK, batches=tuple(range(1, 9)), rounds=3, timeout_s=4.0, verify=False)
    result = run_benchmark([folder / "foreign.onnx"], options, worker=FAKE)
    fine = case_of(result, batch=fake.FINE)
    assert fine.status == "ok" and fine.samples_ms == [[1.0, 2.0, 3.0]] * 3
    assert fine.cold is not None and (fine.cold.session_s, fine.cold.first_run_ms) == (0.25, 8.0)
    for batch, status, words in (
        (fake.CRASHES, "failed", "SIGSEGV"),
        (fake.HANGS, "timed out", "did not answer within"),
        (fake.NO_MEMORY, "failed", "exceeded its memory limit"),
        (fake.KILLED, "failed", "killed (signal 9)"),
        (fake.DECLINES, "failed", "the provider is not here"),
        (fake.EXITS, "failed", "a library gave up ?[31m"),
    ):
        case = case_of(result, batch=batch)
        assert case.status == status and words in str(case.error), case
        assert case.samples_ms == ([] if batch == fake.DECLINES else [[1.0, 2.0, 3.0]])
    assert case_of(result, batch=fake.BABBLES).status == "failed"
    assert not passed(result) and not interrupted(result)
    text = shown(result)
    assert "timed out" in text and "\x1b" not in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_nothing_that_runs_is_an_error_and_not_an_empty_result(folder: Path) -> None:
    with pytest.raises(RuntimeUnavailableError, match="the provider is not here"):
        run_benchmark([folder / "foreign.onnx"], replace(QUICK, batches=(fake.DECLINES,)), worker=FAKE)
    with pytest.raises(RuntimeUnavailableError, match="torch runs the network that a model card describes"):
        run_benchmark([folder / "foreign.onnx"], replace(QUICK, providers=("torch",)))


def test_an_interruption_keeps_what_there_is(folder: Path) -> None:
    options = replace(QUICK, batches=(1, 2, 6), rounds=4, verify=False)
    result = run_benchmark([folder / "foreign.onnx"], options, watch=interrupting(5), worker=FAKE)
    assert interrupted(result)
    assert [case.status for case in result.cases] == ["interrupted", "failed", "failed"]
    assert result.cases[0].samples_ms[0] == [1.0, 2.0, 3.0]


def test_an_interrupted_command_writes_and_exits_with_130(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted_run(models: list[Path], options: BenchOptions, **_: Any) -> Benchmark:
        return run_benchmark(models, options, watch=interrupting(1), worker=FAKE)

    monkeypatch.setattr(benchmarking, "run_benchmark", interrupted_run)
    file = tmp_path / "r.json"
    assert run(monkeypatch, "bench", folder / "foreign.onnx", "--provider", "cpu", "--json", file) == 130
    assert json.loads(file.read_text())["cases"][0]["status"] == "interrupted"


def test_the_command_writes_json_and_html_and_says_no_with_1(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files: list[str | Path] = ["--json", tmp_path / "r.json", "--html", tmp_path / "r.html"]
    quick = ["--duration", "0.02", "--rounds", "2", "--threads", "1", "--percentile", "25,75"]
    hostile = tmp_path / "<script>\x1b[2J.onnx"
    hostile.write_bytes((folder / "foreign.onnx").read_bytes())
    assert run(monkeypatch, "bench", hostile, "--provider", "cpu", *quick, *files) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and all(len(line) <= 80 for line in out.splitlines())
    assert "<script>\x1b" not in (tmp_path / "r.html").read_text()
    data = json.loads((tmp_path / "r.json").read_text())
    assert data["schema"] == "resnetx.bench/3" and data["settings"]["rounds"] == 2
    assert list(data["cases"][0]["latency_ms"]) == ["median", "ci95", "p25", "p75"]
    assert run(monkeypatch, "bench", folder / "foreign.onnx", "--provider", "cpu,torch", *quick) == 1
    assert "leave this provider out" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.onnx"], "There is no file"),
        (["empty.onnx"], "is empty"),
        (["broken.onnx"], "not an ONNX file"),
        (["constant.onnx"], "has no inputs"),
        (["fixed.onnx", "--batch", "1,2"], "takes batches of 4 only"),
        (["foreign.onnx", "--batch", "0"], "--batch takes 1 to 4096; found 0"),
        (["foreign.onnx", "--batch", "1,1"], "given 2 times"),
        (["foreign.onnx", "foreign.onnx"], "given 2 times"),
        (["foreign.onnx", "--provider", "cpu,CPUExecutionProvider"], "given 2 times"),
        (["foreign.onnx", "--provider", "cpux"], "no provider 'cpux'"),
        (["foreign.onnx", "--provider", "cpu,,torch"], "names separated by commas"),
        (["foreign.onnx", "--percentile", "50,x"], "numbers separated by commas"),
        (["foreign.onnx", "--percentile", "101"], "--percentile takes 0 to 100"),
        (["foreign.onnx", "--duration", "nan"], "--duration takes"),
        (["foreign.onnx", "--rounds", "0"], "--rounds takes"),
        (["foreign.onnx", "--boundary", "gpu"], "host or device"),
        (["foreign.onnx", "--precision", "fp64"], "--precision is fp32 or default or bf16; found 'fp64'"),
        (["foreign.onnx", "--provider", "cpu", "--precision", "bf16"], "cpu cannot compute in bf16"),
        (["foreign.onnx", "--provider", "cpu", "--provider-option", "torch:precision=bf16"], "not among the providers"),
        (["foreign.onnx", "--provider", "cpu", "--provider-option", "speed=fast"], "no option 'speed'"),
        (["foreign.onnx", "--json", "absent/r.json"], "absent does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_paragraph_and_exit_2(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(folder)
    assert run(monkeypatch, "bench", *arguments) == 2
    captured = capsys.readouterr()
    assert words in " ".join(captured.err.split()) and captured.out == ""


def test_options_reach_the_provider_that_they_name(folder: Path) -> None:
    options = replace(QUICK, providers=("cpu", "torch"), provider_options={"torch:precision": "bf16", "a.b": "1"})
    plans = plan_cases([folder / "ours.onnx"], options)
    assert [dict(plan.options) for plan in plans] == [{"a.b": "1"}, {"precision": "bf16", "a.b": "1"}]
    assert [plan.batch for plan in plan_cases([folder / "fixed.onnx"], QUICK)] == [4]


class Ticking:
    """A clock that a call moves on by as much as it was told to."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@settings(max_examples=20, deadline=None)
@given(costs=st.lists(st.integers(10**6, 10**8), min_size=1, max_size=5), runs=st.integers(1, 12))
def test_samples_are_the_time_of_the_calls_alone_by_turns(costs: list[int], runs: int) -> None:
    clock = Ticking()
    made: list[int] = []

    def call(number: int) -> None:
        made.append(number)
        clock.now += costs[number]

    stopwatch = Stopwatch([lambda n=n: call(n) for n in range(len(costs))], clock=clock)  # type: ignore[misc]
    assert stopwatch.first_ms() == costs[0] / 1e6
    stopwatch.warm_up(runs)
    assert made[1:] == [index % len(costs) for index in range(runs)]
    made.clear()
    samples = stopwatch.round_ms(0.2)
    timed = made[len(made) - len(samples) :]
    assert samples == [costs[number] / 1e6 for number in timed]
    # It ends with the first run that ends past the time: neither early, nor a run later.
    nanoseconds = [round(sample * 1e6) for sample in samples]
    assert sum(nanoseconds) >= 2 * 10**8 > sum(nanoseconds[:-1])


def test_concurrent_runs_are_all_counted() -> None:
    calls: list[int] = []
    stopwatch = Stopwatch([lambda: calls.append(1)], concurrency=3)
    stopwatch.warm_up(4)
    assert len(calls) == 12
    assert len(stopwatch.round_ms(0.0)) == 3


class Stale(Runner):
    """A runner with a fault that CUDA graphs had: it returns the first answer for ever."""

    def __init__(self, session: Runner) -> None:
        super().__init__(session.facts)
        self._session = session
        self._first: dict[str, np.ndarray] = {}

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        self._first = self._first or self._session.run(feeds)
        return self._first

    def bind(self, feeds: Feeds) -> Call:
        return lambda: self.run(feeds)

    def close(self) -> None:
        self._session.close()


@pytest.mark.parametrize("fault", [None, Stale])
def test_a_runner_that_repeats_its_first_answer_is_caught(folder: Path, tmp_path: Path, fault: Any) -> None:
    (plan,) = plan_cases([folder / "ours.onnx"], QUICK)
    card = plan.model.card
    assert card is not None

    def opener(order: CaseOrder, _: ModelCard | None) -> Runner:
        session = open_runner(Path(order.model), threads=1)
        return fault(session) if fault else session

    worker = Worker(opener)
    worker.open(open_request(RunningCase(plan=plan, options=QUICK)))
    assert worker.round({"seconds": 0.0}).samples_ms
    order = TruthOrder(
        model=str(plan.model.path),
        card=card.to_json(),
        inputs=["input"],
        batches=[1],
        precisions=["fp32"],
        folder=str(tmp_path),
    )
    golden = write_truths(order)
    assert isinstance(golden, dict)
    assert worker.verify({"golden": str(golden[1])}).verdict.passed is (fault is None)


def test_timed_inputs_differ_and_have_the_batch(folder: Path) -> None:
    (plan,) = plan_cases([folder / "ours.onnx"], QUICK)
    for card, inputs in ((plan.model.card, open_runner(folder / "ours.onnx").inputs),):
        for batch in (1, 5, 20):
            for known in (card, None):
                # Without a card the free sizes are only the batch here: the file fixes its image.
                feeds = timed_feeds(inputs, known, batch=batch)
                arrays = [feed["input"] for feed in feeds]
                assert {array.shape for array in arrays} == {(batch, 3, TINY_SIZE, TINY_SIZE)}
                assert len({array.tobytes() for array in arrays}) == len(arrays) >= 2


def test_bound_buffers_give_the_same_answers(folder: Path) -> None:
    session = open_runner(folder / "ours.onnx", threads=1)
    bound = DeviceSession(session)
    for feed in timed_feeds(session.inputs, None, batch=2):
        assert np.array_equal(bound.run(feed)["logits"], session.run(feed)["logits"])
        bound.bind(feed)()


def test_other_load_and_steal_become_warnings(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu 9 9\ncpu0 100 0 50 800 0 0 0 7 0 0\ncpu1 5 5 5 5 5 5 5 5\ncpu9 1000 0 0 0 0 0 0 900\nintr 3\n")
    assert processor_seconds(stat, frozenset({0, 1})) == pytest.approx((1.75, 0.12))
    assert processor_seconds(tmp_path / "absent", frozenset({0})) == (0, 0)
    round_ = Disturbance(wall_s=1.0, other_s=1.0, steal_s=0.2, cpus=2)
    assert total([round_, round_]).warnings() == [
        "Other programs used 1.0 of the 2 processors while it was timed.",
        "The hypervisor took away 10% of the processors' time while it was timed.",
    ]
    assert total([Disturbance(wall_s=1.0, other_s=0.05, cpus=2)]).warnings() == total([]).warnings() == []


INPUTS = (TensorInfo("x", np.dtype(np.float32), (2, 3, TINY_SIZE, TINY_SIZE)),)
OUTPUTS = (TensorInfo("y", np.dtype(np.float32), (2, 10)),)


def torch_answers(**options: str) -> tuple[np.ndarray, np.ndarray, str]:
    network = random_network(tiny_config()).eval()
    images = torch.rand(2, 3, TINY_SIZE, TINY_SIZE)
    with torch.no_grad():
        expected = network(images).numpy()
    opening = Opening(inputs=INPUTS, outputs=OUTPUTS, options=options, threads=1)
    threads = torch.get_num_threads()
    runner = engine_of(BY_NAME["torch"]).open(lambda: network, opening)
    assert runner.placement[0][0] == "torch" and runner.options["intra_op_num_threads"] == "1"
    answer = runner.run({"x": images.numpy()})["y"]
    runner.bind({"x": images.numpy()})()
    runner.close()
    assert torch.get_num_threads() == threads
    return answer, expected, runner.effective_precision


def test_a_torch_probe_and_a_failed_opening_leave_the_process_as_it_was() -> None:
    """The fixture of every test looks at the threads too; here they differ from those that the engine sets."""

    class Unmovable(torch.nn.Module):
        def to(self, *arguments: object, **options: object) -> NoReturn:
            raise RuntimeError("out of memory")

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        engine = engine_of(BY_NAME["torch"])
        assert engine.why_not() is None and engine.default_precision() == "fp32"
        with pytest.raises(RuntimeError, match="out of memory"):
            engine.open(Unmovable, Opening(inputs=INPUTS, outputs=OUTPUTS, threads=1))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_torch_runs_the_network_that_it_was_given(layout: str) -> None:
    answer, expected, precision = torch_answers(memory_format=layout)
    assert precision == "fp32" and answer.dtype == np.float32
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)


def test_torch_in_bf16_says_so_and_rounds() -> None:
    answer, expected, precision = torch_answers(precision="bf16")
    error = float(np.abs(answer - expected).max() / np.abs(expected).max())
    assert precision == "bf16" and 1e-5 < error < 0.2
    opening = Opening(inputs=INPUTS, outputs=INPUTS, precision="bf16", threads=1)
    runner = engine_of(BY_NAME["torch"]).open(torch.nn.ReLU, opening)
    assert runner.effective_precision == "bf16" and runner.options["precision"] == "bf16"
    runner.close()


@pytest.mark.parametrize(
    ("provider", "options", "words"),
    [
        ("torch", {"speed": "fast"}, "no option 'speed'"),
        ("torch", {"mode": "max-autotune"}, "no option 'mode'"),
        ("torch", {"precision": "int4"}, "fp32, bf16, fp16"),
    ],
)
def test_what_torch_does_not_take_is_refused(provider: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        engine_of(BY_NAME[provider]).open(torch.nn.ReLU, Opening(inputs=INPUTS, outputs=INPUTS, options=options))


def test_a_compiler_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(function: Any, **_: Any) -> Any:
        def run(*_: Any) -> None:
            raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found")

        return run

    monkeypatch.setattr(torch, "compile", no_compiler)
    feeds = {"x": np.zeros((1, 3), np.float32)}
    opening = Opening(inputs=INPUTS, outputs=INPUTS, threads=1)
    runner = engine_of(BY_NAME["torch-compile"]).open(torch.nn.ReLU, opening)
    with pytest.raises(RuntimeUnavailableError, match=r"No working C\+\+ compiler found.*install g\+\+"):
        runner.run(feeds)
    monkeypatch.setattr("resnetx.runtime.pytorch.runner.compile_problem", lambda: None)
    with pytest.raises(ResnetxError, match="could not run the model"):
        runner.run(feeds)


@pytest.mark.slow
def test_torch_compile_really_compiles_and_agrees(folder: Path) -> None:
    result = run_benchmark([folder / "ours.onnx"], replace(QUICK, providers=("torch-compile",)))
    (case,) = result.cases
    assert passed(result) and case.error is None
    assert case.parity is not None and case.parity.passed
