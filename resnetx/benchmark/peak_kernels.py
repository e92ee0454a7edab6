"""Kernels that reach the peak rates of a processor or GPU: matrix products by precision, and memory streams."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from resnetx.base.optional_torch import has_torch
from resnetx.base.precisions import Precision
from resnetx.benchmark.peak_sessions import session_products
from resnetx.machine.facts import usable_memory_mb

if has_torch():  # without it, the other libraries' products are the peak, and streams are not measured
    import torch

# Three arrays of this size exceed most caches; machines with little memory get smaller ones.
STREAM_MB = 128
SHARE_OF_MEMORY = 16
# Several times the largest cache of a GPU.
GPU_STREAM_MB = 1024


@dataclass(frozen=True, kw_only=True)
class Work:
    """One kernel on prepared data. `amount` is operations (two per multiply-add), or bytes for a stream."""

    name: str
    amount: int
    run: Callable[[], object]


@contextmanager
def on_threads(threads: int) -> Iterator[None]:
    """Let torch use this many threads and full float32 precision; afterwards restore the previous settings."""
    if not has_torch():
        yield
        return
    before, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)
        torch.set_float32_matmul_precision(precision)


def operations(size: int) -> int:
    """The operations of the product of two square matrices: a multiplication and an addition for each step."""
    return 2 * size**3


def products(precision: Precision, size: int, *, threads: int) -> list[Work]:
    """The product of two square matrices, by every library that supports the precision; the fastest is the peak."""
    makers = session_products(precision, size, threads=threads)
    if has_torch():
        makers["torch"] = lambda: _torch_product(precision, size)
    made = []
    for name, make in makers.items():
        with suppress(Exception):  # without support for the precision, each library raises types of its own
            made.append(Work(name=name, amount=operations(size), run=make()))
    return made


def _torch_product(precision: Precision, size: int) -> Callable[[], object]:
    if precision == "int8":
        left, right = (torch.randint(-127, 128, (size, size), dtype=torch.int8) for _ in "ab")
        out = torch.empty(size, size, dtype=torch.int32)
        return partial(torch._int_mm, left, right, out=out)
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    left, right = (torch.rand(size, size).to(dtype) for _ in "ab")
    return partial(torch.mm, left, right, out=torch.empty(size, size, dtype=dtype))


def streams() -> list[Work]:
    """Read, copy and add arrays that exceed every cache; bytes are those that the program reads and writes."""
    if not has_torch():
        return []
    usable = usable_memory_mb() or STREAM_MB * SHARE_OF_MEMORY
    count = max(1, min(STREAM_MB, usable // SHARE_OF_MEMORY)) * 2**20 // 4
    first, second, out = (torch.ones(count) for _ in "abc")
    size = 4 * count
    return [
        Work(name="read", amount=size, run=first.sum),
        Work(name="copy", amount=2 * size, run=lambda: out.copy_(first)),
        Work(name="add", amount=3 * size, run=lambda: torch.add(first, second, out=out)),
    ]


@contextmanager
def on_gpu(precision: Precision) -> Iterator[None]:
    """Let torch's float32 products use TF32, or not; afterwards restore the previous setting."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def gpu_products(precision: Precision, size: int, *, device: str = "cuda") -> list[Work]:
    """The synchronized product of two square matrices on the GPU. Zeros would need less power than random numbers."""
    if precision == "int8":
        left, right = (torch.randint(-127, 128, (size, size), dtype=torch.int8, device=device) for _ in "ab")
        # cuBLAS's int8 kernels require the second matrix in column-major layout.
        right, out = right.t(), torch.empty(size, size, dtype=torch.int32, device=device)
        return [_synchronized("torch._int_mm", operations(size), lambda: torch._int_mm(left, right, out=out), device)]
    types = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    dtype = types[precision]
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in "ab")
    out = torch.empty(size, size, dtype=dtype, device=device)
    return [_synchronized("torch.mm", operations(size), lambda: torch.mm(left, right, out=out), device)]


def gpu_streams(*, device: str = "cuda") -> list[Work]:
    """Copy and add arrays in the GPU's memory that exceed its caches."""
    free = GPU_STREAM_MB * SHARE_OF_MEMORY if _is_host(device) else torch.cuda.mem_get_info()[0] // 2**20
    count = max(1, min(GPU_STREAM_MB, free // SHARE_OF_MEMORY)) * 2**20 // 4
    first, second, out = (torch.ones(count, device=device) for _ in "abc")
    return [
        _synchronized("copy", 8 * count, lambda: out.copy_(first), device),
        _synchronized("add", 12 * count, lambda: torch.add(first, second, out=out), device),
    ]


def _synchronized(name: str, amount: int, call: Callable[[], object], device: str) -> Work:
    def run() -> object:
        result = call()
        if not _is_host(device):
            torch.cuda.synchronize()
        return result

    return Work(name=name, amount=amount, run=run)


def _is_host(device: str) -> bool:
    return torch.device(device) == torch.device("cpu")
