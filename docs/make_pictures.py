"""Makes the README's pictures: the table of layers of a file with one wrong weight, the page of a benchmark, the blocks
of a residual network, and the studies.

python docs/make_pictures.py                        # all; each study and the benchmark of ResNet-50 take some minutes
python docs/make_pictures.py --only blocks,study-depth
python docs/make_pictures.py --bench bench.json     # the page of a result that is there already
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from PIL import Image
from rich.console import CONSOLE_SVG_FORMAT
from rich.terminal_theme import SVG_EXPORT_THEME

import resnetx
from docs.block_diagram import block_diagram
from resnetx.benchmark.result_file import read_benchmark
from resnetx.cli.study import STUDIES
from resnetx.report.console import ReportConsole
from resnetx.report.html.page import render_html
from resnetx.report.verification import render_verification
from tests.support.browser import CHROMIUM, open_browser

PICTURES = Path(__file__).parent / "pictures"
WRONG, FACTOR = "layer2.0.conv1.weight", 1.001
COLUMNS = 90
# Without rich's comment, and the fonts that its format loads from a host.
SVG = re.sub(r"@font-face \{\{.*?\}\}\s*|<!--.*?-->\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
MODEL = "resnet50.onnx"
BENCH = ("--provider", "cpu,openvino,torch", "--batch", "1,8", "--processes", "5")
WIDTH, HEIGHT, COLORS = 1180, 860, 64
MOST_BYTES = 150_000


def layers_picture(target: Path, folder: Path) -> None:
    """What `resnetx verify wrong.onnx --layers` shows of the file, one of whose weights is a tenth of a percent off."""
    path, wrong = folder / "small.onnx", folder / "wrong.onnx"
    resnetx.export(resnetx.resnet_config(stages=(1, 1, 1, 1), width=16, block="basic"), path, image_size=64)
    model = onnx.load(path)
    (tensor,) = (each for each in model.graph.initializer if each.name == WRONG)
    values = numpy_helper.to_array(tensor).copy()
    values.reshape(-1)[np.abs(values).argmax()] *= FACTOR
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, wrong)
    result = replace(resnetx.verify(wrong, layers=True), model=wrong.name, verdicts=())
    console = ReportConsole(width=COLUMNS, record=True, force_terminal=True, file=(folder / "screen.txt").open("w"))
    console.print(render_verification(result, layers=True))
    title = f"resnetx verify {wrong.name} --layers"
    console.save_svg(str(target), title=title, theme=SVG_EXPORT_THEME, code_format=SVG, unique_id="layers")


def page_picture(target: Path, folder: Path, stored: Path | None) -> None:
    """The page that `resnetx bench --html` writes, as a browser shows its upper part."""
    if stored is None:
        # In the folder, so that the page shows no path of this machine.
        for command in (("export", "-o", MODEL), ("bench", MODEL, *BENCH, "--json", "bench.json")):
            subprocess.run([sys.executable, "-m", "resnetx", *command], cwd=folder, check=True)
        stored = folder / "bench.json"
    page = folder / "bench.html"
    page.write_text(render_html(read_benchmark(stored)))
    (folder / "profile").mkdir()
    with open_browser(folder / "profile") as browser:
        browser.resize(WIDTH, HEIGHT)
        browser.open(page.as_uri())
        browser.screenshot(target, clip=(WIDTH, HEIGHT))
    with Image.open(target) as picture:
        # A page has few colors: a third of the bytes.
        picture.convert("RGB").quantize(COLORS).save(target, optimize=True)


def study_picture(target: Path, name: str) -> None:
    """What `resnetx study NAME -o study-NAME.png` draws, in the colors that it has: a third of the bytes."""
    subprocess.run([sys.executable, "-m", "resnetx", "study", name, "-o", str(target)], check=True)
    with Image.open(target) as picture:
        picture.convert("RGB").quantize(COLORS).save(target, optimize=True)


def main(arguments: Sequence[str] | None = None) -> None:
    studies = {f"study-{name}": name for name in STUDIES}
    names = {"layers": "layers.svg", "report": "report.png", "blocks": "blocks.svg"}
    names |= {study: f"{study}.png" for study in studies}
    options = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    options.add_argument("--bench", type=Path, metavar="FILE.json", help="A result of resnetx bench --json.")
    options.add_argument("--only", metavar="NAME,...", help=f"Make these pictures only: {', '.join(names)}.")
    options.add_argument("--out", type=Path, default=PICTURES, help="The folder to write to.")
    chosen = options.parse_args(arguments)
    wanted = list(names) if chosen.only is None else chosen.only.split(",")
    if unknown := [name for name in wanted if name not in names]:
        options.error(f"there is no picture {', '.join(unknown)}: choose from {', '.join(names)}")
    if "report" in wanted and CHROMIUM is None:
        options.error("the picture report needs Chromium (Debian: apt install chromium); --only makes others")
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        target = chosen.out / names[name]
        with tempfile.TemporaryDirectory() as folder:
            if name == "layers":
                layers_picture(target, Path(folder))
            elif name == "report":
                page_picture(target, Path(folder), chosen.bench)
            elif name == "blocks":
                target.write_text(block_diagram(), encoding="utf-8")
            else:
                study_picture(target, studies[name])
        size = target.stat().st_size
        print(f"{target}: {size:,} bytes{', TOO LARGE for the repository' if size > MOST_BYTES else ''}")


if __name__ == "__main__":
    main()
