"""How much memory a file of unknown origin may take when it is run, derived from what an honest file of its size takes.

800 MB and 12 times the file; 24 bytes for every number in the largest batch of its inputs, at most 2 GB; for what it
computes from them 1,000 bytes for every number, but at most 5,000 times the file and 6 GB; 300 MB and 6 times the file
for every further provider, and 8 GB for one that uses a GPU or PyTorch.
"""

import math
from collections.abc import Sequence

from resnetx.base.vocabulary import AUTO
from resnetx.graph.reading.onnx_file import OnnxFile
from resnetx.graph.reading.tensor_data import elements
from resnetx.machine.gpus import has_nvidia_hardware
from resnetx.runtime.catalog import BY_NAME, CATALOG

BASE_MB = 800
TIMES_FILE = 12
# Several inputs in float32, and what makes them.
INPUT_BYTES = 24
INPUTS_MOST_MB = 2000
# ResNet-50 at 224 pixels keeps some 100 bytes for every number of its input in float32, and PyTorch's float64 doubles
# them; convolutions need room to work in. A U-Net with 16 filters needs 600, and a ResNet-50 in INT8, which is also
# simulated, 900 where ONNX Runtime may not fuse its steps. The smaller a file, the more of its computation is what a
# hostile file would do.
COMPUTED_BYTES = 1000
COMPUTED_TIMES_FILE = 5000
COMPUTED_MOST_MB = 6000
FURTHER_PROVIDER_MB = 300
FURTHER_PROVIDER_TIMES_FILE = 6
LARGE_PROVIDER_MB = 8000


def float_bytes(file: OnnxFile) -> int:
    """The size of a file if its weights were float32: INT8 and float16 files are computed in floats too."""
    numbers = sum(elements(tensor) for tensor in file.model.graph.initializer)
    return max(file.file_bytes + file.external_bytes, 4 * numbers)


def input_numbers(inputs: Sequence[Sequence[int | None]], *, batch: int, free_size: int) -> int:
    """How many numbers one batch of inputs of these shapes has; None is a free size."""
    return sum(
        math.prod((batch if place == 0 else free_size) if dim is None else dim for place, dim in enumerate(shape))
        for shape in inputs
    )


def memory_limit_mb(
    *, file_bytes: int, inputs: Sequence[Sequence[int | None]], batch: int, free_size: int, providers: Sequence[str]
) -> int:
    """The limit for a file with these input shapes; None is a free size: the first is the batch, others `free_size`."""
    numbers_mb = input_numbers(inputs, batch=batch, free_size=free_size) / 2**20
    file_mb = file_bytes / 2**20
    total = BASE_MB + TIMES_FILE * file_mb
    total += min(INPUT_BYTES * numbers_mb, INPUTS_MOST_MB)
    total += min(COMPUTED_BYTES * numbers_mb, COMPUTED_TIMES_FILE * file_mb, COMPUTED_MOST_MB)
    for name in providers:
        row = BY_NAME.get(name)
        # A row that is none of ours is another tool, measured beside them.
        large = row is None or row.gpu or row.needs_card
        if has_nvidia_hardware() if name == AUTO else large:
            total += LARGE_PROVIDER_MB
        elif name != CATALOG[0].name:
            total += FURTHER_PROVIDER_MB + FURTHER_PROVIDER_TIMES_FILE * file_mb
    return math.ceil(total)
