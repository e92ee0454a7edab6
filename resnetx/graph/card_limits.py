"""What a card may claim: values in range that fit each other and the file, which bounds what they can cost."""

import math

import onnx

from resnetx.base.precisions import PRECISIONS
from resnetx.errors import UsageError
from resnetx.graph.counts import graphs_of, required_inputs
from resnetx.graph.reading.tensor_data import elements, tensors_of
from resnetx.model.config import ResNetConfig
from resnetx.model.preprocessing import SMALLEST_CROP, Preprocessing, top_k
from resnetx.model.size import weight_count

MAX_IMAGE_SIZE = 8192
MAX_CLASSES = 1_000_000
MAX_SCALE = 1e6
# The network of a card may have so many times the numbers and nodes of its file, and as many weights more.
ROOM = 4
FREE_WEIGHTS = 1_000_000


def range_problem(
    *,
    config: ResNetConfig | None,
    image_size: int | None,
    classes: int | None,
    labels: tuple[str, ...] | None,
    preprocessing: Preprocessing | None,
    output: str,
    precision: str,
) -> str | None:
    """What is wrong with a card's values, or None."""
    if image_size is not None and not 1 <= image_size <= MAX_IMAGE_SIZE:
        return f"it says that images have {image_size} pixels a side; 1 to {MAX_IMAGE_SIZE} are possible"
    if classes is not None and not 1 <= classes <= MAX_CLASSES:
        return f"it says that there are {classes} classes; 1 to {MAX_CLASSES} are possible"
    if labels is not None and len(labels) != classes:
        return f"it has {len(labels)} labels for {classes} classes"
    if precision not in PRECISIONS:
        return f"it says that the precision is {precision!r}"
    if config is not None:
        if config.classes != classes:
            return f"it says that there are {classes} classes, and {config.classes} in its configuration"
        if image_size is None or preprocessing is None:
            return "it describes a network, but not the size and the preprocessing of its images"
    try:
        if top_k(output) > (classes or 1) and config is not None:
            return f"its output is {output} of {classes} classes"
    except UsageError as error:
        return str(error) if config is not None else None
    return None if preprocessing is None else _preprocessing_problem(preprocessing)


def fit_problem(model: onnx.ModelProto, config: ResNetConfig | None, image_size: int | None) -> str | None:
    """How a card and its file contradict each other, or None. A network larger than the file is never built."""
    if config is not None:
        graphs = list(graphs_of(model.graph))
        stored = sum(elements(tensor) for graph in graphs for tensor in tensors_of(graph))
        needed = weight_count(config)
        # A file that lacks some of its weights is verified, and fails; one that describes a giant is not.
        if needed > ROOM * stored + FREE_WEIGHTS:
            return f"it describes {config.name} with {needed:,} weights, but the file holds {stored:,} numbers"
        nodes = sum(len(graph.node) for graph in graphs)
        if config.depth > ROOM * nodes:
            return f"it describes a network of {config.depth} layers, but the file has {nodes} nodes"
    if image_size is not None and config is not None:
        return _input_problem(model, image_size)
    return None


def _input_problem(model: onnx.ModelProto, image_size: int) -> str | None:
    inputs = required_inputs(model)
    kind = inputs[0].type.tensor_type if len(inputs) == 1 else None
    if kind is None or (kind.HasField("shape") and len(kind.shape.dim) != 4):
        return "it describes a network with one image as input, but the file has other inputs"
    fixed = {dim.dim_value for dim in kind.shape.dim[1:] if dim.HasField("dim_value")} - {3}
    if fixed - {image_size}:
        return f"it says that images have {image_size} pixels a side, but the file takes {max(fixed - {image_size})}"
    return None


def _preprocessing_problem(preprocessing: Preprocessing) -> str | None:
    values = (preprocessing.scale, *preprocessing.mean, *preprocessing.std)
    if not all(math.isfinite(value) and abs(value) <= MAX_SCALE for value in values):
        return "the numbers of its preprocessing are not finite, or are too large"
    if not SMALLEST_CROP <= preprocessing.crop <= 1:
        return (
            f"the crop of its preprocessing is {preprocessing.crop:g} of the image; {SMALLEST_CROP} to 1 are possible"
        )
    if preprocessing.scale <= 0 or min(preprocessing.std) <= 0:
        return "the scale and the deviations of its preprocessing must be above 0"
    if min(preprocessing.scale, *preprocessing.std) < 1 / MAX_SCALE:
        return "the scale or a deviation of its preprocessing is too small"
    return None
