"""The values of options, in a module that is fast to import for `--help`."""

from typing import Literal, get_args

Exporter = Literal["dynamo", "torchscript"]
EXPORTERS: tuple[str, ...] = get_args(Exporter)
# Where the inputs and outputs of a timed run are stored: in host memory, or on the provider's device.
Boundary = Literal["host", "device"]
BOUNDARIES: tuple[Boundary, ...] = get_args(Boundary)
# The scenarios of a benchmark; the first has no load generator and times one run after another.
Scenario = Literal["latency", "single-stream", "multi-stream", "server", "offline"]
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)
LATENCY: Scenario = "latency"
# Selects the best provider that works.
AUTO = "auto"
