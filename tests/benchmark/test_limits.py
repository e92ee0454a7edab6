"""Measured limits: rates from a clock that the test turns, and the real kernels' sums and answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resnetx.benchmark import limits, peak_kernels
from resnetx.benchmark.limits import BEST, SAMPLES, best_rate, measure_limits, with_gpu_limits
from resnetx.benchmark.peak_sessions import session_products
from resnetx.benchmark.result import Limits
from resnetx.errors import UsageError


@dataclass
class Machine:
    """A clock, and work that takes as long as it says."""

    now: int = 0
    runs: int = 0

    def clock(self) -> int:
        return self.now

    def task(self, amount: int, *durations: int) -> limits.Task:
        """Its runs take `durations` by turns; the first is the untimed one."""
        left = list(durations)

        def run() -> None:
            self.runs += 1
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return amount, lambda: [peak_kernels.Work(name="work", amount=amount, run=run)]


def rate(machine: Machine, *tasks: limits.Task, budget_s: float = 1.0) -> float | None:
    return best_rate(tasks, clock=machine.clock, budget_s=budget_s)


def test_a_steady_machine_is_read_exactly() -> None:
    machine = Machine()
    assert rate(machine, machine.task(3_000_000, 1000)) == 3000.0
    assert machine.runs == SAMPLES + 1


def test_the_best_samples_count_and_not_one_lucky_one() -> None:
    machine = Machine()
    assert rate(machine, machine.task(1000, 99, 1, 10, 10, 50, 90, 50, 60, 70, 80)) == 100.0


def test_the_first_run_is_not_timed() -> None:
    machine = Machine()
    assert rate(machine, machine.task(1000, 10**8, 100)) == 10.0


def test_the_best_size_wins() -> None:
    machine = Machine()
    assert rate(machine, machine.task(1000, 100), machine.task(4000, 200), machine.task(8000, 800)) == 20.0


def test_work_that_does_not_fit_is_not_even_made() -> None:
    machine = Machine()

    def too_long() -> Sequence[peak_kernels.Work]:
        raise AssertionError("made")

    assert rate(machine, machine.task(1000, 1000), (10**9, too_long)) == 1.0


def test_a_slow_machine_gives_few_samples_but_an_answer() -> None:
    machine = Machine()
    assert rate(machine, machine.task(10**9, 10**10)) == 0.1
    assert machine.runs == BEST + 1


def test_what_cannot_run_is_none_and_harms_nothing_else() -> None:
    machine = Machine()

    def refuse() -> None:
        raise NotImplementedError

    def unmakeable() -> Sequence[peak_kernels.Work]:
        raise RuntimeError("no such kernel")

    refusing = (1, lambda: [peak_kernels.Work(name="refuse", amount=1, run=refuse)])
    assert rate(machine, refusing) is None
    assert rate(machine) is None
    assert rate(machine, refusing, (1, unmakeable), machine.task(500, 100)) == 5.0


def test_a_clock_that_stands_still_divides_by_nothing() -> None:
    assert rate(Machine(), Machine().task(7, 0)) == 7.0


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=12), st.integers(1, 10**9))
def test_the_rate_lies_between_the_best_and_the_worst_sample(durations: list[int], amount: int) -> None:
    machine = Machine()
    found = rate(machine, machine.task(amount, *durations))
    assert found is not None and amount / max(durations) <= found <= amount / min(durations)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_products_are_real_and_counted(precision: peak_kernels.Precision) -> None:
    made = peak_kernels.products(precision, 64, threads=1)
    assert made and all(work.amount == 2 * 64**3 for work in made)
    for work in made:
        work.run()
    names = {work.name for work in made}
    assert names <= {"torch", "onnxruntime", "openvino"} and (precision == "bf16" or len(names) == 3)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_sessions_compute_the_product_that_is_counted(precision: peak_kernels.Precision) -> None:
    """Both libraries the same one, up to the scales of OpenVINO's integers."""
    products = {name: make() for name, make in session_products(precision, 32, threads=1).items()}
    found = {name: next(iter(run().values())) for name, run in products.items()}  # type: ignore[attr-defined]
    assert found["onnxruntime"].shape == found["openvino"].shape == (32, 32)
    if precision == "fp32":
        np.testing.assert_allclose(found["onnxruntime"], found["openvino"], rtol=1e-5, atol=1e-5)
    else:
        assert found["onnxruntime"].dtype == np.int32 and float(found["openvino"].std()) > 0


