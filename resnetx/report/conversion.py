"""The result of a conversion as text."""

from rich.console import Group, RenderableType
from rich.text import Text

from resnetx.base.text import file_size, printable
from resnetx.conversion.result import Conversion
from resnetx.report.verification import render_verification

MOST_LINES = 12


def render_conversion(result: Conversion) -> RenderableType:
    """What stayed in float32 and why, the sizes, and the verification against the source."""
    parts: list[RenderableType] = [
        Text(printable(f"{result.source}: {file_size(result.before.bytes)} in float32")),
        Text(printable(f"{result.target}: {file_size(result.after.bytes)} in float16")),
    ]
    if result.undefined:
        names = _listed(result.undefined)
        parts.append(Text(printable(f"NaN or infinite already in float32 on some samples: {names}"), "yellow"))
    if result.kept:
        stay = "1 layer stays" if len(result.kept) == 1 else f"{len(result.kept)} layers stay"
        parts.append(Text(f"{stay} in float32:", "yellow"))
        lines = [f"  {name}: {reason}" for name, reason in result.kept.items()]
        parts += [Text(printable(line)) for line in lines[:MOST_LINES]]
        if len(lines) > MOST_LINES:
            parts.append(Text(f"  and {len(lines) - MOST_LINES} more"))
    else:
        parts.append(Text(f"no tensor overflows float16 on {result.samples} samples", "green"))
    parts += [Text(), render_verification(result.verification)]
    if result.written and result.verification.unproven:
        parts.append(Text(printable(f"{result.target} was written: its weights and inner tensors agree."), "yellow"))
    if not result.written:
        why = "nothing could be proven" if result.verification.agrees else f"it disagrees with {result.source}"
        parts.append(Text(printable(f"{result.target} was not written: {why}."), "red"))
    return Group(*parts)


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - MOST_LINES
    return ", ".join(names[:MOST_LINES]) + (f" and {more} more" if more > 0 else "")
