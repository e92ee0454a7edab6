"""OpenVINO as an engine of the catalog: opens models on its device, and tests it."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from resnetx.errors import GraphError
from resnetx.machine.facts import read_processor
from resnetx.runtime.convolution_probe import measured_precision, one_convolution, problem_with
from resnetx.runtime.openvino.profile import open_profiled
from resnetx.runtime.openvino.provider import OpenVINOProvider
from resnetx.runtime.openvino.session import open_session
from resnetx.runtime.runner import Engine, Opening, Runner, Source

MAKER = "Intel"


class OpenVINO(Engine):
    """OpenVINO's own runtime on one of its devices."""

    def __init__(self, provider: OpenVINOProvider) -> None:
        self._provider = provider

    def why_not(self) -> str | None:
        return problem_with(self)

    def default_precision(self) -> str:
        with closing(self.open(one_convolution(), Opening(precision="default"))) as runner:
            return measured_precision(lambda array: runner.run({"x": array})["y"])

    def preferred(self, precision: str) -> bool:
        """For INT8, for processors of OpenVINO's maker, and where it computes float32 layers in less.

        Elsewhere ONNX Runtime's kernels are as fast or faster: by 8 % for a ResNet-50 in fp32 on an AMD EPYC with AVX2.
        """
        return precision == "int8" or read_processor().vendor == MAKER or self.default_precision() != "fp32"

    def open(self, source: Source, opening: Opening) -> Runner:
        """OpenVINO runs all of a model or nothing; if fallback is allowed, ONNX Runtime runs what it cannot."""
        assert isinstance(source, Path | bytes)
        if opening.profile:
            return open_profiled(self._provider, source, opening)
        try:
            return open_session(self._provider, source, opening)
        except GraphError as error:
            if not opening.allow_fallback:
                raise
            return _open_fallback(source, opening, reason=str(error), provider=self._provider.name)


def _open_fallback(source: Path | bytes, opening: Opening, *, reason: str, provider: str) -> Runner:
    from resnetx.runtime.ort.providers import CPU
    from resnetx.runtime.ort.session import Session
    from resnetx.runtime.ort.session import open_session as open_onnxruntime

    opened = open_onnxruntime(CPU, source, replace(opening, options={}))
    return Session(opened.native, replace(opened.facts, provider=provider, fallback=reason))
