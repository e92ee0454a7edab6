"""A profile as a machine with round limits would give it: 100 GFLOP/s in fp32, 400 GOP/s in int8, 10 GB/s."""

from dataclasses import replace

from resnetx.benchmark.profiling.layer import ProfiledLayer
from resnetx.benchmark.profiling.result import Profile
from resnetx.benchmark.result import Limits

LIMITS = Limits(threads=1, fp32_gflops=100.0, bf16_gflops=200.0, int8_gops=400.0, bandwidth_gb_s=10.0)
# Half of the peak: 50 GFLOP in a second; 20 operations for each byte.
COMPUTES = ProfiledLayer(
    name="layer3.0.conv2",
    original_name="res4a_branch2b",
    nodes=("layer3.0.conv2", "layer3.0.relu_1"),
    operator="Conv",
    kernel="Conv nchwc",
    precision="fp32",
    macs=100_000_000,
    moved_bytes=10_000_000,
    times_ms=(4.0, 3.0, 5.0),
)
# 2 GB/s of 10, with 1 operation for each byte.
WAITS = replace(
    COMPUTES,
    name="fc",
    original_name="fc1000",
    nodes=("fc",),
    operator="Gemm",
    kernel="Gemm",
    macs=1_000_000,
    moved_bytes=2_000_000,
    times_ms=(1.0,),
)
# 20 GB/s of 10: from a cache.
CACHED = replace(
    COMPUTES,
    name="maxpool",
    original_name=None,
    nodes=("maxpool",),
    operator="MaxPool",
    kernel="MaxPool nchwc",
    macs=0,
    moved_bytes=10_000_000,
    times_ms=(0.5,),
)
UNKNOWN = replace(
    CACHED, name="lstm", nodes=("lstm",), operator="LSTM", kernel="LSTM", macs=None, moved_bytes=None, times_ms=(0.25,)
)


def sample_profile(*layers: ProfiledLayer, run_ms: float = 8.0) -> Profile:
    """A run of `run_ms` without profiling and 1 ms more with it."""
    return Profile(
        created="2026-01-31T12:00:00+00:00",
        machine={"processor": "A Processor 9999 at 2.10 GHz", "cores": 2},
        model="resnet50.onnx",
        provider="cpu",
        batch=1,
        threads=1,
        effective_precision="fp32",
        plain_ms=((run_ms, run_ms + 1), (run_ms - 1,)),
        profiled_ms=((run_ms + 1,),),
        layers=layers or (COMPUTES, WAITS, CACHED, UNKNOWN),
        limits=LIMITS,
    )
