"""TensorRT by itself, through its own Python package: the row that ONNX Runtime's TensorRT provider is compared with.

As NVIDIA's trtexec runs it for latency: an engine for one batch size, in the types of the file, replayed as a CUDA
graph.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from resnetx.runtime.runner import Call, Facts, Feeds, Runner, TensorInfo

# A run that is recorded must not allocate what stays.
RUNS_BEFORE_RECORDING = 3


def problem() -> str | None:
    """Why it cannot run here; None if it can."""
    try:
        import tensorrt  # noqa: F401
    except Exception as error:  # a library that is missing, in one of several ways
        return f"{type(error).__name__}: {error}"
    return None


class TensorrtRunner(Runner):
    """An engine with its inputs and outputs at fixed addresses, recorded as a CUDA graph."""

    def __init__(self, model: Path, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo], batch: int) -> None:
        import tensorrt

        begin = time.perf_counter()
        inputs, outputs = (tuple(_sized(info, batch) for info in side) for side in (inputs, outputs))
        plan = build(tensorrt, model, inputs)
        super().__init__(
            Facts(
                provider="TensorRT",
                inputs=inputs,
                outputs=outputs,
                placement=(("TensorRT", 1),),
                effective_precision="as in the file",
                options={"tensorrt": tensorrt.__version__},
                opened_s=time.perf_counter() - begin,
            )
        )
        self._runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        self._context = self._engine.create_execution_context()
        self._buffers = {info.name: _buffer(info) for info in (*inputs, *outputs)}
        for info in inputs:
            self._context.set_input_shape(info.name, info.shape)
        for name, buffer in self._buffers.items():
            self._context.set_tensor_address(name, buffer.data_ptr())
        self._graph = self._recorded()

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        self.bind(feeds)()
        return {info.name: self._buffers[info.name].cpu().numpy() for info in self.outputs}

    def bind(self, feeds: Feeds) -> Call:
        """Copy the inputs to the GPU, and return a run on what was copied last, as trtexec times it."""
        for info in self.inputs:
            self._buffers[info.name].copy_(torch.from_numpy(np.ascontiguousarray(feeds[info.name])))
        return self._replay

    def close(self) -> None:
        del self._graph, self._context, self._engine, self._runtime

    def _replay(self) -> None:
        self._graph.replay()
        torch.cuda.synchronize()

    def _recorded(self) -> "torch.cuda.CUDAGraph":
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with torch.cuda.stream(stream):
            for _ in range(RUNS_BEFORE_RECORDING):
                self._enqueue()
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._enqueue()
        return graph

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise RuntimeError("TensorRT could not run the engine")


def build(tensorrt: ModuleType, model: Path, inputs: Sequence[TensorInfo]) -> Any:
    """A serialized engine for inputs of these sizes, whose types are those of the file."""
    builder = tensorrt.Builder(tensorrt.Logger(tensorrt.Logger.ERROR))
    network = builder.create_network(1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = tensorrt.OnnxParser(network, tensorrt.Logger(tensorrt.Logger.ERROR))
    if not parser.parse_from_file(str(model)):
        raise RuntimeError(f"TensorRT cannot read {model.name}: {parser.get_error(0)}")
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    for info in inputs:
        profile.set_shape(info.name, info.shape, info.shape, info.shape)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError(f"TensorRT built no engine for {model.name}")
    return plan


def _sized(info: TensorInfo, batch: int) -> TensorInfo:
    return TensorInfo(info.name, info.dtype, tuple(batch if isinstance(size, str) else size for size in info.shape))


def _buffer(info: TensorInfo) -> torch.Tensor:
    return torch.from_numpy(np.zeros(info.shape, info.dtype)).cuda()
