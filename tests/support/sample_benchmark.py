"""A benchmark as a noisy two-core machine would give it: three models, three providers, two batches."""

import math
import random
import statistics
from dataclasses import replace

from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.result import BenchCase, Benchmark, ColdStart, Limits, Summary, Verdict
from resnetx.benchmark.summary import summarized
from resnetx.verification.metrics import Metrics
from resnetx.verification.parity import Check

MODELS = {
    "resnet50.onnx": 4_089_184_256,
    "resnet18-int8.onnx": 1_814_073_344,
    "resnet152-trained-on-flowers.onnx": 11_513_626_624,
}
SPEED = {"torch": ("fp32", 1.0), "cpu": ("fp32", 1.5), "openvino": ("bf16", 6.0)}
BATCH_GAIN = {1: 1.0, 8: 1.6}


def sample_benchmark() -> Benchmark:
    """One case failed, one gives wrong answers, two have warnings."""
    random_numbers = random.Random(1)
    cases = [
        sample_case(model, provider, batch, random_numbers)
        for model in MODELS
        for provider in SPEED
        for batch in BATCH_GAIN
    ]
    cases[3] = _changed(cases[3], parity=sample_parity(3, passed=False))
    cases[4] = _changed(
        cases[4],
        placement=[("openvino", 120), ("cpu", 3)],
        warnings=["Samples drift: the last round is 9 % slower than the first.", "CPU steal was 4 % of the time."],
    )
    cases[8] = _changed(cases[8], warnings=["Another process used 0.7 cores while this case ran."], parity=None)
    cases[17] = _changed(
        cases[17],
        status="failed",
        error="The process was killed while it built the session (out of memory: 2.1 GB in use, 2.0 GB allowed).\n"
        "Give a smaller --batch.",
        samples_ms=[],
        cold=None,
        parity=None,
        placement=[],
        peak_memory_mb=None,
    )
    run = Benchmark(
        created="2026-01-31T12:00:00+00:00",
        machine={
            "processor": "A Processor 9999 at 2.10 GHz",
            "cores": 2,
            "memory_gb": 7.8,
            "instruction_sets": ["avx512f", "avx512_vnni", "amx_bf16", "amx_int8"],
            "versions": {"python": "3.11.9", "onnxruntime": "1.31.1", "torch": "2.13.0"},
            "gpu": None,
        },
        limits=Limits(threads=2, fp32_gflops=370.0, bf16_gflops=2500.0, int8_gops=3700.0, bandwidth_gb_s=21.5),
        cases=tuple(cases),
        settings=BenchOptions(
            duration_s=5.0,
            rounds=8,
            percentiles=(50, 90, 99),
            provider_options={"openvino:NUM_STREAMS": "1"},
        ),
    )
    return summarized(run)


def sample_case(model: str, provider: str, batch: int, random_numbers: random.Random) -> BenchCase:
    precision, speed = SPEED[provider]
    macs = MODELS.get(model, 10**9)
    usual = macs / 6.2e7 * batch / speed / (BATCH_GAIN[batch] if provider == "openvino" else 1)
    rounds = [
        [usual * drift * (1 + random_numbers.gammavariate(2, 0.012)) for _ in range(max(int(2000 / usual), 5))]
        for drift in (1 + random_numbers.gauss(0, 0.008) for _ in range(8))
    ]
    return BenchCase(
        model=model,
        provider=provider,
        batch=batch,
        threads=2,
        effective_precision=precision,
        options={"intra_op_num_threads": "2", "graph_optimization_level": "99"},
        provider_options={"NUM_STREAMS": "1"} if provider == "openvino" else {},
        placement=[(provider, 123)],
        parity=sample_parity(batch, passed=True),
        cold=ColdStart(session_s=0.61 * speed, first_run_ms=usual * 3),
        macs=macs,
        samples_ms=rounds,
        peak_memory_mb=412.0 + 30 * batch,
    )


def sample_parity(batch: int, *, passed: bool) -> Verdict:
    check = Check(
        output="logits",
        batch=batch,
        passed=passed,
        multiple=1.31 if passed else 412.0,
        allowed=8.0,
        metrics=Metrics(
            max_abs=1e-5,
            rms=1e-6,
            sqnr_db=120.0,
            cosine=1.0,
            ulp_p99=3.0,
            top1=1.0 if passed else 0.5,
            top5=1.0,
            flips=0,
            unexplained_flips=0,
        ),
        reason=None if passed else "its error is 412 times the reference's own fp32 error, and 8 are allowed",
    )
    return Verdict(reference="PyTorch in float64", precision="fp32", checks=(check,))


def _changed(case: BenchCase, **changes: object) -> BenchCase:
    return replace(case, **changes)  # type: ignore[arg-type]


def plainly_summarized(run: Benchmark) -> Benchmark:
    """The run with figures good enough to look at, the same on every machine."""
    return replace(run, cases=tuple(replace(case, summary=plain_summary(case, run.limits)) for case in run.cases))


def plain_summary(case: BenchCase, limits: Limits | None) -> Summary:
    samples = sorted(sample for samples in case.samples_ms for sample in samples)
    if not samples:
        return Summary()
    median, mean = statistics.median(samples), statistics.fmean(samples)
    spread = statistics.pstdev([statistics.median(samples) for samples in case.samples_ms if samples])
    peaks = {} if limits is None else {"fp32": limits.fp32_gflops, "bf16": limits.bf16_gflops}
    peak, done = peaks.get(case.effective_precision), 2e-6 * (case.macs or 0) * case.batch
    return Summary(
        median_ms=median,
        ci95_ms=(median - 0.7 * spread, median + 0.7 * spread),
        percentiles_ms={"p50": median, "p90": samples[9 * len(samples) // 10], "p99": None},
        images_per_s=1000 * case.batch / median if median else None,
        mean_images_per_s=1000 * case.batch / mean if median and math.isfinite(mean) else None,
        limit_fraction=done / median / peak if peak and median else None,
    )
