"""The words that options take, in a module light enough for `--help`."""

from typing import Literal, get_args

Exporter = Literal["dynamo", "torchscript"]
EXPORTERS: tuple[str, ...] = get_args(Exporter)
# Where the arrays are that a run is timed between: in the host's memory, or where the provider computes.
Boundary = Literal["host", "device"]
BOUNDARIES: tuple[Boundary, ...] = get_args(Boundary)
# Of a benchmark; the first is no traffic: one run after another is timed.
Scenario = Literal["latency", "single-stream", "multi-stream", "server", "offline"]
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)
LATENCY: Scenario = "latency"
# The provider that stands for the best one that works.
AUTO = "auto"
