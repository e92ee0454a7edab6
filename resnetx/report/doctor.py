"""A checkup as text: the machine, and each provider with what it lacks and the command that fixes it."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from resnetx.doctor.checkup import Checkup, Diagnosis, Finding, Version
from resnetx.machine.facts import Machine
from resnetx.machine.gpus import Gpu
from resnetx.runtime.fixes import Fix

# The display names of instruction sets.
DISPLAY_NAMES = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "VNNI (int8)",
    "avx_vnni": "AVX-VNNI (int8)",
    "avx512_bf16": "AVX-512 bf16",
    "avx512_fp16": "AVX-512 fp16",
    "amx_int8": "AMX int8",
    "amx_bf16": "AMX bf16",
    "amx_fp16": "AMX fp16",
    "asimddp": "dot product (int8)",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "SVE",
    "sve2": "SVE2",
    "sme": "SME",
}
X86_EXPECTED = {"AVX-512": ("avx512f",), "VNNI": ("avx512_vnni", "avx_vnni"), "AMX": ("amx_tile",)}
# The width of the first column.
LABEL = 15
INDENT = 2
# A longer command would wrap beside the first column of an 80-column terminal.
PASTED = 80 - LABEL - 2 * INDENT
NAMED_VERSIONS = ("resnetx", "torch", "onnx")


def render_checkup(checkup: Checkup) -> RenderableType:
    """Fits in 80 columns."""
    parts: list[RenderableType] = [_machine(checkup.machine), Text()]
    parts += _providers(checkup)
    parts += [_finding(finding) for finding in checkup.findings]
    return Group(*parts, _verdict(checkup))


def _machine(machine: Machine) -> Table:
    rows = _grid()
    rows.add_row("processor", Text(f"{machine.processor} ({machine.vendor}, {machine.architecture})"))
    rows.add_row("instructions", Text(_instructions(machine)))
    rows.add_row("cores", Text(_cores(machine)))
    rows.add_row("frequency", Text(_frequency(machine)))
    rows.add_row("memory", Text("unknown" if machine.memory_mb is None else f"{machine.memory_mb / 1024:.1f} GiB"))
    rows.add_row("GPU", Text("\n".join(map(_gpu, machine.gpus)) or "none with a working NVIDIA driver"))
    rows.add_row("system", Text(f"{machine.system}, {machine.kernel}"))
    rows.add_row("software", Text(", ".join([machine.python, *_software(machine.versions)])))
    return rows


def _instructions(machine: Machine) -> str:
    names = [DISPLAY_NAMES[name] for name in machine.instruction_sets if name in DISPLAY_NAMES]
    lacks = []
    if machine.architecture.lower() in ("x86_64", "amd64"):
        have = set(machine.instruction_sets)
        lacks = [name for name, any_of in X86_EXPECTED.items() if not have.intersection(any_of)]
    return (", ".join(names) or "unknown") + (f"; no {', '.join(lacks)}" if names and lacks else "")


def _cores(machine: Machine) -> str:
    text = f"{machine.cores} physical, {machine.cpus} logical allowed to this process"
    quota = "no quota" if machine.cpu_quota is None else f"a quota of {machine.cpu_quota:g}"
    return f"{text}, {quota}: {machine.default_threads} threads by default"


def _frequency(machine: Machine) -> str:
    turbo = {True: "turbo on", False: "turbo off", None: "turbo unknown"}[machine.turbo]
    load = "unknown" if machine.load_average is None else f"{machine.load_average:g}"
    return f"governor {machine.governor or 'unknown'}, {turbo}, load average {load}"


def _gpu(gpu: Gpu) -> str:
    memory = "" if gpu.memory_mb is None else f", {gpu.memory_mb / 1024:.0f} GiB"
    return f"{gpu.name}{memory}, driver {gpu.driver}"


def _software(versions: dict[str, str]) -> list[str]:
    names = [name for name in versions if name in NAMED_VERSIONS or name.startswith(("onnxruntime", "openvino"))]
    return [f"{name} {versions[name]}" for name in names]


def _providers(checkup: Checkup) -> Iterator[RenderableType]:
    """Each provider; the reason and the fixes that an earlier one has too are said once."""
    reasons: dict[tuple[str | None, tuple[str, ...]], str] = {}
    fixes: dict[tuple[Fix, ...], str] = {}
    for provider in checkup.providers:
        same = reasons.setdefault((provider.problem, provider.missing), provider.name)
        fixed = fixes.setdefault(provider.fixes, provider.name)
        yield from _provider(provider, checkup.versions, same=same, fixed=fixed)


def _provider(provider: Diagnosis, versions: Sequence[Version], *, same: str, fixed: str) -> Iterator[RenderableType]:
    """`same` and `fixed` are the first providers with the same reason and with the same fixes."""
    mark = Text("works", "green") if provider.works else Text("does not work", "red")
    head = Text.assemble((f"{provider.name:<{LABEL + 2}}", "bold"), mark)
    if provider.works:
        yield Text.assemble(head, (f", in {provider.precision}", "dim")) if provider.precision else head
        return
    first = same == provider.name
    yield head if first else Text.assemble(head, f", for the reason of {same}")
    rows = _grid(INDENT)
    if first:
        rows.add_row("why", Text(provider.problem or ""))
    if first and provider.missing:
        relevant = [each for each in versions if each.library in {library.name for library in provider.libraries}]
        for version in relevant:
            rows.add_row(version.name, _version(version))
    if fixed != provider.name:
        rows.add_row("to fix", Text(f"as {fixed}"))
    if rows.row_count:
        yield Padding(rows, (0, 0, 0, INDENT))
    if fixed == provider.name:
        yield from map(_fix, provider.fixes)


def _version(version: Version) -> Text:
    if version.fits:
        return Text(f"{version.found}, as this build requires ({version.wanted})", "dim")
    found = "not found" if version.found is None else f"found {version.found}"
    return Text(f"this build requires {version.wanted}; {found}")


def _fix(fix: Fix) -> RenderableType:
    """The command, unwrapped so that it can be pasted, and on its own line if it is long."""
    rows = _grid(INDENT)
    command = Text(fix.command or "", "bold")
    note = Text(f"({fix.note})" if fix.note and fix.command else fix.note or "")
    apart = len(command) > PASTED
    lines = [line for line in ((note,) if apart else (command, note)) if line.plain]
    for label, line in zip_longest(["to fix"], lines, fillvalue=""):
        rows.add_row(label, line)
    shown = Padding(rows, (0, 0, 0, INDENT))
    return Group(shown, Padding(command, (0, 0, 0, 2 * INDENT))) if apart else shown


def _finding(finding: Finding) -> RenderableType:
    return Group(Text(f"\nwarning: {finding.problem}", "yellow"), _fix(finding.fix))


def _verdict(checkup: Checkup) -> Text:
    broken = [provider.name for provider in checkup.providers if provider.name in checkup.asked and not provider.works]
    if broken:
        return Text(f"\nNOT WORKING: {', '.join(broken)}", "bold red")
    return Text(
        f"\nWORKING: {', '.join(provider.name for provider in checkup.providers if provider.works)}", "bold green"
    )


def _grid(indent: int = 0) -> Table:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True, min_width=LABEL - indent)
    rows.add_column(overflow="fold")
    return rows
