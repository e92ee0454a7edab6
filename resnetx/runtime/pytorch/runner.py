"""Runs PyTorch modules, eager or compiled, with the same interface as sessions."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from resnetx.errors import GraphError, UsageError
from resnetx.machine.threads import default_threads
from resnetx.runtime.fixes import unavailable
from resnetx.runtime.pytorch.provider import TorchProvider
from resnetx.runtime.runner import Call, Facts, Feeds, Opening, Runner

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
DEVICES = {name: torch.device(name) for name in ("cpu", "cuda")}


@dataclass(frozen=True, kw_only=True)
class TorchOptions:
    """How a module is run. Channels-last is the layout of the fast convolutions of oneDNN and cuDNN.

    `tf32` is for GPUs, where it is on by default, as in ONNX Runtime and in PyTorch's own convolutions.
    """

    precision: str = "fp32"
    memory_format: str = "channels_last"
    mode: str = "default"
    device: str = "cpu"
    tf32: str | None = None

    @classmethod
    def parse(cls, options: Mapping[str, str], *, provider: TorchProvider) -> "TorchOptions":
        choices: dict[str, Sequence[str]] = {
            "precision": tuple(DTYPES),
            "memory_format": tuple(LAYOUTS),
            "device": tuple(DEVICES),
            "tf32": ("0", "1"),
        }
        if provider.compiled:
            choices["mode"] = MODES
        for key, value in options.items():
            if key not in choices:
                raise UsageError(
                    f"The provider {provider.name} has no option {key[:80]!r}; it has {', '.join(choices)}."
                )
            if value not in choices[key]:
                raise UsageError(f"The option {key} is one of {', '.join(choices[key])}; found {value[:40]!r}.")
        if options.get("tf32") and options.get("device") != "cuda":
            raise UsageError("The option tf32 is for GPUs: give device=cuda with it, or leave it out.")
        return cls(**options)

    @property
    def uses_tf32(self) -> bool:
        return self.device == "cuda" and self.tf32 != "0"

    @property
    def effective_precision(self) -> str:
        return "tf32" if self.precision == "fp32" and self.uses_tf32 else self.precision


class TorchRunner(Runner):
    """A module in evaluation mode. A run waits for its results."""

    def __init__(
        self, module: nn.Module, provider: TorchProvider, options: TorchOptions, opening: Opening, begin: float
    ) -> None:
        self._row = provider
        threads = opening.threads or default_threads()
        self._dtype = DTYPES[options.precision]
        self._layout = LAYOUTS[options.memory_format]
        self._device = DEVICES[options.device]
        self._on_device = opening.on_device
        # A GPU computes asynchronously.
        self._finish: Callable[[], object] = torch.cuda.synchronize if options.device == "cuda" else _nothing
        own = module.to(device=self._device, dtype=self._dtype).eval()
        own.to(memory_format=self._layout)  # type: ignore[call-overload]  # torch's stub lacks this form
        self._call: Callable[..., Any] = own
        if provider.compiled:
            # A graph break would silently run a part of the network in Python: it is an error instead.
            self._call = torch.compile(own, fullgraph=True, dynamic=False, mode=options.mode)
        layers = sum(1 for child in own.modules() if not any(True for _ in child.children()))
        super().__init__(
            Facts(
                provider=provider.name,
                inputs=opening.inputs,
                outputs=opening.outputs,
                placement=((provider.name, layers),),
                effective_precision=options.effective_precision,
                options=_in_force(options, threads, provider),
                opened_s=time.perf_counter() - begin,
            )
        )
        # Last, when nothing can fail any more: only a runner that is open can restore them.
        self._restore = process_settings()
        torch.set_num_threads(threads)
        if options.device == "cuda":
            allow_tf32(options.uses_tf32)
            # Every shape is run many times: the fastest kernels are searched for once, as ONNX Runtime does.
            torch.backends.cudnn.benchmark = True

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        return self._arrays(self._run(self._tensors(feeds)))

    def bind(self, feeds: Feeds) -> Call:
        """Each call copies the arrays from host memory or, with `on_device`, uses tensors that were converted once."""
        if not self._on_device:
            return partial(self.run, dict(feeds))
        tensors = self._tensors(feeds)

        def call() -> None:
            self._run(tensors)
            self._finish()

        return call

    def close(self) -> None:
        del self._call
        self._restore()

    def _tensors(self, feeds: Feeds) -> list[Tensor]:
        return [self._tensor(torch.from_numpy(feeds[info.name])) for info in self.inputs]

    def _tensor(self, tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor.to(self._device)
        layout = self._layout if tensor.dim() == 4 else torch.contiguous_format
        # Copy before converting: a GPU converts and transposes faster than a CPU.
        return tensor.to(self._device).to(dtype=self._dtype, memory_format=layout)

    def _run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        try:
            with torch.inference_mode():
                result = self._call(*tensors)
        except Exception as error:  # torch and its compiler raise types of their own, with no base below Exception
            self._explain(error)
        return [result] if isinstance(result, Tensor) else pytree.tree_leaves(result)

    def _explain(self, error: Exception) -> NoReturn:
        message = next(iter(str(error).split("\n")), "").strip()[:300] or type(error).__name__
        if self._row.compiled:
            problem = compile_problem()
            if problem:
                raise unavailable(self._row, problem) from error
        raise GraphError(f"PyTorch could not run the model ({self.provider}): {message}") from error

    def _arrays(self, results: Sequence[Tensor]) -> dict[str, np.ndarray]:
        return {
            info.name: (leaf.float() if leaf.is_floating_point() else leaf).cpu().numpy()
            for info, leaf in zip(self.outputs, results, strict=True)
        }


def open_torch(build: Callable[[], nn.Module], provider: TorchProvider, opening: Opening) -> TorchRunner:
    """A runner for the module that `build` makes."""
    begin = time.perf_counter()
    options = torch_options(provider, opening)
    return TorchRunner(build(), provider, options, opening, begin)


def torch_options(provider: TorchProvider, opening: Opening) -> TorchOptions:
    """The options of an opening, with which the module can run here."""
    own = {"precision": "bf16"} if opening.precision == "bf16" else {}
    options = TorchOptions.parse(own | dict(opening.options), provider=provider)
    problem = cuda_problem() if options.device == "cuda" else None
    if problem:
        raise unavailable(replace(provider, gpu=True), problem)
    return options


def _in_force(options: TorchOptions, threads: int, provider: TorchProvider) -> dict[str, str]:
    found = {
        "precision": options.precision,
        "memory_format": options.memory_format,
        "device": options.device,
        "intra_op_num_threads": str(threads),
        "torch": torch.__version__,
    }
    if options.device == "cuda":
        found |= {"tf32": str(int(options.uses_tf32)), "gpu": torch.cuda.get_device_name()}
    return found | ({"mode": options.mode} if provider.compiled else {})


def process_settings() -> Callable[[], None]:
    """A function that restores the process-wide settings to their current values."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    tf32, search = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark

    def restore() -> None:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = search

    return restore


def cuda_problem() -> str | None:
    """Why PyTorch cannot use a GPU here, or None if it can."""
    if torch.version.cuda is None:
        return f"this build of PyTorch, {torch.__version__}, does not support CUDA"
    return None if torch.cuda.is_available() else f"PyTorch {torch.__version__} finds no GPU"


def allow_tf32(allowed: bool) -> None:
    """Set TF32 for the whole process, for matrix products and convolutions, which differ in PyTorch's defaults."""
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


def _nothing() -> None:
    pass


def compile_problem() -> str | None:
    """Why torch.compile does not work here, tested by compiling one function; None if it works."""
    try:
        answer = torch.compile(lambda x: (x * 2 + 1).relu(), fullgraph=True, dynamic=False)(torch.ones(8))
    except Exception as error:  # as above
        message = next(iter(str(error).split("\n")), "").strip()[:300]
        return f"it cannot compile a simple function ({message}). It needs a C++ compiler: install g++."
    return None if torch.equal(answer, torch.full((8,), 3.0)) else "its compiled code returns wrong results."
