"""The ways to look at a file, from the plainest on, and how far a file is from the network in each of them."""

import functools

import numpy as np
from onnx import ModelProto

from resnetx.inputs.synthetic import network_input
from resnetx.model.deploy import Deployed
from resnetx.model.preprocessing import IMAGENET
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.ort.session import Session
from resnetx.verification.pytorch_reference import Network, run_references
from tests.support.images import synthetic_images
from tests.verification.faults.base import Base, Fault, healthy_model, network
from tests.verification.faults.healthy import BASES, FIXED_BATCH, IMAGE_SIZE

EPSILON = float(np.finfo(np.float32).eps)
BATCH_LOOKS = (4, 5, 8, 9, 16)
Batches = tuple[np.ndarray, ...]


@functools.cache
def looks(base: Base) -> dict[str, Batches]:
    """What a fault needs is the first of these that shows it."""
    pixels = synthetic_images(12, IMAGE_SIZE)
    as_pixels = BASES[base].options.get("preprocess") == "uint8"
    images = pixels if as_pixels else network_input(pixels, IMAGENET)
    smooth, extreme = images[[0, 1, 2]], images[3::4]
    fixed = FIXED_BATCH.get(base)
    if fixed:
        return _of_fixed_batch(fixed, smooth, extreme)
    result = {
        "any image": tuple(image[None] for image in smooth),
        "batch 2": (smooth[:2], smooth[1:]),
        "batch 3": (smooth,),
        "extreme images": tuple(image[None] for image in extreme),
    }
    if not as_pixels:
        result["large magnitudes"] = tuple(image[None] * np.float32(10) for image in smooth)
    return result


@functools.cache
def further_looks(base: Base) -> dict[str, Batches]:
    """Those that take more than a few plain images: textures, zeros, other magnitudes, batches of more than three."""
    pixels = np.stack([image for index, image in enumerate(synthetic_images(21, IMAGE_SIZE)) if index % 4 != 3])
    noise = np.random.default_rng(5).integers(0, 256, pixels[:2].shape, np.uint8)
    if BASES[base].options.get("preprocess") == "uint8":
        images, textures, zeros = pixels, noise, np.zeros_like(noise[:1])
    else:
        images, textures = network_input(pixels, IMAGENET), network_input(noise, IMAGENET)
        zeros = np.zeros_like(textures[:1])
    fixed = FIXED_BATCH.get(base)
    if fixed:
        return {"textures": (np.repeat(textures[:1], fixed, axis=0),), "zeros": (np.repeat(zeros, fixed, axis=0),)}
    result: dict[str, Batches] = {"textures": tuple(image[None] for image in textures), "zeros": (zeros,)}
    if images.dtype == np.float32:
        result["faint images"] = tuple(image[None] * np.float32(1e-3) for image in images[:2])
        result["very large magnitudes"] = tuple(image[None] * np.float32(100) for image in images[:3])
    return result | {f"batch {count}": (images[:count],) for count in BATCH_LOOKS}


def _of_fixed_batch(fixed: int, smooth: np.ndarray, extreme: np.ndarray) -> dict[str, Batches]:
    def batches(images: np.ndarray) -> Batches:
        return tuple(images[(np.arange(fixed) + first) % len(images)] for first in range(len(images)))

    return {
        "any image": batches(smooth),
        "extreme images": batches(extreme),
        "large magnitudes": batches(smooth * np.float32(10)),
    }


def every_look(base: Base) -> dict[str, Batches]:
    return looks(base) | further_looks(base)


@functools.cache
def truth_and_noise(base: Base, look: str) -> tuple[np.ndarray, float, float]:
    """PyTorch's float64 answers, and the error of float32, as RMS and at most; at least a rounding or two of the
    answers."""
    module = network(base)
    if BASES[base].module is None:
        form = "probabilities" if base == "probabilities" else "logits"
        module = Deployed(module, IMAGENET if base == "pixels" else None, form).eval()
    references = run_references(Network(module), [[batch] for batch in every_look(base)[look]])
    truth = np.concatenate([outputs[0] for outputs in references.truth])
    noisy = np.concatenate([outputs[0] for outputs in references.noisy["fp32"]])
    floor = 2 * EPSILON * rms(truth)
    return truth, max(rms(noisy - truth), floor), max(float(np.abs(noisy - truth).max()), 2 * floor)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def session_of(model: ModelProto) -> Session:
    return open_runner(model.SerializeToString())


def answers(session: Session, batches: Batches) -> np.ndarray:
    feed, output = session.inputs[0].name, session.outputs[0].name
    return np.concatenate([session.run({feed: batch})[output] for batch in batches])


@functools.cache
def healthy_answers(base: Base, look: str) -> np.ndarray:
    return answers(session_of(healthy_model(base)), every_look(base)[look])


def multiples(fault: Fault, model: ModelProto, names: tuple[str, ...] | None = None) -> dict[str, float]:
    """The error in multiples of PyTorch's own, for each way to look; NaN is an infinite error."""
    session = session_of(model)
    result = {}
    for look in names or looks(fault.base):
        truth, noise, _ = truth_and_noise(fault.base, look)
        error = rms(answers(session, every_look(fault.base)[look]) - truth) / noise
        result[look] = error if np.isfinite(error) else float("inf")
    return result


def multiple_of_noise(fault: Fault, model: ModelProto, look: str) -> float:
    """How far the file is from the network as RMS or in one element, in multiples of what a healthy one may be.

    In reduced precision that is what the healthy file is.
    """
    truth, noise, largest = truth_and_noise(fault.base, look)
    if BASES[fault.base].options.get("precision", "fp32") != "fp32" or BASES[fault.base].rewrite is not None:
        healthy = healthy_answers(fault.base, look) - truth
        noise, largest = max(noise, rms(healthy)), max(largest, float(np.abs(healthy).max()))
    error = answers(session_of(model), every_look(fault.base)[look]) - truth
    worst = max(rms(error) / noise, float(np.abs(error).max()) / largest)
    return worst if np.isfinite(worst) else float("inf")
