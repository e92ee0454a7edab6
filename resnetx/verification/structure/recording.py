"""Records the operations that a torch module really runs, in the terms that both sides share."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.weak import WeakTensorKeyDictionary

from resnetx.model.deploy import Deployed
from resnetx.model.results import named_tensors
from resnetx.verification.operator_mode import OperatorMode
from resnetx.verification.structure.aten_ops import ATEN
from resnetx.verification.structure.aten_shapes import IDENTITY
from resnetx.verification.structure.builder import Builder, Operand, Unknown
from resnetx.verification.structure.graph import TORCH_PREFIX, Graph, Shape
from resnetx.verification.structure.parameters import Parameter

# What an operation is called behind its module's path where it has no module of its own, as in exported files.
NAMES = {
    "view": "reshape",
    "_unsafe_view": "reshape",
    "cat": "concat",
    "addmm": "gemm",
    "mm": "matmul",
    "bmm": "matmul",
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of an operator: its arguments by name, tensors as operands, and the shapes of its results."""

    builder: Builder
    name: str
    arguments: Mapping[str, Any]
    shapes: Sequence[Shape]
    dtypes: Sequence[str]


def record(module: nn.Module, example: Sequence[Tensor]) -> Graph:
    """Run `module`, in evaluation mode, and return what it did."""
    recorder = _Recorder(module)
    inputs = [recorder.add_input(tensor) for tensor in example]
    fast = torch.backends.mha.get_fastpath_enabled()
    # One fused kernel for a whole encoder layer is used in inference only, and never exported.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), recorder.module_paths(module), recorder:
            result = module(*example)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    outputs = [recorder.output(leaf) for leaf in named_tensors(result).values()]
    return recorder.builder.graph(inputs, outputs)


