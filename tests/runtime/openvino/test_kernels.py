"""The kernels of OpenVINO: counted, and named where they are slow; its errors in one line."""

from resnetx.runtime.openvino.kernels import Kernel, count_kernels, kernel_notes
from resnetx.runtime.openvino.library import error_line


def kernel(name: str, precision: str = "f32", kind: str = "Convolution") -> Kernel:
    return Kernel(title=name, layers=f"layer of {name}", kind=kind, name=name, precision=precision, moved_bytes=None)


def test_kernels_are_counted_and_slow_ones_are_named() -> None:
    found = [
        kernel("brgconv_avx512_amx_int8", "u8"),
        kernel("brgconv_avx512_amx_int8", "i8"),
        kernel("brgconv_avx512_amx_int8", "u8"),
        kernel("jit_avx512_f32", "f32"),
        kernel("ref_any", "f32"),
        kernel("ref_any", "f32", kind="Pooling"),
    ]
    assert count_kernels(found) == (
        ("brgconv_avx512_amx_int8", 3),
        ("jit_avx512_f32", 1),
        ("ref_any", 1),
    )
    slow, island = kernel_notes(found, quantized=True)
    assert slow == "OpenVINO runs 1 of the 5 layers that multiply in a slow reference kernel: layer of ref_any."
    assert island.startswith("OpenVINO runs 2 of the 5 layers that multiply of this INT8 file in f32: layer of jit")
    assert kernel_notes(found, quantized=False) == (slow,)
    assert kernel_notes(found[:3], quantized=True) == ()
    assert "and others" in kernel_notes([kernel("ref")] * 9, quantized=False)[0]
    assert "\x1b" not in kernel_notes([kernel("ref_\x1b[31m")], quantized=False)[0]


def test_errors_are_one_line_without_the_sources_of_openvino() -> None:
    text = "Exception from src/inference/src/cpp/core.cpp:117:\nException from src/x.cpp:5:\nNotFound: X\n\n"
    assert error_line(RuntimeError(text)) == "NotFound: X"
    assert error_line(RuntimeError("")) == "RuntimeError"
    assert error_line(RuntimeError("Check 'a' failed at src/x.cpp:385:\nno such shape\n")) == "no such shape"
