"""The one table of operators, by domain and name."""

from resnetx.verification.evaluation.call import MICROSOFT, Operator
from resnetx.verification.evaluation.operators import (
    activation,
    convolution,
    elementwise,
    indexing,
    microsoft,
    normalization,
    pooling,
    quantization,
    quantized_layers,
    random,
    reduction,
    resize,
    shape,
)

_STANDARD = (
    *(elementwise, activation, convolution, pooling, reduction, normalization),
    *(shape, indexing, resize, quantization, quantized_layers, random),
)
OPERATORS: dict[tuple[str, str], Operator] = {
    **{("", name): function for module in _STANDARD for name, function in module.TABLE.items()},
    **{(MICROSOFT, name): function for name, function in microsoft.TABLE.items()},
    **{
        (MICROSOFT, name): function
        for module in (normalization, quantization, quantized_layers)
        for name, function in module.MICROSOFT_TABLE.items()
    },
}
