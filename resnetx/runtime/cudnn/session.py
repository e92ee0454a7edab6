"""A session of cuDNN's fused kernels: a file's network on the GPU, recorded as a CUDA graph for each shape."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from resnetx.base.precisions import coarsest
from resnetx.errors import GraphError, UsageError
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.runtime.cudnn import plans
from resnetx.runtime.cudnn.convolutions import Ways
from resnetx.runtime.cudnn.network import Network
from resnetx.runtime.cudnn.provider import CudnnProvider
from resnetx.runtime.file_boundary import batch_name, dimension, real_inputs
from resnetx.runtime.file_precision import parse_graph, stored_precision
from resnetx.runtime.fixes import unavailable
from resnetx.runtime.pytorch.runner import DEVICES, allow_tf32, cuda_problem, process_settings
from resnetx.runtime.runner import Call, Facts, Feeds, Opening, Runner, TensorInfo

# A run that is recorded must not search for kernels or allocate what stays.
RUNS_BEFORE_RECORDING = 3
SWITCH = ("0", "1")


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A CUDA graph with the inputs that it reads and the outputs that it writes."""

    graph: "torch.cuda.CUDAGraph"
    inputs: list[Tensor]
    outputs: list[Tensor]

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        for place, tensor in zip(self.inputs, inputs, strict=True):
            place.copy_(tensor)
        self.graph.replay()
        return self.outputs


class CudnnSession(Runner):
    """A network on the GPU. With `graph`, one caller at a time: all runs of a shape share its buffers."""

    def __init__(
        self, network: Network, facts: Facts, *, device: torch.device, tf32: bool, graph: bool, on_device: bool
    ) -> None:
        super().__init__(facts)
        self._network = network
        self._device = device
        self._tf32 = tf32
        self._graph = graph
        self._on_device = on_device
        self._recorded: dict[tuple[torch.Size, ...], Recorded] = {}
        self._restore = process_settings()
        allow_tf32(tf32)
        torch.backends.cudnn.benchmark = True

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        results = self._run(self._placed(feeds))
        # cpu() copies from the GPU, so that the next run does not overwrite what was returned.
        return {
            info.name: value.cpu().numpy() if value.is_cuda else value.numpy().copy()
            for info, value in zip(self.outputs, results, strict=True)
        }

    def bind(self, feeds: Feeds) -> Call:
        if not self._on_device:
            return partial(self.run, dict(feeds))
        tensors = self._placed(feeds)

        def call() -> None:
            self._run(tensors)
            self._wait()

        return call

    @property
    def ways(self) -> Ways:
        return self._network.ways

    def close(self) -> None:
        self._recorded.clear()
        del self._network
        self._restore()

    def _placed(self, feeds: Feeds) -> list[Tensor]:
        arrays = [feeds[info.name] for info in self.inputs]
        for info, array in zip(self.inputs, arrays, strict=True):
            if array.dtype != info.dtype:
                raise GraphError(f"The input {info.name!r} takes an array of {info.dtype}, and found {array.dtype}.")
        return [torch.from_numpy(np.ascontiguousarray(array)).to(self._device) for array in arrays]

    def _run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        try:
            with torch.inference_mode():
                if not self._graph:
                    return self._network(inputs)
                shapes = tuple(tensor.shape for tensor in inputs)
                if shapes not in self._recorded:
                    self._recorded[shapes] = self._record(inputs)
                return self._recorded[shapes].run(inputs)
        except GraphError:
            raise
        except Exception as error:  # torch raises types of its own, with no base below Exception
            text = next(iter(str(error).splitlines()), type(error).__name__)[:300]
            raise GraphError(f"cuDNN could not run the model: {text}") from error

    def _record(self, inputs: Sequence[Tensor]) -> Recorded:
        # Another runner of this process may have changed it since.
        allow_tf32(self._tf32)
        still = [tensor.clone() for tensor in inputs]
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(RUNS_BEFORE_RECORDING):
                self._network(still)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = self._network(still)
        return Recorded(graph=graph, inputs=still, outputs=outputs)

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def open_session(provider: CudnnProvider, source: Path | bytes, opening: Opening) -> CudnnSession:
    """Read a file or a serialized model, and put it on the GPU."""
    begin = time.perf_counter()
    options = _options(provider, opening)
    problem = cuda_problem()
    if problem:
        raise unavailable(provider, problem)
    graph = read_onnx(source).graph if isinstance(source, Path) else parse_graph(source)
    device, tf32 = DEVICES["cuda"], options["tf32"] == "1"
    try:
        network = Network(graph, device, search=options["search"] == "1")
    except GraphError as error:
        raise GraphError(f"cuDNN cannot run the model: {error}.") from error
    stored = stored_precision(graph)
    facts = Facts(
        provider=provider.name,
        inputs=tuple(_tensor_info(value, graph, opening.batch) for value in real_inputs(graph)),
        outputs=tuple(_tensor_info(value, graph, opening.batch) for value in graph.output),
        placement=((provider.name, len(graph.node)),),
        kernels=tuple(network.kinds().most_common()),
        effective_precision=coarsest(stored, "tf32" if tf32 and device.type == "cuda" else "fp32"),
        options={**options, "torch": torch.__version__, "nvidia-cudnn-frontend": plans.version()},
        opened_s=time.perf_counter() - begin,
    )
    recorded = options["cuda_graph"] == "1" and device.type == "cuda"
    return CudnnSession(network, facts, device=device, tf32=tf32, graph=recorded, on_device=opening.on_device)


def _options(provider: CudnnProvider, opening: Opening) -> dict[str, str]:
    """The options in force. A graph needs one caller, and a precision that is pinned allows no TF32."""
    if opening.precision == "bf16":
        raise UsageError(f"The provider {provider.name} cannot compute in bf16; choose torch or tensorrt.")
    known = {
        "tf32": str(int(opening.precision != "fp32")),
        "cuda_graph": str(int(opening.callers == 1)),
        "search": "1",
    }
    for key, value in opening.options.items():
        if key not in known:
            raise UsageError(f"The provider {provider.name} has no option {key[:80]!r}; it has {', '.join(known)}.")
        if value not in SWITCH:
            raise UsageError(f"The option {key} is 0 or 1; found {value[:40]!r}.")
    if opening.options.get("cuda_graph") == "1" and opening.callers > 1:
        raise UsageError("A CUDA graph is for one caller at a time: leave cuda_graph or --concurrency out.")
    return known | dict(opening.options)


def _tensor_info(value: onnx.ValueInfoProto, graph: onnx.GraphProto, batch: int | None) -> TensorInfo:
    sizes = [dimension(value, axis) for axis in range(len(value.type.tensor_type.shape.dim))]
    name, kind = batch_name(graph), value.type.tensor_type.elem_type
    try:
        # An inner tensor that was made an output has no type; it has that of the weights.
        inner = np.float16 if stored_precision(graph) == "fp16" else np.float32
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind) if kind else inner)
    except KeyError as error:
        raise GraphError(f"cuDNN cannot run the model: the type of {value.name[:60]!r} is not supported.") from error
    fixed = [batch if batch is not None and size == name else size for size in sizes]
    return TensorInfo(value.name, dtype, tuple(fixed))
