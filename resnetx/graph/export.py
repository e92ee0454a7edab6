"""Exports a torch module to an ONNX graph, and checks its opset, IR version and dimensions."""

import io
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast
from unittest.mock import patch

import onnx
import torch
from torch import Tensor, nn

from resnetx.base.loggers import silenced, without_stderr
from resnetx.base.telemetry import without_telemetry
from resnetx.base.vocabulary import EXPORTERS, Exporter
from resnetx.errors import GraphError, UsageError
from resnetx.graph.exporter_error import depends_on_values, explain
from resnetx.graph.node_names import ModuleTree, name_nodes
from resnetx.model.deploy import Deployed
from resnetx.model.results import named_tensors

DEFAULT_OPSET = 20
# torch 2.13: the dynamo exporter writes 18 if less is requested; the TorchScript one supports up to 23.
OPSETS: dict[Exporter, tuple[int, int]] = {"dynamo": (18, 28), "torchscript": (13, 23)}
OLDEST_OPSET = 13
# The newest IR version that ONNX Runtime reads; an exporter may write a newer one.
MAX_IR_VERSION = 13
# The name of the batch dimension.
BATCH = "batch"
VARIABLE_OF_TORCH = "TORCHINDUCTOR_CACHE_DIR"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The names of the graph's inputs and outputs; `free` are the names of each input's free dimensions."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    free: tuple[Mapping[int, str], ...]


def choose_exporter(exporter: Exporter | None, opset: int, newest: int) -> Exporter:
    """The exporter that can write `opset`, dynamo if both can; the user's choice is checked."""
    if exporter is not None and exporter not in EXPORTERS:
        raise UsageError(f"There is no exporter {exporter!r}; choose {' or '.join(EXPORTERS)}.")
    if not OLDEST_OPSET <= opset <= newest:
        raise UsageError(
            f"Opset {opset} cannot be exported: resnetx writes {OLDEST_OPSET} to {newest}, the newest that the "
            "installed ONNX Runtime loads."
        )
    able = [name for name, (low, high) in OPSETS.items() if low <= opset <= high]
    if exporter is None:
        return able[0]
    if exporter not in able:
        low, high = OPSETS[exporter]
        raise UsageError(
            f"The {exporter} exporter writes opsets {low} to {high}, but {opset} was requested; leave --exporter out "
            f"to use {able[0]}."
        )
    return exporter


def export_module(
    module: nn.Module, example: Sequence[Tensor], *, signature: Signature, opset: int, exporter: Exporter
) -> onnx.ModelProto:
    """Trace `module` with `example` and return the graph, its nodes named by module path."""
    traced = module if isinstance(module, Deployed) else Flat(module)
    try:
        with _quiet(), torch.no_grad():
            model = (_dynamo if exporter == "dynamo" else _torchscript)(traced, tuple(example), signature, opset)
    except Exception as error:  # the exporters raise many exception types
        raise GraphError(
            f"The {exporter} exporter could not turn {type(module).__name__} into ONNX opset {opset}: "
            f"{explain(error)}. {_advice(error, exporter)}"
        ) from error
    name_nodes(model, _tree(traced))
    _check(model, example, signature, opset)
    return model


def _advice(error: Exception, exporter: Exporter) -> str:
    if depends_on_values(error):
        # The other exporter takes it, and writes what happened for the example.
        return "Compute both ways and choose with torch.where, or leave the decision to the caller."
    other = next(name for name in EXPORTERS if name != exporter)
    return f"Change that, or try --exporter {other}."


