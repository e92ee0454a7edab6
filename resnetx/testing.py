"""Parity as an assertion, for test suites: `assert_parity("model.onnx", module)`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnetx.api.parameters import names_parameters
from resnetx.base.text import message

if TYPE_CHECKING:
    from torch import nn

    from resnetx.base.precisions import Precision
    from resnetx.verification.result import Verification


class ParityError(AssertionError):
    """The verification of a file failed; `result` is the whole verification."""

    def __init__(self, message: str, result: "Verification") -> None:
        super().__init__(message)
        self.result = result


@names_parameters
def assert_parity(
    model: str | Path,
    truth: "nn.Module | str | Path | None" = None,
    *,
    golden: str | Path | None = None,
    reference: str | Path | None = None,
    weights: str | None = None,
    providers: Sequence[str] = ("cpu",),
    provider_options: Mapping[str, str] | None = None,
    batches: Sequence[int] | None = None,
    samples: int | None = None,
    seed: int = 0,
    atol: float | None = None,
    rtol: float | None = None,
    precision: "Precision | None" = None,
    layers: bool = False,
) -> "Verification":
    """Verify `model` and raise an AssertionError that says what failed and shows the table.

    `truth` is a torch module, or the path of a golden bundle; the default is the network of the model card. With
    `layers` the error also shows every layer.
    """
    __tracebackhide__ = True  # pytest shows the line of the test
    from resnetx.errors import ResnetxError
    from resnetx.verification.parity import Tolerance
    from resnetx.verification.verify import VerifyOptions, verify_file

    is_path = isinstance(truth, str | Path)
    bundle = golden or (truth if is_path else None)
    options = VerifyOptions(
        module=None if is_path else truth,
        golden=None if bundle is None else Path(str(bundle)),
        reference=None if reference is None else Path(reference),
        weights=weights,
        providers=tuple(providers),
        provider_options=dict(provider_options or {}),
        batches=None if batches is None else tuple(batches),
        samples=samples,
        seed=seed,
        tolerance=None if atol is None and rtol is None else Tolerance(atol=atol or 0.0, rtol=rtol or 0.0),
        precision=precision,
    )
    try:
        result = verify_file(Path(model), options)
    except ResnetxError as error:
        # pytest prints it as it is, and the file's names may control the terminal.
        raise type(error)(message(error.message)) from None
    if not result.passed:
        raise ParityError(_explanation(result, layers=layers), result)
    return result


def _explanation(result: "Verification", *, layers: bool) -> str:
    """First what failed and by how much, because that line is in a test's summary; then all tables."""
    from resnetx.report.console import plain_text
    from resnetx.report.verification import render_verification, verdict_in_words

    first = message(f"{result.model}: {verdict_in_words(result)}")
    return f"{first}\n\n{plain_text(lambda _: render_verification(result, layers=layers))}"
