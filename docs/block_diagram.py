"""Draws the two blocks of a residual network, with the names of their layers in resnetx, as an SVG."""

from dataclasses import dataclass
from xml.etree import ElementTree as xml

WIDTH, ROW, TOP, MARGIN = 860, 196, 46, 22
BOX, HEIGHT, GAP, FORK = 72, 48, 13, 12
INK, PAPER, FRAME = "#1f2933", "#ffffff", "#c8d0d9"
# Fill and outline.
CONVOLUTION, NORM, RELU, SUM = ("#d6e6f5", "#0072b2"), ("#d9efe6", "#009e73"), ("#fbe3d3", "#d55e00"), (PAPER, INK)
SHORTCUT = "#0072b2"


@dataclass(frozen=True, kw_only=True)
class Layer:
    name: str
    detail: str
    look: tuple[str, str]


RELU_LAYER = Layer(name="relu", detail="", look=RELU)


def main_path(stride: str) -> list[Layer]:
    """Three convolutions; the last has its ReLU behind the sum."""
    layers: list[Layer] = []
    for place, detail in enumerate(("1×1, C", f"3×3, C{stride}", "1×1, 4C"), start=1):
        layers.append(Layer(name=f"conv{place}", detail=detail, look=CONVOLUTION))
        layers.append(Layer(name=f"bn{place}", detail="BatchNorm", look=NORM))
        layers.append(RELU_LAYER)
    return layers[:-1]


DOWNSAMPLE = [
    Layer(name="downsample.0", detail="conv 1×1, 4C, stride s", look=CONVOLUTION),
    Layer(name="downsample.1", detail="BatchNorm", look=NORM),
]


class Drawing:
    def __init__(self, height: int) -> None:
        self.root = xml.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}")
        self.root.set("font-family", "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif")
        self._add("title").text = "The identity block and the convolutional block of a residual network"
        marker = self._add("defs")
        for name, colour in (("arrow", INK), ("shortcut", SHORTCUT)):
            head = xml.SubElement(
                marker,
                "marker",
                id=name,
                viewBox="0 0 8 8",
                refX="7",
                refY="4",
                orient="auto",
                markerUnits="userSpaceOnUse",
            )
            head.set("markerWidth", "9")
            head.set("markerHeight", "9")
            xml.SubElement(head, "path", d="M0 0L8 4L0 8z", fill=colour)
        # A background of its own, so that it can be read on a dark page too.
        self._add("rect", x=0.5, y=0.5, width=WIDTH - 1, height=height - 1, rx=8, fill=PAPER, stroke=FRAME)

    def text(
        self, x: float, y: float, words: str, size: int = 14, *, bold: bool = False, anchor: str = "middle"
    ) -> None:
        weight = "600" if bold else "400"
        found = self._add("text", x=x, y=y, fill=INK, font_size=size, font_weight=weight, text_anchor=anchor)
        found.text = words

    def layer(self, x: float, middle: float, layer: Layer, width: float = BOX) -> None:
        fill, outline = layer.look
        self._add(
            "rect",
            x=x,
            y=middle - HEIGHT / 2,
            width=width,
            height=HEIGHT,
            rx=5,
            fill=fill,
            stroke=outline,
            stroke_width=1.5,
        )
        self.text(x + width / 2, middle + (-3 if layer.detail else 5), layer.name, bold=True)
        if layer.detail:
            self.text(x + width / 2, middle + 14, layer.detail, 12)

    def arrow(self, path: str, *, shortcut: bool = False) -> None:
        colour, head, width = (SHORTCUT, "shortcut", 2.5) if shortcut else (INK, "arrow", 1.5)
        self._add("path", d=path, fill="none", stroke=colour, stroke_width=width, marker_end=f"url(#{head})")

    def circle(self, x: float, y: float) -> None:
        self._add("circle", cx=x, cy=y, r=13, fill=PAPER, stroke=INK, stroke_width=1.5)
        self.text(x, y + 6, "+", 18, bold=True)

    def _add(self, tag: str, **attributes: object) -> xml.Element:
        return xml.SubElement(
            self.root, tag, {name.replace("_", "-"): str(value) for name, value in attributes.items()}
        )


def draw_block(
    drawing: Drawing, top: float, title: str, words: str, layers: list[Layer], shortcut: list[Layer]
) -> None:
    drawing.text(MARGIN, top, title, 16, bold=True, anchor="start")
    drawing.text(MARGIN, top + 20, words, 13, anchor="start")
    middle, below = top + 66, top + 134
    drawing.text(MARGIN + 6, middle + 5, "x", 16, bold=True)
    fork = MARGIN + FORK + 6.0
    x = fork
    for layer in layers:
        drawing.arrow(f"M{x if layer is not layers[0] else x - 4} {middle}H{x + GAP}")
        x += GAP
        drawing.layer(x, middle, layer)
        x += BOX
    total = x + GAP + 13
    drawing.arrow(f"M{x} {middle}H{total - 13}")
    drawing.circle(total, middle)
    drawing.arrow(f"M{total + 13} {middle}H{total + 13 + GAP}")
    drawing.layer(total + 13 + GAP, middle, RELU_LAYER, 48)
    end = total + 13 + GAP + 48
    drawing.arrow(f"M{end} {middle}H{end + GAP}")
    if not shortcut:
        drawing.arrow(f"M{fork} {middle}V{below}H{total}V{middle + 13}", shortcut=True)
        drawing.text((fork + total) / 2, below - 8, "shortcut: x as it is")
        return
    widths = (170.0, 130.0)
    begin = (fork + total - sum(widths) - GAP) / 2
    drawing.arrow(f"M{fork} {middle}V{below}H{begin}", shortcut=True)
    for layer, width in zip(shortcut, widths, strict=True):
        drawing.layer(begin, below, layer, width)
        begin += width + GAP
        if layer is shortcut[0]:
            drawing.arrow(f"M{begin - GAP} {below}H{begin}", shortcut=True)
    drawing.arrow(f"M{begin - GAP} {below}H{total}V{middle + 13}", shortcut=True)


def block_diagram() -> str:
    drawing = Drawing(TOP + 2 * ROW - 16)
    draw_block(
        drawing,
        TOP - 10,
        "Identity block",
        "Input and output have one shape: the shortcut adds x. If the scale and bias of bn3 are 0, the block is x.",
        main_path(""),
        [],
    )
    draw_block(
        drawing,
        TOP + ROW - 10,
        "Convolutional block",
        "The first of a stage: downsample gives x the shape of the output: 4C channels, and its size divided by s.",
        main_path(", /s"),
        DOWNSAMPLE,
    )
    xml.indent(drawing.root)
    return xml.tostring(drawing.root, encoding="unicode") + "\n"