def test_int8_is_computed_by_someone_even_where_torch_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: object, **__: object) -> None:
        raise RuntimeError("not on this processor")

    monkeypatch.setattr(torch, "_int_mm", lacking)
    assert "onnxruntime" in {work.name for work in peak_kernels.products("int8", 64, threads=1)}
    tasks: list[limits.Task] = [(1, lambda: peak_kernels.products("int8", 64, threads=1))]
    found = best_rate(tasks, clock=_ticking(), budget_s=1.0)
    assert found is not None and found > 0


def _ticking() -> Callable[[], int]:
    state = [0]

    def clock() -> int:
        state[0] += 1000
        return state[0]

    return clock


def test_streams_move_more_than_caches_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak_kernels, "usable_memory_mb", lambda: 64)
    read, copy, add = peak_kernels.streams()
    assert (read.amount, copy.amount, add.amount) == (4 * 2**20, 8 * 2**20, 12 * 2**20)
    assert float(read.run()) == 2**20  # type: ignore[arg-type]
    assert torch.equal(copy.run(), torch.ones(2**20))  # type: ignore[arg-type]
    assert torch.equal(add.run(), torch.full((2**20,), 2.0))  # type: ignore[arg-type]
    monkeypatch.setattr(peak_kernels, "usable_memory_mb", lambda: None)
    assert peak_kernels.streams()[0].amount == peak_kernels.STREAM_MB * 2**20


def test_settings_of_torch_come_back() -> None:
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    with pytest.raises(KeyError), peak_kernels.on_threads(1):
        assert torch.get_num_threads() == 1
        raise KeyError
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (threads, precision)


def test_the_limits_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SIZES", (32, 64))
    monkeypatch.setattr(peak_kernels, "usable_memory_mb", lambda: 64)
    found = measure_limits(1, budget_s=0.05)
    assert found.threads == 1
    rates = (found.fp32_gflops, found.bf16_gflops, found.int8_gops, found.bandwidth_gb_s)
    assert all(value is not None and 0 < value < 1e7 for value in rates)


def test_what_a_gpu_would_be_measured_with_computes_what_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    # PyTorch gives the same products on a processor, where their answers can be looked at.
    for precision in ("fp32", "tf32", "fp16", "bf16", "int8"):
        (work,) = peak_kernels.gpu_products(precision, 64, device="cpu")
        product = work.run()
        assert isinstance(product, torch.Tensor) and product.shape == (64, 64) and work.amount == 2 * 64**3
        assert float(product.float().std()) > 1
    monkeypatch.setattr(peak_kernels, "GPU_STREAM_MB", 4)
    copy, add = peak_kernels.gpu_streams(device="cpu")
    assert (copy.amount, add.amount) == (8 * 2**20, 12 * 2**20)
    assert torch.equal(add.run(), torch.full((2**20,), 2.0))  # type: ignore[arg-type]


def test_the_limits_of_a_gpu_stand_beside_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GPU_SIZES", (32, 64))
    monkeypatch.setattr(peak_kernels, "GPU_STREAM_MB", 4)
    own = Limits(threads=2, fp32_gflops=5.0)
    before = torch.get_float32_matmul_precision()
    found = with_gpu_limits(own, device="cpu", clock=_ticking(), budget_s=0.001)
    assert (found.threads, found.fp32_gflops) == (2, 5.0) and torch.get_float32_matmul_precision() == before
    rates = (found.gpu_fp32_gflops, found.gpu_tf32_gflops, found.gpu_fp16_gflops, found.gpu_bf16_gflops)
    assert all(value is not None and value > 0 for value in (*rates, found.gpu_int8_gops, found.gpu_bandwidth_gb_s))
    if not torch.cuda.is_available():
        assert with_gpu_limits(own) == own


def test_no_threads() -> None:
    with pytest.raises(UsageError, match="at least one thread; found 0"):
        measure_limits(0)