class _Recorder(OperatorMode):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.builder = Builder()
        self.operands = WeakTensorKeyDictionary()
        self.wrapper = "network." if isinstance(module, Deployed) else ""
        tensors = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
        self.names = {id(tensor): self._public(name) for name, tensor in reversed(tensors)}
        self.path: list[tuple[str, bool]] = []
        self.taken: Counter[str] = Counter()

    def _public(self, path: str) -> str:
        return path.removeprefix(self.wrapper)

    def add_input(self, tensor: Tensor) -> str:
        value = self.builder.new_value(tuple(tensor.shape))
        self.operands[tensor] = value
        return value

    def output(self, tensor: Tensor) -> str:
        operand = self.operand(tensor)
        if isinstance(operand, str):
            return operand
        self.builder.layer = operand.name
        return self.builder.emit(f"{TORCH_PREFIX}constant", [], operand.shape)

    @contextmanager
    def module_paths(self, module: nn.Module) -> Iterator[None]:
        """Know at every moment which module is running."""
        handles = []

        def enter(path: str, leaf: bool) -> Callable[..., None]:
            def hook(*_: object) -> None:
                # A module without children is a layer; its second call is another one.
                self.path.append((self._unique(path) if leaf and path else path, leaf))

            return hook

        def leave(*_: object) -> None:
            self.path.pop()

        for path, child in module.named_modules():
            leaf = not any(True for _ in child.children())
            name = "" if f"{path}." == self.wrapper else self._public(path)
            handles.append(child.register_forward_pre_hook(enter(name, leaf)))
            handles.append(child.register_forward_hook(leave, always_call=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _unique(self, name: str) -> str:
        number = self.taken[name]
        self.taken[name] += 1
        return f"{name}_{number}" if number else name

    def _layer(self, name: str) -> str:
        path, leaf = self.path[-1] if self.path else ("", False)
        if leaf and path:
            return path
        own = NAMES.get(name, name)
        return self._unique(f"{path}.{own}" if path else own)

    def operand(self, tensor: Tensor) -> Operand:
        found = self.operands.get(tensor)  # type: ignore[no-untyped-call]
        if found is None:
            found = self._constant(tensor, self.names.get(id(tensor), "constant"))
            self.operands[tensor] = found
        return cast(Operand, found)

    def _constant(self, tensor: Tensor, name: str) -> Parameter:
        own = tensor.detach()

        def read() -> np.ndarray:
            return (own.float() if own.dtype in (torch.bfloat16, torch.float16) else own).numpy()

        storage = "float32" if own.is_floating_point() else str(own.dtype).removeprefix("torch.")
        return Parameter(name=name, shape=tuple(own.shape), read=read, storage=storage)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        # Before the call: afterwards an argument may have another value.
        arguments = self._arguments(func, args, kwargs)
        result = func(*args, **kwargs)
        self._record(func, args, kwargs, arguments, result)
        return result

    def _arguments(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for place, argument in enumerate(func._schema.arguments):
            value = args[place] if place < len(args) else kwargs.get(argument.name, argument.default_value)
            given[argument.name] = pytree.tree_map_only(Tensor, self.operand, value)
        return given

    def _record(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], arguments: dict[str, Any], result: Any
    ) -> None:
        tensors = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
        operands = [leaf for leaf in pytree.tree_leaves(arguments) if isinstance(leaf, str | Parameter)]
        values = [leaf for leaf in operands if isinstance(leaf, str) and leaf in self.builder.shapes]
        name = func._schema.name.removeprefix("aten::")
        if not values:
            constants = [leaf for leaf in operands if isinstance(leaf, Parameter)]
            known = constants[0].name if constants else "constant"
            for tensor in tensors:
                self.operands[tensor] = self._constant(tensor, known)
            return
        results = self._translated(name, func, arguments, values, tensors)
        written = [
            args[place] if place < len(args) else kwargs.get(argument.name)
            for place, argument in enumerate(func._schema.arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        for tensor in (each for each in written if isinstance(each, Tensor)):
            self._written(tensor, results[0])
        for tensor, operand in zip(tensors, results, strict=False):
            self.operands[tensor] = operand

    def _translated(
        self, name: str, func: Any, arguments: dict[str, Any], values: list[str], tensors: list[Tensor]
    ) -> Sequence[Operand]:
        build = self.builder
        plain = name.removesuffix("_") if name.endswith("_") and not name.startswith("__") else name
        shapes = [tuple(tensor.shape) for tensor in tensors]
        dtypes = [str(tensor.dtype).removeprefix("torch.") for tensor in tensors]
        call = Call(builder=build, name=plain, arguments=arguments, shapes=shapes, dtypes=dtypes)
        handler = ATEN.get(plain)
        count = len(build.ops)
        if handler is not None:
            # Views and copies take no name: exported files don't have them.
            build.layer = "" if handler is IDENTITY else self._layer(plain)
            try:
                made = handler(call)
                return [made] if isinstance(made, str | Parameter) else made
            except (Unknown, ValueError, IndexError, KeyError, TypeError, AttributeError):
                del build.ops[count:]
        else:
            build.layer = self._layer(plain)
        rest = {key: str(value) for key, value in arguments.items() if not isinstance(value, str | Parameter)}
        constants = {key: value for key, value in arguments.items() if isinstance(value, Parameter)}
        build.emit(
            f"{TORCH_PREFIX}{plain}",
            values,
            shapes[0] if shapes else None,
            more_outputs=shapes[1:],
            parameters=dict(constants),
            **{"arguments of the operator": tuple(sorted(rest.items()))},
        )
        return build.ops[-1].outputs

    def _written(self, tensor: Tensor, value: Operand) -> None:
        """An operator has written into `tensor`: what shares its memory has changed, too."""
        place = tensor.untyped_storage().data_ptr()
        for other in list(self.operands.keys()):  # type: ignore[no-untyped-call]
            if other is tensor or other.untyped_storage().data_ptr() != place:
                continue
            own = self.operands[other]
            same = (other.shape, other.stride(), other.storage_offset()) == (
                tensor.shape,
                tensor.stride(),
                tensor.storage_offset(),
            )
            if same:
                self.operands[other] = value
            elif isinstance(own, str) and isinstance(value, str):
                self.operands[other] = self.builder.emit(
                    f"{TORCH_PREFIX}written_through_a_view", [own, value], tuple(other.shape)
                )
        self.operands[tensor] = value
