"""The command that runs one case of a benchmark again."""

import shlex

from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.result import BenchCase

# Settings by the name of their flag; those that describe the case itself come from the case.
FLAGS = {
    "duration_s": "--duration",
    "rounds": "--rounds",
    "processes": "--processes",
    "warmup": "--warmup",
    "scenario": "--scenario",
    "target_qps": "--target-qps",
    "latency_bound_ms": "--latency-bound",
    "percentiles": "--percentile",
    "golden": "--golden",
    "reference": "--reference",
}
SWITCHES = {"allow_fallback": ("--allow-fallback", True), "verify": ("--no-verify", False)}


def bench_command(case: BenchCase, settings: BenchOptions) -> str:
    """`resnetx bench` for this case alone, quoted for a POSIX shell."""
    model = f"./{case.model}" if case.model.startswith("-") else case.model
    words = ["resnetx", "bench", model, "--provider", case.provider, "--batch", case.batch, "--threads", case.threads]
    if case.concurrency != 1:
        words += ["--concurrency", case.concurrency]
    if case.boundary != "host":
        words += ["--boundary", case.boundary]
    precision = case.precision or settings.precision
    if precision != "default":
        words += ["--precision", precision]
    for name, flag in FLAGS.items():
        value = getattr(settings, name)
        if value is not None:
            words += [flag, _value(value)]
    words += [flag for name, (flag, when) in SWITCHES.items() if getattr(settings, name) is when]
    for name, value in case.provider_options.items():
        words += ["--provider-option", f"{name}={value}"]
    return " ".join(_quote(str(word)) for word in words)


def _value(value: object) -> str:
    return ",".join(_value(item) for item in value) if isinstance(value, list | tuple) else _plain(value)


def _plain(value: object) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _quote(word: str) -> str:
    """Quote a word for the shell; unprintable bytes are escaped, so that the command stays exact."""
    if word.isprintable():
        return shlex.quote(word)
    data = word.encode("utf-8", "surrogateescape" if _from_bytes(word) else "backslashreplace")
    return "$'" + "".join(chr(b) if 32 <= b < 127 and b not in b"'\\" else f"\\x{b:02x}" for b in data) + "'"


def _from_bytes(word: str) -> bool:
    return all("\udc80" <= character <= "\udcff" for character in word if "\ud800" <= character <= "\udfff")
