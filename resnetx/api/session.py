"""The public function that opens a file to run it, on the caller's own arrays."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np

from resnetx.api.parameters import names_parameters
from resnetx.base.precisions import SessionPrecision
from resnetx.base.text import readable
from resnetx.base.vocabulary import AUTO
from resnetx.errors import UsageError
from resnetx.graph.reading.onnx_file import read_onnx_file
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.runner import Runner, TensorInfo
from resnetx.runtime.tuned_model import model_file, read_tuned


class Session:
    """An open model: numpy arrays in, numpy arrays out. A context manager, because it holds threads and memory.

    `provider` runs it, `precision` is what it computes in, and `inputs` and `outputs` are its tensors, with a name
    instead of a size where any size is taken.
    """

    def __init__(self, name: str, runner: Runner) -> None:
        self._name, self._runner = name, runner
        self._open = True
        self.provider, self.precision = runner.provider, runner.effective_precision
        self.inputs, self.outputs = runner.inputs, runner.outputs

    def run(self, feeds: np.ndarray | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name, for the only input or for inputs by name."""
        if not self._open:
            raise UsageError(f"The session of {self._name} is closed; open another with open_session.")
        if isinstance(feeds, np.ndarray) and len(self.inputs) == 1:
            feeds = {self.inputs[0].name: feeds}
        names = {info.name for info in self.inputs}
        if isinstance(feeds, np.ndarray) or set(feeds) != names:
            found = "one array" if isinstance(feeds, np.ndarray) else ", ".join(map(str, feeds)) or "none"
            raise UsageError(f"{self._name} takes {self._signature}: give arrays by these names; found {found}.")
        for info in self.inputs:
            self._check(info, feeds[info.name])
        return self._runner.run(feeds)

    def close(self) -> None:
        """Release threads and memory."""
        if self._open:
            self._open = False
            self._runner.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "" if self._open else ", closed"
        return f"<Session of {self._name} on {self.provider} in {self.precision}{state}: {self._signature}>"

    @property
    def _signature(self) -> str:
        return ", ".join(map(_described, self.inputs))

    def _check(self, info: TensorInfo, array: np.ndarray) -> None:
        fits = (
            isinstance(array, np.ndarray)
            and array.dtype == info.dtype
            and array.ndim == len(info.shape)
            and all(
                size in (found, -1) or isinstance(size, str)
                for size, found in zip(info.shape, array.shape, strict=True)
            )
        )
        if not fits:
            found = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
            raise UsageError(f"{self._name} takes {_described(info)}, and found {found}.")


@names_parameters
def open_session(
    path: str | Path,
    *,
    provider: str | None = None,
    precision: SessionPrecision | None = None,
    threads: int | None = None,
    batch: int | None = None,
    provider_options: Mapping[str, str] | None = None,
) -> Session:
    """Open a file, or a folder of `tune`, to run it in this process on your own arrays.

    `provider` is by default the fastest that works here, and `precision` its own fastest ("default"); "fp32" is true
    float32. With `batch`, only batches of that size are run, faster. A tuned folder says all this itself.

    >>> with resnetx.open_session("small.onnx", provider="cpu") as session:
    ...     outputs = session.run(np.zeros((2, 3, 32, 32), np.float32))
    >>> session
    <Session of small.onnx on cpu in fp32, closed: input float32 [batch, 3, 32, 32]>
    >>> outputs["logits"].shape
    (2, 10)
    """
    path = Path(path)
    source = read_onnx_file(model_file(path)).source
    if not path.is_dir():
        runner = open_runner(
            source,
            provider=provider or AUTO,
            precision=precision or "default",
            options=provider_options,
            threads=threads,
            batch=batch,
        )
        return Session(path.name, runner)
    if any(value is not None for value in (provider, precision, threads, batch, provider_options)):
        raise UsageError(
            f"{path} is a tuned model, which runs as it was tuned: leave --provider, --precision, --threads, --batch "
            f"and --provider-option out, or open the file itself, {model_file(path)}."
        )
    tuned = read_tuned(path)
    runner = open_runner(
        source,
        provider=tuned.provider,
        precision=tuned.precision,
        options=tuned.options,
        threads=tuned.threads,
        batch=tuned.batch,
        callers=tuned.streams,
    )
    return Session(path.name, runner)


def _described(info: TensorInfo) -> str:
    return f"{readable(info.name)} {info.dtype} [{', '.join(readable(str(size)) for size in info.shape)}]"
