"""A session that records the time of every kernel, which OpenVINO counts in each run."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from resnetx.runtime.numbered_nodes import numbers_in
from resnetx.runtime.openvino.kernels import INT8, Kernel, kernels_of
from resnetx.runtime.openvino.library import ov
from resnetx.runtime.openvino.properties import PRECISIONS
from resnetx.runtime.openvino.provider import OpenVINOProvider
from resnetx.runtime.openvino.session import OpenVINOSession, compile_session
from resnetx.runtime.runner import Call, Facts, Feeds, LayerTimes, Opening

COUNTED = {"PERF_COUNT": "YES"}
# What computes nothing, such as a change of shape.
NO_KERNEL = "unknown"


class ProfiledSession(OpenVINOSession):
    """A session of a model that was compiled with counters.

    What OpenVINO reports is the mean of all runs since the model was compiled, in whole microseconds. That of the runs
    that count follows from the means before and after them; it is exact to about a microsecond if these are most runs.
    """

    def __init__(self, compiled: "ov.CompiledModel", facts: Facts) -> None:
        super().__init__(compiled, facts)
        self._runs = self._warmup = 0
        self._before: dict[str, float] = {}

    def start_profile(self) -> None:
        self._warmup, self._before = self._runs, self._means_ms()

    def layer_times(self) -> tuple[LayerTimes, ...]:
        after, runs = self._means_ms(), self._runs - self._warmup

        def time_ms(name: str) -> float:
            before_ms, after_ms = self._before.get(name, 0.0), after.get(name, 0.0)
            return max(0.0, self._runs * after_ms - self._warmup * before_ms) / runs

        return tuple(
            _layer(kernel, time_ms(kernel.title))
            for kernel in kernels_of(self._compiled)
            if not kernel.name.startswith(NO_KERNEL)
        )

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        self._runs += 1
        return super().run(feeds)

    def bind(self, feeds: Feeds) -> Call:
        return partial(self.run, dict(feeds))

    def _means_ms(self) -> dict[str, float]:
        return {each.node_name: each.real_time.total_seconds() * 1e3 for each in self._request().get_profiling_info()}


def open_profiled(provider: OpenVINOProvider, model: Path | bytes, opening: Opening) -> ProfiledSession:
    """Compile a model with counters, and never by way of the cache, which holds models without."""
    counted = replace(opening, options={**opening.options, **COUNTED}, digest=None)
    return ProfiledSession(*compile_session(provider, model, counted))


def _layer(kernel: Kernel, time_ms: float) -> LayerTimes:
    return LayerTimes(
        name=kernel.title,
        nodes=numbers_in(kernel.layers),
        operator=kernel.kind,
        kernel=kernel.name,
        precision="int8" if kernel.precision in INT8 else PRECISIONS.get(kernel.precision, kernel.precision),
        moved_bytes=kernel.moved_bytes,
        times_ms=(time_ms,),
    )
