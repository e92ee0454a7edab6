"""A module of the user as the subject of an export: its example, names and free sizes, checked before anything runs."""

import copy
import inspect
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from resnetx.base.text import readable
from resnetx.conversion.subject import Subject, tool_versions
from resnetx.errors import UsageError
from resnetx.graph.card import ModelCard, Weights
from resnetx.graph.export import BATCH
from resnetx.graph.exporter_error import explain
from resnetx.model.results import named_tensors
from resnetx.weights.checkpoint import weights_sha256

DynamicShapes = Mapping[str, Mapping[int, str]]


def module_subject(
    module: nn.Module,
    example: Tensor | Sequence[Tensor] | None,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_shapes: DynamicShapes | None = None,
) -> Subject:
    """A module with an example of its inputs; the module itself is not changed.

    `dynamic_shapes` names free dimensions by input and axis; the batch, which is the first, is free or not by itself.
    """
    own = _copied(module)
    tensors = _checked(module, example)
    default = ("input",) if len(tensors) == 1 else tuple(f"input{index}" for index in range(len(tensors)))
    inputs = _names("input_names", input_names, default)
    return Subject(
        module=own,
        example=tensors,
        inputs=inputs,
        outputs=None
        if output_names is None
        else tuple([output_names] if isinstance(output_names, str) else output_names),
        card=ModelCard(
            architecture=type(module).__name__, weights=Weights(sha256=weights_sha256(own)), tools=tool_versions()
        ),
        free=_free_sizes(dynamic_shapes or {}, inputs, tensors),
    )


@torch.no_grad()
def outputs_of_run(subject: Subject, example: Sequence[Tensor]) -> tuple[str, ...]:
    """The names of the outputs, from a run of the module on the example."""
    name = type(subject.module).__name__
    try:
        result = subject.module(*example)
    except Exception as error:  # the module may raise anything
        raise UsageError(
            f"{name} does not run on the example, {_listed(example)}: {explain(error)}. Give an example that its "
            "forward takes, on the CPU."
        ) from error
    tensors = named_tensors(result)
    if complex_ones := [name for name, tensor in tensors.items() if tensor.is_complex()]:
        raise UsageError(
            f"The output {complex_ones[0]} of {name} is complex, and ONNX has no complex numbers. Return "
            "torch.view_as_real of it, or its magnitude."
        )
    found = tuple(tensors)
    chosen = _names("output_names", subject.outputs, found)
    if twice := set(chosen) & set(subject.inputs):
        raise UsageError(
            f"An input and an output of {name} would both be named {sorted(twice)[0]!r}: give other output_names "
            f"or input_names."
        )
    return chosen


def _copied(module: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(module).cpu().float().eval()
    except Exception as error:  # the module may hold anything
        raise UsageError(
            f"{type(module).__name__} cannot be copied to the CPU in float32: {explain(error)}. An export works on a "
            "copy, so that the module itself stays as it is; its parameters need values, and its attributes copies."
        ) from error


def _checked(module: nn.Module, example: Tensor | Sequence[Tensor] | None) -> tuple[Tensor, ...]:
    """The example as tensors on the CPU, floats in float32 like the module."""
    name = type(module).__name__
    if example is None:
        raise UsageError(
            f"{name} is not one of resnetx's own networks, so an example of its input is needed: "
            "export(module, path, example=torch.zeros(2, 3, 224, 224))."
        )
    items = (example,) if isinstance(example, Tensor) or not isinstance(example, Sequence) else tuple(example)
    if wrong := [item for item in items if not isinstance(item, Tensor)]:
        kind = type(wrong[0]).__name__
        advice = (
            "torch.from_numpy makes tensors of arrays."
            if kind == "ndarray"
            else f"{name}.forward takes {_takes(module)}."
        )
        raise UsageError(
            f"The example must be a tensor, or a sequence of tensors in the order of forward's parameters; found a "
            f"{kind}. {advice}"
        )
    try:
        inspect.signature(module.forward).bind(*items)
    except TypeError as error:
        count = "1 tensor" if len(items) == 1 else f"{len(items)} tensors"
        raise UsageError(f"{name}.forward takes {_takes(module)}, and the example has {count}: {error}.") from error
    for item in items:
        if item.is_meta or item.is_complex() or not item.dim():
            raise UsageError(
                f"The example {_listed([item])} cannot be an input of a file: it needs values, a batch as its first "
                "dimension, and a type that ONNX has (no complex numbers)."
            )
    if len({len(item) for item in items}) > 1 or not len(items[0]):
        raise UsageError(
            f"The example has inputs of different or empty batches, {_listed(items)}: the first dimension of every "
            "input is the batch. Keep what has none, such as a table, in the module."
        )
    tensors = [item.detach().cpu() for item in items]
    return tuple(tensor.float() if tensor.is_floating_point() else tensor for tensor in tensors)


def _names(parameter: str, names: Sequence[str] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """The names that were given, as many as the default has."""
    if names is None:
        return default
    found, count = (names,) if isinstance(names, str) else tuple(names), len(default)
    if len(found) != count or len(set(found)) != count or not all(isinstance(name, str) and name for name in found):
        raise UsageError(
            f"{parameter} must be {count} different name{'s' * (count > 1)}; found "
            f"{readable(', '.join(map(str, found))) or 'none'}."
        )
    return found


def _free_sizes(
    asked: DynamicShapes, inputs: Sequence[str], example: Sequence[Tensor]
) -> tuple[Mapping[int, str], ...]:
    if unknown := set(asked) - set(inputs):
        raise UsageError(
            f"dynamic_shapes names the input {readable(str(sorted(map(str, unknown))[0]))!r}, but the inputs are "
            f"{', '.join(inputs)}; set others with input_names."
        )
    sizes: dict[str, int] = {}
    free = []
    for name, tensor in zip(inputs, example, strict=True):
        own = {}
        for axis, size_name in dict(asked.get(name, {})).items():
            place = axis + tensor.dim() if isinstance(axis, int) and axis < 0 else axis
            if not isinstance(place, int) or not 0 < place < tensor.dim() or not isinstance(size_name, str):
                raise UsageError(
                    f"dynamic_shapes[{name!r}] maps axes 1 to {tensor.dim() - 1} to names, such as "
                    f"{{2: 'height', 3: 'width'}}; found {axis!r}: {size_name!r}. The batch, axis 0, is free unless "
                    "batch is given."
                )
            size = tensor.shape[place]
            if not size_name.isidentifier() or size_name == BATCH or sizes.setdefault(size_name, size) != size:
                raise UsageError(
                    f"dynamic_shapes gives axis {axis} of {name!r} the name {readable(size_name)!r}: a name is one "
                    f"word, is not {BATCH!r}, and stands for one size; the example has {size} there."
                )
            own[place] = size_name
        free.append(own)
    return tuple(free) if sizes else ()


def _takes(module: nn.Module) -> str:
    return f"({', '.join(inspect.signature(module.forward).parameters)})"


def _listed(tensors: Sequence[Tensor]) -> str:
    return " and ".join(f"{str(each.dtype).removeprefix('torch.')} {list(each.shape)}" for each in tensors)
