"""Exports a torch module to an ONNX graph, and checks its opset, IR version and dimensions."""

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import onnx
import torch
from torch import Tensor, nn

from resnetx.base.loggers import silenced
from resnetx.base.telemetry import without_telemetry
from resnetx.base.vocabulary import EXPORTERS, Exporter
from resnetx.errors import GraphError, UsageError
from resnetx.graph.node_names import ModuleTree, name_nodes
from resnetx.model.deploy import Deployed

DEFAULT_OPSET = 20
# torch 2.13: the dynamo exporter writes 18 if less is requested; the TorchScript one supports up to 23.
OPSETS: dict[Exporter, tuple[int, int]] = {"dynamo": (18, 28), "torchscript": (13, 23)}
OLDEST_OPSET = 13
# The newest IR version that ONNX Runtime reads; an exporter may write a newer one.
MAX_IR_VERSION = 13
VARIABLE_OF_TORCH = "TORCHINDUCTOR_CACHE_DIR"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The names of the graph's inputs and outputs, and whether their first dimension is free."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dynamic_batch: bool = True


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
    try:
        with _quiet(), torch.no_grad():
            model = (_dynamo if exporter == "dynamo" else _torchscript)(module, tuple(example), signature, opset)
    except Exception as error:  # the exporters raise many exception types
        cause = next(iter(str(error).strip().splitlines()), "")
        raise GraphError(
            f"The {exporter} exporter could not turn {type(module).__name__} into ONNX opset {opset}: "
            f"{type(error).__name__}: {cause} Try the other --exporter, or another --opset."
        ) from error
    name_nodes(model, _tree(module))
    _check(model, example, signature, opset)
    return model


def _tree(module: nn.Module) -> ModuleTree:
    leaves = {path: not any(True for _ in child.children()) for path, child in module.named_modules()}
    if isinstance(module, Deployed):
        return ModuleTree(name=type(module.network).__name__, leaves=leaves, wrapper="network")
    return ModuleTree(name=type(module).__name__, leaves=leaves)


def _dynamo(module: nn.Module, example: tuple[Tensor, ...], signature: Signature, opset: int) -> onnx.ModelProto:
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} for _ in example) if signature.dynamic_batch else None
    program = torch.onnx.export(
        module,
        example,
        dynamo=True,
        verbose=False,
        opset_version=opset,
        input_names=list(signature.inputs),
        output_names=list(signature.outputs),
        dynamic_shapes=shapes,
    )
    assert program is not None
    return program.model_proto


def _torchscript(module: nn.Module, example: tuple[Tensor, ...], signature: Signature, opset: int) -> onnx.ModelProto:
    names = (*signature.inputs, *signature.outputs)
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
        dynamic_axes={name: {0: "batch"} for name in names} if signature.dynamic_batch else None,
    )
    return cast(onnx.ModelProto, onnx.ModelProto.FromString(stream.getvalue()))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters, which warn and log about things that are checked afterwards, and import ONNX Runtime.

    When its compiler is first imported, torch also sets a variable for the whole process; the user did not ask for it.
    """
    found = VARIABLE_OF_TORCH in os.environ
    try:
        quiet = silenced("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
        with quiet, without_telemetry(), warnings.catch_warnings():
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
    for value, tensor in zip(model.graph.input, example, strict=True):
        dims = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        expected: list[int | str] = list(tensor.shape)
        if signature.dynamic_batch and expected:
            expected[0] = "batch"
        if dims != expected:
            raise GraphError(f"The exporter gave the input {value.name} the dimensions {dims}, not {expected}.")
