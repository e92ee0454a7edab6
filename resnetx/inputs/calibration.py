"""Inputs to calibrate INT8 on, and others that calibration does not see: images, arrays, or synthetic ones."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnetx.base.npz import NpzError, open_npz
from resnetx.base.text import readable
from resnetx.errors import FileError, UsageError
from resnetx.graph.card import ModelCard
from resnetx.inputs.image_folder import SUFFIXES, image_paths, read_image
from resnetx.inputs.random_feeds import random_feeds
from resnetx.inputs.sampling import natural_images
from resnetx.inputs.synthetic import card_inputs
from resnetx.runtime.runner import TensorInfo

SYNTHETIC = "synthetic"
SAMPLES = 256
# Other images than those of a verification, which are of the same kinds.
CALIBRATION_SEED = 2**40
# One in so many is kept back, to measure on what calibration did not see.
KEPT_BACK = 5
MOST_KEPT_BACK = 256
# More images than this share that cannot be read are no accident.
MOST_UNREADABLE = 0.1
MOST_BYTES = 2**31


@dataclass(frozen=True, kw_only=True)
class CalibrationData:
    """Samples as the file takes them, along the first axis, or as pixels that `card` says how to prepare.

    `digest` identifies the samples that calibration sees; `skipped` images could not be read.
    """

    calibration: np.ndarray
    unseen: np.ndarray
    source: str
    digest: str
    skipped: int = 0
    card: ModelCard | None = None

    def feed(self, samples: np.ndarray) -> np.ndarray:
        return samples if self.card is None else card_inputs(self.card, samples)


def read_calibration(source: str, info: TensorInfo, card: ModelCard | None, *, samples: int) -> CalibrationData:
    """The data of `--calibrate` for a file with this input."""
    if source == SYNTHETIC:
        pixels, images = _synthetic(info, card, samples)
        return _split(pixels, samples, source=SYNTHETIC, card=card if images else None)
    path = Path(source)
    if path.is_dir():
        wanted = min(samples + samples // (KEPT_BACK - 1) + 1, samples + MOST_KEPT_BACK)
        pixels, skipped = _images(path, card, most=wanted)
        return _split(pixels, samples, source="images", card=card, skipped=skipped)
    return _split(_arrays(path, info), samples, source="arrays", card=None)


def _split(
    found: np.ndarray, samples: int, *, source: str, card: ModelCard | None, skipped: int = 0
) -> CalibrationData:
    if len(found) < 2:
        raise UsageError(
            f"Calibration needs two samples or more, one of which it does not see, and found {len(found)}; some "
            "hundred are usual."
        )
    if source != SYNTHETIC and all(np.array_equal(found[0], other) for other in found[1:]):
        raise UsageError("All samples of the calibration data are equal; give samples of what the model is used on.")
    back = np.arange(len(found)) % KEPT_BACK == min(KEPT_BACK, len(found)) - 1
    seen = found[~back][:samples]
    digest = hashlib.sha256(np.ascontiguousarray(seen).tobytes()).hexdigest()
    unseen = found[back][:MOST_KEPT_BACK]
    return CalibrationData(calibration=seen, unseen=unseen, source=source, digest=digest, skipped=skipped, card=card)


def _synthetic(info: TensorInfo, card: ModelCard | None, samples: int) -> tuple[np.ndarray, bool]:
    count = samples + samples // (KEPT_BACK - 1) + 1
    if card is not None and card.image_size is not None and card.preprocessing is not None:
        return natural_images(count, card.image_size, CALIBRATION_SEED), True
    return random_feeds([info], batch=count, seed=0)[info.name], False


def _images(folder: Path, card: ModelCard | None, *, most: int) -> tuple[np.ndarray, int]:
    """Images of the folder, or of the folders in it, evenly over all of them."""
    if card is None or card.image_size is None or card.preprocessing is None:
        raise UsageError(
            "The file has no model card, which says how images become its inputs. Give --calibrate an .npz file with "
            "an array of prepared inputs instead."
        )
    paths = image_paths(folder)
    for inner in sorted(entry for entry in folder.iterdir() if entry.is_dir()) if not paths else ():
        paths += image_paths(inner)
    if not paths:
        raise FileError(f"{folder} contains no images ({', '.join(sorted(SUFFIXES))}), nor do the folders in it.")
    chosen = [paths[place] for place in np.unique(np.linspace(0, len(paths) - 1, min(most, len(paths))).astype(int))]
    found, problems = [], []
    for path in chosen:
        try:
            found.append(read_image(path, card.image_size, card.preprocessing))
        except FileError as error:
            problems.append(str(error))
    if len(problems) > MOST_UNREADABLE * len(chosen):
        raise FileError(
            f"{len(problems)} of {len(chosen)} images in {folder} cannot be read, more than {MOST_UNREADABLE:.0%}. "
            f"The first: {problems[0]}"
        )
    return np.stack(found), len(problems)


def _arrays(path: Path, info: TensorInfo) -> np.ndarray:
    """The array for the input, by its name or the only one."""
    if not path.is_file():
        raise FileError(
            f"There is neither a folder nor a file {path}; --calibrate takes images, an .npz, or synthetic."
        )
    try:
        with open_npz(path, most_bytes=MOST_BYTES, what="calibration data") as arrays:
            names = arrays.names
            name = info.name if info.name in names else names[0] if len(names) == 1 else None
            if name is None:
                listed = ", ".join(readable(each, 40) for each in names[:5]) or "none"
                raise UsageError(f"{path} has the arrays {listed}; it needs one for the input {info.name!r}.")
            found = arrays.numbers(name)
    except NpzError as error:
        raise FileError(f"{path} cannot be used: {error}.") from error
    sizes = info.shape[1:]
    fits = found.ndim == len(info.shape) and all(
        isinstance(size, str) or size == given for size, given in zip(sizes, found.shape[1:], strict=True)
    )
    if not fits or (found.dtype != info.dtype and found.dtype.kind != "f"):
        shape = "x".join(str(size) for size in ("N", *sizes))
        raise UsageError(
            f"{path} has an array of {'x'.join(map(str, found.shape))} {found.dtype}; the input {info.name!r} takes "
            f"{shape} {info.dtype}."
        )
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise UsageError(f"The array in {path} contains NaN or infinity; calibration needs finite numbers.")
    prepared: np.ndarray = found.astype(info.dtype, copy=False)
    return prepared
