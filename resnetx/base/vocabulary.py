"""The choices that an export offers, in a module light enough for `--help`."""

from typing import Literal, get_args

Exporter = Literal["dynamo", "torchscript"]
EXPORTERS: tuple[str, ...] = get_args(Exporter)
Precision = Literal["fp32", "fp16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
