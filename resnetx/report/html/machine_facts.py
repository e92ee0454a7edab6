"""The machine, its measured peaks and the settings of a run, as names and texts."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from resnetx.benchmark.result import Benchmark, Limits
from resnetx.report.html.markup import number

# resnetx does not write results that are nested deeper.
DEEPEST = 4
LIMITS = {
    "threads": ("threads", ""),
    "fp32_gflops": ("fp32 peak", " GFLOP/s"),
    "tf32_gflops": ("tf32 peak", " GFLOP/s"),
    "fp16_gflops": ("fp16 peak", " GFLOP/s"),
    "bf16_gflops": ("bf16 peak", " GFLOP/s"),
    "int8_gops": ("int8 peak", " GOP/s"),
    "bandwidth_gb_s": ("memory bandwidth", " GB/s"),
}


def machine_facts(benchmark: Benchmark) -> dict[str, list[tuple[str, str]]]:
    earlier = {"against": benchmark.against and benchmark.against.file, "interleaved_with": benchmark.interleaved_with}
    return {
        "Machine": list(flat(benchmark.machine)),
        "Limits, measured in this run": list(peaks(benchmark.limits, benchmark.limits_problem)),
        "Settings": list(flat(asdict(benchmark.settings) | earlier)),
    }


def machine_in_words(machine: Mapping[str, Any]) -> str:
    """The processor, and the GPUs if there are some; empty if neither is known."""
    gpus = machine.get("gpus")
    found = [each.get("name") for each in gpus if isinstance(each, Mapping)] if isinstance(gpus, list | tuple) else []
    return " with ".join(str(name) for name in dict.fromkeys([machine.get("processor"), *found]) if name)


def peaks(limits: Limits | None, problem: str | None) -> Iterator[tuple[str, str]]:
    """GPU peaks are included if one of them was measured."""
    if limits is None:
        yield "limits", f"not measured: {problem}" if problem else "not measured"
    known = vars(limits) if limits else {}
    on_gpu = any(value is not None for name, value in known.items() if name.startswith("gpu_"))
    for name, value in known.items():
        of_gpu = name.startswith("gpu_")
        title, unit = LIMITS.get(name.removeprefix("gpu_"), (name.removeprefix("gpu_").replace("_", " "), ""))
        if on_gpu or not of_gpu:
            yield f"GPU {title}" if of_gpu else title, "not measured" if value is None else f"{number(value)}{unit}"


def flat(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Nested facts as one list of names and texts."""
    if depth > DEEPEST:
        yield name, "…"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            words = str(key).replace("_", " ")
            yield from flat(item, f"{name}, {words}" if name else words, depth + 1)
    elif isinstance(value, list | tuple):
        if any(isinstance(item, Mapping | list | tuple) for item in value):
            for index, item in enumerate(value, 1):
                yield from flat(item, f"{name} {index}", depth + 1)
        elif value:
            yield name, ", ".join(map(_plain, value))
    elif value is not None:
        yield name, _plain(value)


def _plain(value: object) -> str:
    """50 and 50.0 look the same, because JSON does not distinguish them."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.12g}" if isinstance(value, float) else str(value)
