"""The precisions in which a network is stored, computed and compared."""

from typing import Literal, get_args

Precision = Literal["fp32", "tf32", "fp16", "bf16", "int8"]
# Finest first; a session has the precision of its coarsest part.
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# The precisions of an export.
ExportPrecision = Literal["fp32", "fp16"]
EXPORT_PRECISIONS: tuple[ExportPrecision, ...] = get_args(ExportPrecision)
# How float32 layers are computed: in true float32, to compare numbers, with the provider's fast settings, or in bf16.
SessionPrecision = Literal["fp32", "default", "bf16"]
SESSION_PRECISIONS: tuple[SessionPrecision, ...] = get_args(SessionPrecision)
# The distance from 1 to the next number; int8 rounds a range to 256 steps.
EPSILON: dict[str, float] = {"fp32": 2.0**-23, "tf32": 2.0**-10, "fp16": 2.0**-10, "bf16": 2.0**-7, "int8": 2.0**-8}
# TF32 noise is computed in float16, which has the same fraction bits and which PyTorch supports on any machine.
SUBSTITUTES = {"tf32": "fp16"}


def coarsest(*precisions: str) -> str:
    return max(precisions, key=PRECISIONS.index)
