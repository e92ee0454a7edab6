"""The files of benchmarks/peers.py: ours and those that peers quantize, calibrated on the same synthetic images.

    python benchmarks/peer_files.py TOOL FLOAT.onnx SAMPLES.npy OUT

runs one peer's recipe, as its documentation shows it, in a process of its own.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx

import resnetx
from resnetx.graph.card import read_card
from resnetx.inputs.calibration import SYNTHETIC, read_calibration
from resnetx.machine.facts import read_processor
from resnetx.runtime.runner import TensorInfo

FLOAT, PIXELS = "float.onnx", "pixels.onnx"
# Quantized by us, by target: from float arrays, and from pixels to the five best classes.
OURS = {"openvino": "openvino.onnx", "cpu": "cpu.onnx"}
OURS_PIXELS = {"openvino": "pixels-openvino.onnx", "cpu": "pixels-cpu.onnx"}
# Quantized by peers, by tool.
TOOLS = {"nncf-openvino": "nncf.xml", "nncf-onnx": "nncf.onnx", "onnxruntime": "onnxruntime.onnx"}
VNNI = {"avx512_vnni", "avx_vnni", "amx_int8"}
LAST_LINE = 200


def make_files(folder: Path, depth: int, samples: int, needed: set[str], step: Callable[[str], None]) -> dict[str, str]:
    """Make the needed files in the folder; return why some could not be made, by the file's name."""
    config = resnetx.resnet_config(depth)
    from_pixels = {"preprocess": "uint8", "output": "top5"}
    for source, targets, boundary in ((FLOAT, OURS, {}), (PIXELS, OURS_PIXELS, from_pixels)):
        wanted = [(target, name) for target, name in targets.items() if name in needed]
        if source == FLOAT or wanted:
            step(f"exporting {source}")
            resnetx.export(config, folder / source, verify=False, **boundary)
        for target, name in wanted:
            step(f"quantizing {name}")
            resnetx.quantize(folder / source, folder / name, calibrate=SYNTHETIC, target=target, samples=samples)
    np.save(folder / "samples.npy", calibration_samples(folder / FLOAT, samples))
    problems = {}
    for tool, name in TOOLS.items():
        if name in needed:
            step(f"quantizing {name}")
            problems |= _made_apart(folder, tool, name)
    return problems


def calibration_samples(model: Path, samples: int) -> np.ndarray:
    """The float inputs on which `resnetx quantize` calibrates."""
    graph = onnx.load(model)
    card = read_card(graph)
    info = TensorInfo(graph.graph.input[0].name, np.dtype(np.float32), ("N", 3, card.image_size, card.image_size))
    data = read_calibration(SYNTHETIC, info, card, samples=samples)
    return data.feed(data.calibration)


def _made_apart(folder: Path, tool: str, name: str) -> dict[str, str]:
    """Run a recipe in its own process: with NNCF_CI, NNCF sends nothing to its makers."""
    command = [sys.executable, __file__, tool, FLOAT, "samples.npy", name]
    ended = subprocess.run(
        command, cwd=folder, env=os.environ | {"NNCF_CI": "1"}, capture_output=True, text=True, check=False
    )
    if ended.returncode == 0:
        return {}
    (*_, last) = ended.stderr.strip().splitlines() or [f"it ended with {ended.returncode}"]
    return {name: last.removeprefix("ModuleNotFoundError: ")[:LAST_LINE]}


def nncf_openvino(source: Path, samples: np.ndarray, target: Path) -> None:
    import nncf
    import openvino as ov

    model = ov.Core().read_model(source)
    dataset = nncf.Dataset(list(samples[:, None]))
    quantized = nncf.quantize(model, dataset, preset=nncf.QuantizationPreset.PERFORMANCE, subset_size=len(samples))
    ov.save_model(quantized, target)


def nncf_onnx(source: Path, samples: np.ndarray, target: Path) -> None:
    import nncf

    model = onnx.load(source)
    name = model.graph.input[0].name
    dataset = nncf.Dataset([{name: sample} for sample in samples[:, None]])
    quantized = nncf.quantize(model, dataset, preset=nncf.QuantizationPreset.PERFORMANCE, subset_size=len(samples))
    onnx.save(quantized, target)


def onnxruntime_static(source: Path, samples: np.ndarray, target: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    name = onnx.load(source).graph.input[0].name

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[np.ndarray] = iter(samples[:, None])

        def get_next(self) -> dict[str, np.ndarray] | None:
            sample = next(self.left, None)
            return None if sample is None else {name: sample}

    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(source, prepared)
    quantize_static(
        prepared,
        target,
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        # As recommended for processors without VNNI, whose sums of 8-bit products overflow.
        reduce_range=not VNNI & set(read_processor().instruction_sets),
    )


RECIPES: dict[str, Callable[[Path, np.ndarray, Path], None]] = {
    "nncf-openvino": nncf_openvino,
    "nncf-onnx": nncf_onnx,
    "onnxruntime": onnxruntime_static,
}

if __name__ == "__main__":
    tool, source, samples, target = sys.argv[1:]
    RECIPES[tool](Path(source), np.load(samples), Path(target))
