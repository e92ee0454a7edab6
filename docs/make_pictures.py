"""Makes the README's pictures: the table of layers of a file with one wrong weight, and the page of a benchmark.

python docs/make_pictures.py                      # both; the page is of ResNet-50, measured for some minutes
python docs/make_pictures.py --bench bench.json   # the page of a result that is there already
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
from resnetx.benchmark.result_file import read_benchmark
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


def main(arguments: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--bench", type=Path, metavar="FILE.json", help="A result of resnetx bench --json.")
    options.add_argument("--only", choices=("layers", "report"), help="Make this picture only.")
    options.add_argument("--out", type=Path, default=PICTURES, help="The folder to write to.")
    chosen = options.parse_args(arguments)
    chosen.out.mkdir(parents=True, exist_ok=True)
    pictures = [chosen.out / "layers.svg", chosen.out / "report.png"]
    with tempfile.TemporaryDirectory() as temporary:
        if chosen.only != "report":
            layers_picture(pictures[0], Path(temporary))
        if chosen.only != "layers" and CHROMIUM is None:
            raise SystemExit(
                "The page's picture needs Chromium (Debian: apt install chromium); --only layers needs none."
            )
        if chosen.only != "layers":
            page_picture(pictures[1], Path(temporary), chosen.bench)
    for picture in pictures:
        size = picture.stat().st_size if picture.exists() else 0
        print(f"{picture}: {size:,} bytes{', TOO LARGE for the repository' if size > MOST_BYTES else ''}")


if __name__ == "__main__":
    main()
