"""The range of each tensor that 256 steps will cover, measured on calibration samples one at a time."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, get_args

import numpy as np
import onnx

from resnetx.conversion.quantization.histogram import Histogram
from resnetx.errors import UsageError
from resnetx.graph.layers import expose
from resnetx.runtime.catalog import open_runner

Method = Literal["minmax", "entropy", "percentile"]
METHODS: tuple[Method, ...] = get_args(Method)
# Of the values of a tensor, so many percent are within the range of the method percentile.
PERCENTILE = 99.99
Ranges = dict[str, tuple[float, float]]


class RangeMeter:
    """Runs a model whose tensors are exposed, and collects the ranges of all methods from the same runs."""

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[str], *, symmetric: bool) -> None:
        self._runner = open_runner(expose(model, *tensors).SerializeToString(), optimize=False)
        self._tensors = tensors
        self._symmetric = symmetric
        self._lowest: dict[str, float] = {}
        self._highest: dict[str, float] = {}
        self._histograms: dict[str, Histogram] = {}

    def watch(self, feeds: Iterable[np.ndarray], step: Callable[[int], None]) -> None:
        (info,) = self._runner.inputs
        for number, feed in enumerate(feeds):
            step(number)
            found = {info.name: feed} | self._runner.run({info.name: feed})
            for name in self._tensors:
                if found[name].dtype == np.float32 and found[name].size:
                    self._add(name, found[name])

    def _add(self, name: str, array: np.ndarray) -> None:
        low, high = float(array.min()), float(array.max())
        if not np.isfinite([low, high]).all():
            raise UsageError(
                f"The tensor {name[:60]!r} is NaN or infinite on a calibration sample; INT8 cannot hold that. Check "
                "the inputs, and the file with resnetx verify."
            )
        self._lowest[name] = min(self._lowest.get(name, np.inf), low)
        self._highest[name] = max(self._highest.get(name, -np.inf), high)
        self._histograms.setdefault(name, Histogram()).add(array, max(-low, high))

    def ranges(self, method: Method) -> Ranges:
        return {name: self._range(name, method) for name in self._lowest}

    def _range(self, name: str, method: Method) -> tuple[float, float]:
        """Zero is always in it, because padding is zero."""
        low, high = min(self._lowest[name], 0.0), max(self._highest[name], 0.0)
        if method != "minmax":
            histogram = self._histograms[name]
            cut = histogram.entropy() if method == "entropy" else histogram.percentile(PERCENTILE)
            low, high = max(low, -cut), min(high, cut)
        largest = max(-low, high)
        return (-largest, largest) if self._symmetric else (low, high)
