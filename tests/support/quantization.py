"""INT8 files as users make them: ONNX Runtime's static quantization, u8s8 with Q/DQ nodes."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from resnetx.base.loggers import silenced


def quantize(source: Path, target: Path, batches: Iterable[np.ndarray], *, per_channel: bool = True) -> None:
    """Quantize `source`, calibrated on `batches` of its one input, which is named `input`."""
    from onnxruntime import quantization

    from resnetx.machine.facts import read_processor

    class Images(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter(batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"input": batch}

    with silenced("root"):
        quantization.quantize_static(
            source,
            target,
            Images(),
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=per_channel,
            # Without VNNI, products of full 8-bit ranges overflow the 16-bit sums of x86 processors.
            reduce_range=not {"avx512_vnni", "avx_vnni"} & set(read_processor().instruction_sets),
        )
