"""What an export says of a module that cannot be run or exported: the cause and its line, in one plain paragraph."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import resnetx
from resnetx.errors import GraphError, ResnetxError, UsageError


@torch.library.custom_op("resnetx_tests::twice", mutates_args=())
def twice(x: Tensor) -> Tensor:
    return x * 2


@twice.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if float(x.sum()) > 0 else -x


class CustomOperator(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return twice(x + 1)


class NotTraceable(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            raise ValueError("\x1b[31mnot\x1b[0m while it is traced")
        return x


class Picky(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != 7:
            raise ValueError(f"\x1b[31monly images 7 wide\x1b[0m,\nand not {x.shape[-1]}")
        return x


class Elsewhere(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.zeros(x.shape, device="meta")


class Returns(nn.Module):
    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result

    def forward(self, x: Tensor) -> Any:
        return self.result


class Complex(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft2(x)


class FixedBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(2, 3, 8, 8)


class Uncopyable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.ones(1, requires_grad=True) * 2

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


EXAMPLE = torch.ones(1, 3, 8, 8)


def line_of(module: type[nn.Module], text: str) -> str:
    """`test_export_errors.py:31`, for the line of the module that has this text."""
    lines, first = inspect.getsourcelines(module)
    return f"{Path(__file__).name}:{first + next(n for n, line in enumerate(lines) if text in line)}"


@pytest.mark.parametrize(
    ("module", "exporter", "kind", "words", "line"),
    [
        (Branch(), "dynamo", GraphError, "depends on the values of a tensor", "float(x.sum())"),
        (CustomOperator(), "dynamo", GraphError, "no ONNX operator for resnetx_tests.twice", "twice(x + 1)"),
        (CustomOperator(), "torchscript", GraphError, "no ONNX operator for resnetx_tests.twice", ""),
        (NotTraceable(), "dynamo", GraphError, "ValueError: not while it is traced", "raise ValueError"),
        (Complex(), "dynamo", UsageError, "output output of Complex is complex", ""),
        (Picky(), "dynamo", UsageError, "ValueError: only images 7 wide", "raise ValueError"),
        (Elsewhere(), "dynamo", UsageError, "device", 'device="meta"'),
        (Returns("cat"), "dynamo", UsageError, "type str", ""),
        (Returns(None), "dynamo", UsageError, "returns nothing", ""),
        (FixedBatch(), "dynamo", GraphError, "fixes batch to 2 for its input input", ""),
        (Uncopyable(), "dynamo", UsageError, "Uncopyable cannot be copied", ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_the_cause_and_its_line_stand_in_one_paragraph(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    module: nn.Module,
    exporter: Any,
    kind: type[ResnetxError],
    words: str,
    line: str,
) -> None:
    with pytest.raises(kind) as error:
        resnetx.export(module, tmp_path / "m.onnx", example=EXAMPLE, exporter=exporter)
    text = str(error.value)
    assert words in text and text.count("\n") == 0 and "\x1b" not in text and len(text) < 700
    assert not line or f"{line_of(type(module), line)} in forward: `" in text
    assert "--" not in text, "options are for the command line"
    assert error.value.__cause__ is not None or any(word in text for word in ("returns", "complex", "fixes"))
    assert not list(tmp_path.iterdir())
    printed = capfd.readouterr()
    assert printed.out + printed.err == "", "no dump of a graph"


def test_a_decision_on_values_is_not_left_to_the_exporter_that_writes_one_side(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"choose with torch\.where") as error:
        resnetx.export(Branch(), tmp_path / "m.onnx", example=EXAMPLE)
    assert "torchscript" not in str(error.value)


def test_a_size_that_the_module_fixes_is_not_free(tmp_path: Path) -> None:
    class FixedHeight(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(x.shape[0], 3, 8, x.shape[3])

    sizes = {"input": {2: "height"}}
    with pytest.raises(GraphError, match=r"fixes .*8"):
        resnetx.export(FixedHeight(), tmp_path / "m.onnx", example=EXAMPLE, dynamic_shapes=sizes)
    assert not list(tmp_path.iterdir())


def test_what_can_be_traced_is_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Prints(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            print("the sum is", x.sum())  # noqa: T201
            return torch.fft.fft2(x).abs()

    assert resnetx.export(Prints(), tmp_path / "m.onnx", example=EXAMPLE).passed
    assert "the sum is" in capsys.readouterr().out
