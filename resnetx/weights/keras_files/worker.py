"""The process that reads a file of Keras; it writes the tensors to one file and answers where each of them is.

python -m resnetx.weights.keras_files.worker
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from resnetx.base.answers import error_answer, open_answers, read_request, send
from resnetx.weights.keras_files.index import KerasIndex
from resnetx.weights.keras_files.layers import KerasWeights, read_archive, read_h5
from resnetx.weights.pickles.index import Index, Storage, StoredTensor


def write_tensors(weights: KerasWeights, target: Path) -> KerasIndex:
    """Write the arrays one after another."""
    storages, tensors = [], []
    with target.open("wb") as stream:
        for name, array in weights.arrays.items():
            whole = np.ascontiguousarray(array)
            storages.append(Storage(start=stream.tell(), size=whole.nbytes))
            tensors.append(
                StoredTensor(
                    name=name,
                    dtype=whole.dtype.name,  # type: ignore[arg-type]  # a float of 2, 4 or 8 bytes
                    storage=len(storages) - 1,
                    offset=0,
                    shape=list(whole.shape),
                    stride=[step // whole.itemsize for step in whole.strides],
                )
            )
            whole.tofile(stream)
    index = Index(storages=storages, tensors=tensors, assumed=[])
    return KerasIndex(index=index, bn_eps=weights.bn_eps, variant=weights.variant)


def main() -> None:
    answers = open_answers()
    try:
        request = read_request()
        read = read_archive if request["zipped"] else read_h5
        send(answers, asdict(write_tensors(read(Path(request["path"])), Path(request["target"]))))
    except Exception as error:  # the parent says what it means
        send(answers, error_answer(error))


if __name__ == "__main__":
    main()
