"""Labelled images: a folder for each class, or a CSV file of paths and classes."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from resnetx.base.text import readable
from resnetx.errors import FileError, UsageError
from resnetx.graph.card import ModelCard
from resnetx.inputs.calibration import MOST_UNREADABLE
from resnetx.inputs.image_folder import image_paths, read_image

MOST_LABELLED = 50_000
MOST_CSV_BYTES = 2**26


class LabelledImages:
    """Paths and class numbers; each pass reads the images again, because thousands do not fit into memory.

    `labels` and `skipped` are of the last pass: the classes of the images that could be read, and how many could not.
    """

    def __init__(self, source: Path, card: ModelCard | None) -> None:
        if card is None or card.image_size is None or card.preprocessing is None:
            raise UsageError("--evaluate needs a model card, which says how images become inputs; this file has none.")
        self._size, self._preprocessing = card.image_size, card.preprocessing
        pairs = _from_csv(source, card) if source.is_file() else _from_folders(source, card)
        if not pairs:
            raise FileError(f"{source} contains no labelled images.")
        self._pairs = pairs[:MOST_LABELLED]
        self.labels: list[int] = []
        self.skipped = 0

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The pixels of each image that can be read; a FileError at the end if more than a tenth cannot."""
        self.labels, problems = [], []
        for path, label in self._pairs:
            try:
                pixels = read_image(path, self._size, self._preprocessing)
            except FileError as error:
                problems.append(str(error))
                continue
            self.labels.append(label)
            yield pixels
        self.skipped = len(problems)
        if len(problems) > MOST_UNREADABLE * len(self._pairs):
            raise FileError(
                f"{len(problems)} of {len(self._pairs)} labelled images cannot be read, more than "
                f"{MOST_UNREADABLE:.0%}. The first: {problems[0]}"
            )


def _from_folders(source: Path, card: ModelCard) -> list[tuple[Path, int]]:
    if not source.is_dir():
        raise FileError(f"There is no folder or CSV file {source}; --evaluate takes labelled images.")
    folders = sorted(entry for entry in source.iterdir() if entry.is_dir())
    names = [folder.name for folder in folders]
    numbers = _numbers(names, card, source)
    return [(path, number) for folder, number in zip(folders, numbers, strict=True) for path in image_paths(folder)]


def _from_csv(source: Path, card: ModelCard) -> list[tuple[Path, int]]:
    if source.stat().st_size > MOST_CSV_BYTES:
        raise FileError(f"{source} has {source.stat().st_size:,} bytes; the limit is {MOST_CSV_BYTES:,}.")
    try:
        rows = [row for row in csv.reader(source.read_text().splitlines()) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{source} cannot be read as a CSV file: {readable(str(error), 100)}.") from error
    wrong = next((number for number, row in enumerate(rows, 1) if len(row) != 2), None)
    if wrong is not None:
        raise FileError(f"Row {wrong} of {source} has {len(rows[wrong - 1])} fields; each has two: a path and a class.")
    numbers = _numbers([row[1].strip() for row in rows], card, source)
    return [(source.parent / row[0].strip(), number) for row, number in zip(rows, numbers, strict=True)]


def _numbers(names: Sequence[str], card: ModelCard, source: Path) -> list[int]:
    """Classes by their number, by the card's label, or, if there are as many folders as classes, by their order."""
    classes = card.classes or 0
    if names and all(name.isdecimal() for name in names):
        numbers = [int(name) for name in names]
        if max(numbers) >= classes:
            raise UsageError(f"{source} has the class {max(numbers)}, and the network has {classes}, from 0.")
        return numbers
    labels = {label: number for number, label in enumerate(card.labels or ())}
    if names and all(name in labels for name in names):
        return [labels[name] for name in names]
    if len(set(names)) == len(names) == classes:
        return list(range(classes))
    unknown = next((name for name in names if name not in labels), "")
    raise UsageError(
        f"{source} has the class {readable(unknown, 60)!r}, which is neither a number nor a label of the network's "
        f"{classes} classes. Name each class by its number, 0 to {classes - 1}, or by a label as the model card has it."
    )
