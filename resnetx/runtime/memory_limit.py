"""How much memory a file of unknown origin may take when it is run, derived from what an honest file of its size takes.

800 MB, 12 times the file, and half a kilobyte for every number in the largest batch of its inputs, but for that at most
400 times the file and 6 GB; 1.5 GB and 6 times the file for every further provider, and 8 GB for one on a GPU.
"""

import math
from collections.abc import Sequence

from resnetx.base.vocabulary import AUTO
from resnetx.runtime.catalog import BY_NAME, CATALOG

BASE_MB = 800
TIMES_FILE = 12
# ResNet-50 at 224 pixels keeps some 100 bytes for every number of its input in float32, and PyTorch's float64 doubles
# them; convolutions need room to work in.
BYTES_FOR_EACH_NUMBER = 512
INPUT_TIMES_FILE = 400
INPUT_MOST_MB = 6000
FURTHER_PROVIDER_MB = 1500
FURTHER_PROVIDER_TIMES_FILE = 6
GPU_PROVIDER_MB = 8000


def memory_limit_mb(
    *, file_bytes: int, inputs: Sequence[Sequence[int | None]], batch: int, free_size: int, providers: Sequence[str]
) -> int:
    """The limit for a file with these input shapes; None is a free size: the first is the batch, others `free_size`."""
    numbers = sum(
        math.prod((batch if place == 0 else free_size) if dim is None else dim for place, dim in enumerate(shape))
        for shape in inputs
    )
    file_mb = file_bytes / 2**20
    for_inputs_mb = min(BYTES_FOR_EACH_NUMBER * numbers / 2**20, INPUT_TIMES_FILE * file_mb, INPUT_MOST_MB)
    total = BASE_MB + TIMES_FILE * file_mb + for_inputs_mb
    for name in providers:
        if name == AUTO or BY_NAME[name].gpu:
            total += GPU_PROVIDER_MB
        elif name != CATALOG[0].name:
            total += FURTHER_PROVIDER_MB + FURTHER_PROVIDER_TIMES_FILE * file_mb
    return math.ceil(total)