class Flat(nn.Module):
    """A module of the user, with its results as a tuple of tensors: exporters differ in what else they take."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        # The exporters leave a module in the mode that it was in.
        self.training = network.training

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(named_tensors(self.network(*inputs)).values())


def _tree(module: Deployed | Flat) -> ModuleTree:
    leaves = {path: not any(True for _ in child.children()) for path, child in module.named_modules()}
    return ModuleTree(name=type(module.network).__name__, leaves=leaves, wrapper="network")


def _dynamo(module: nn.Module, example: tuple[Tensor, ...], signature: Signature, opset: int) -> onnx.ModelProto:
    batch = torch.export.Dim(BATCH)
    # A size that is only named may be bound by the module: to be even, say.
    free = tuple({axis: batch if axis == 0 else name for axis, name in each.items()} for each in signature.free)
    shapes = (free,) if isinstance(module, Flat) else free
    program = torch.onnx.export(
        module,
        example,
        dynamo=True,
        verbose=False,
        opset_version=opset,
        input_names=list(signature.inputs),
        output_names=list(signature.outputs),
        dynamic_shapes=shapes if any(free) else None,
    )
    assert program is not None
    return program.model_proto


def _torchscript(module: nn.Module, example: tuple[Tensor, ...], signature: Signature, opset: int) -> onnx.ModelProto:
    stream = io.BytesIO()
    torch.onnx.export(
        module,
        example,
        stream,  # type: ignore[arg-type]  # this exporter accepts streams, but is annotated with paths only
        dynamo=False,
        verbose=False,
        opset_version=opset,
        input_names=list(signature.inputs),
        output_names=list(signature.outputs),
        dynamic_axes={
            **dict(zip(signature.inputs, signature.free, strict=True)),
            **_free_in_outputs(module, example, signature),
        },
    )
    return cast(onnx.ModelProto, onnx.ModelProto.FromString(stream.getvalue()))


def _free_in_outputs(module: nn.Module, example: Sequence[Tensor], signature: Signature) -> dict[str, dict[int, str]]:
    """The dimensions of outputs that follow those of the inputs: what differs if all free ones are larger."""
    larger = []
    for tensor, free in zip(example, signature.free, strict=True):
        for axis in free:
            tensor = torch.cat([tensor, tensor], axis)
        larger.append(tensor)
    found: dict[str, dict[int, str]] = {}
    results = zip(*(named_tensors(module(*inputs)).values() for inputs in (example, larger)), strict=True)
    for name, (one, other) in zip(signature.outputs, results, strict=True):
        moved = [axis for axis, sizes in enumerate(zip(one.shape, other.shape, strict=True)) if len(set(sizes)) > 1]
        found[name] = {axis: BATCH if axis == 0 else f"{name}_dim{axis}" for axis in moved}
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters, which warn about things that are checked afterwards, print graphs, and load ONNX Runtime.

    When its compiler is first imported, torch also sets a variable for the whole process; the user did not ask for it.
    """
    found = VARIABLE_OF_TORCH in os.environ
    try:
        quiet = silenced("torch.onnx", "torch.export", "torch.fx", "onnxscript", "onnx_ir")
        # It is written from C++, whatever the level is.
        no_dump = patch.object(torch._C, "_jit_onnx_log", lambda *_: None)
        with quiet, no_dump, without_stderr(), without_telemetry(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if not found:
            os.environ.pop(VARIABLE_OF_TORCH, None)


def _check(model: onnx.ModelProto, example: Sequence[Tensor], signature: Signature, opset: int) -> None:
    """Check the result: exporters have changed opsets and lost free dimensions silently."""
    found = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    if found != {"ai.onnx": opset}:
        raise GraphError(f"Opset {opset} was requested, but the exporter wrote {found}; choose another --opset.")
    if model.ir_version > MAX_IR_VERSION:
        raise GraphError(
            f"The exporter wrote IR version {model.ir_version}; ONNX Runtime reads up to {MAX_IR_VERSION}. "
            "Choose an older --opset."
        )
    names = tuple(value.name for value in model.graph.input), tuple(value.name for value in model.graph.output)
    if names != (signature.inputs, signature.outputs):
        raise GraphError(f"The exporter wrote the inputs and outputs {names}, not {signature}.")
    for value, tensor, free in zip(model.graph.input, example, signature.free, strict=True):
        dims = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        expected = [free.get(axis, size) for axis, size in enumerate(tensor.shape)]
        fixed = [f"{free[axis]} to {dim}" for axis, dim in enumerate(dims) if axis in free and isinstance(dim, int)]
        if fixed:
            raise GraphError(
                f"The module fixes {' and '.join(fixed)} for its input {value.name}, which should be free. Change "
                "that, or fix it in the file: with --batch, or without a name in dynamic_shapes."
            )
        if dims != expected:
            raise GraphError(f"The exporter gave the input {value.name} the dimensions {dims}, not {expected}.")
