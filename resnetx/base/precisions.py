"""The precisions in which a network is stored, computed and compared: one vocabulary for all of resnetx."""

from typing import Literal, get_args

Precision = Literal["fp32", "tf32", "fp16", "bf16", "int8"]
# Finest first; a session is as coarse as the coarsest thing in it.
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# What a graph can be exported in.
ExportPrecision = Literal["fp32", "fp16"]
EXPORT_PRECISIONS: tuple[ExportPrecision, ...] = get_args(ExportPrecision)
# How a session is opened: pinned to true float32, for comparing numbers, or as fast as the provider chooses.
SessionPrecision = Literal["fp32", "default"]
SESSION_PRECISIONS: tuple[SessionPrecision, ...] = get_args(SessionPrecision)
# The distance from 1 to the next number; int8 rounds a range to 256 steps.
EPSILON: dict[str, float] = {"fp32": 2.0**-23, "tf32": 2.0**-10, "fp16": 2.0**-10, "bf16": 2.0**-7, "int8": 2.0**-8}
# TF32 has the fraction of float16, in which PyTorch computes on any machine.
STAND_INS = {"tf32": "fp16"}


def coarsest(*precisions: str) -> str:
    return max(precisions, key=PRECISIONS.index)
