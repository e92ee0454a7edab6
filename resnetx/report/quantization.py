"""The result of a quantization as text."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resnetx.base.text import file_size, printable
from resnetx.conversion.quantization.quantize import Quantizing

SHOWN_LAYERS = 5
SOURCES = {"images": "images", "arrays": "arrays", "synthetic": "synthetic images, which are no calibration"}


def render_quantization(result: Quantizing) -> RenderableType:
    """Sizes and recipe, the agreement and accuracy, the worst layers, and what the limit cost."""
    made = result.made
    kept = (
        f"{len(made.kept)} of {made.n_layers} layers in float" if made.kept else f"all {made.n_layers} layers in INT8"
    )
    size = "not written" if result.bytes_after is None else file_size(result.bytes_after)
    parts: list[RenderableType] = [
        Text(printable(f"{result.source}: {file_size(result.bytes_before)} in float32")),
        Text(printable(f"{result.target_file}: {size}, for {result.target}, {kept}")),
    ]
    skipped = f", {made.skipped} could not be read" if made.skipped else ""
    style = "yellow" if made.source == "synthetic" else ""
    parts.append(Text(f"calibrated on {made.samples} {SOURCES[made.source]}{skipped}, method {made.method}", style))
    if len(made.tried) > 1:
        listed = ", ".join(f"{name} {_decibels(value)}" for name, value in made.tried.items())
        parts.append(Text(f"  signal to error of the scores: {listed}"))
    if made.weight_bits < 8:
        parts.append(Text("  weights of 7 bits: this processor's sums of 8-bit products would overflow"))
    if made.shifted:
        parts.append(Text(f"  weights of {len(made.shifted)} layers shifted by one, for kernels that are faster here"))
    parts += [Text(), *_measured(result)]
    if len(made.steps) > 1:
        parts += [Text(), _steps(result)]
    if not result.written:
        words = f"{result.target_file} was not written: the drop stays above {result.max_drop:.2%}."
        parts.append(Text(printable(words), "red"))
    return Group(*parts)


def _measured(result: Quantizing) -> list[RenderableType]:
    made, agreement = result.made, result.made.agreement
    parts: list[RenderableType] = [
        Text(
            f"on {agreement.samples} samples that calibration did not see: top-1 {agreement.top1:.1%}, top-5 "
            f"{agreement.top5:.1%} as in float, {_decibels(agreement.sqnr_db)}"
        )
    ]
    if made.accuracy is not None:
        found = made.accuracy
        parts.append(
            Text(
                f"on {found.images} labelled images: top-1 {found.before_top1:.2%} -> {found.after_top1:.2%}, top-5 "
                f"{found.before_top5:.2%} -> {found.after_top5:.2%}; drop {found.drop:.2%} "
                f"[{found.low:.2%}, {found.high:.2%}]"
            )
        )
    worst = sorted((value, name) for name, value in made.layers.items() if value is not None)[:SHOWN_LAYERS]
    if worst:
        listed = ", ".join(f"{name} {value:.1f}" for value, name in worst)
        parts.append(Text(printable(f"layers furthest from float, in dB: {listed}")))
    speed = made.float_ms / made.int8_ms
    parts.append(
        Text(
            f"{made.int8_ms:.2f} ms on {result.provider} beside {made.float_ms:.2f} ms in float on cpu, batch 1, host "
            f"arrays: {speed:.2f} times as fast (one process; resnetx bench measures properly)"
        )
    )
    return parts


def _steps(result: Quantizing) -> Table:
    """What each layer that went back to float brought and cost."""
    table = Table(
        box=None, pad_edge=False, title="layers given back to float, the most harmful first", title_justify="left"
    )
    for head in ("in float", "drop", "as in float", "speed"):
        table.add_column(head, justify="right")
    table.add_column("layer", overflow="fold")
    for step in result.made.steps:
        cells = (str(step.kept), f"{step.drop:.2%}", f"{step.top1:.1%}", f"{step.speedup:.2f}x")
        table.add_row(*cells, printable(step.added or ""))
    return table


def _decibels(value: float | None) -> str:
    return "no error" if value is None else f"{value:.1f} dB"
