"""Verifies a file of unknown origin in a child process with limits of time, memory and processes."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import onnx

import resnetx.errors
from resnetx.base.isolation import OUT_OF_MEMORY, PYTHON, private_environment
from resnetx.base.private_folder import private_folder
from resnetx.base.progress import OnProgress, Steps, ignore
from resnetx.base.worker_process import Child, ChildError
from resnetx.errors import FileError, GraphError, ResnetxError, UsageError
from resnetx.graph.reading.onnx_file import OnnxFile, read_onnx_file
from resnetx.inputs.random_feeds import FREE_SIZE
from resnetx.runtime.catalog import BY_NAME, pinned_environment, provider_names
from resnetx.runtime.memory_limit import float_bytes, input_numbers, memory_limit_mb
from resnetx.verification.messages import Verified, write_order
from resnetx.verification.result import Verification
from resnetx.verification.verify import STEPS, VerifyOptions
from resnetx.weights.sources import is_remote, resolve_source

T = TypeVar("T")
CHILD: tuple[str, ...] = (*PYTHON, "resnetx.verification.verify_worker")
# The child frees tensors of tens of MB all the time and takes as many again. glibc would hand each back to the kernel,
# which must clear the pages again: a verification of ResNet-50 took a quarter longer. Larger tensors, of large images,
# would leave gaps between them, and take twice the memory.
KEEP_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**26),
}
# The largest batch that is run unless the user or the file says another.
LARGEST_BATCH = 17
# An honest file takes a fifth of this on two slow processors.
BASE_S = 120.0
SECONDS_FOR_EACH_MB = 5.0
# ResNet-50 takes some 6 s for each million numbers in the largest batch of its inputs.
SECONDS_FOR_EACH_MILLION = 5.0
MOST_FOR_INPUTS_S = 600.0
BUILDING_S = 1800.0


@dataclass(frozen=True, kw_only=True)
class IsolationOptions:
    """Limits of a verification; None: derived from the sizes of the file and of its inputs."""

    timeout_s: float | None = None
    memory_mb: int | None = None


def verify_isolated(
    path: Path,
    options: VerifyOptions,
    limits: IsolationOptions | None = None,
    *,
    progress: OnProgress = ignore,
) -> Verification:
    """Like `verify_file`, for a file that may be hostile; it raises the same errors, or says which limit was exceeded.

    Weights are downloaded before, so that the process of the file has no reason to use the network.
    """
    limits = limits or IsolationOptions()
    _check(limits)
    names = list(dict.fromkeys(provider_names(options.providers)))
    ended: dict[str, str] = {}
    while True:
        try:
            return _in_process(path, options, limits, names, ended, progress)
        except _EndedByProviderError as error:
            if len(names) == 1:
                raise error.reason from error
            ended[error.provider] = str(error.reason)


class _EndedByProviderError(Exception):
    """The process ended, exceeded a limit or failed in another unforeseen way while it tried a provider."""

    def __init__(self, provider: str, reason: ResnetxError) -> None:
        super().__init__(f"{provider}: {reason}")
        self.provider = provider
        self.reason = reason


def _in_process(
    path: Path,
    options: VerifyOptions,
    limits: IsolationOptions,
    names: list[str],
    ended: dict[str, str],
    progress: OnProgress,
) -> Verification:
    """Verify in one process, without the providers that ended one."""
    steps = Steps(progress, STEPS + len(names))
    steps.begin(f"reading {path}")
    if ended:
        steps.detail(f"again, without {' and '.join(ended)}, which ended the process")
    memory_mb, timeout_s = limits.memory_mb or 0, limits.timeout_s or 0.0
    trying = ""
    try:
        with private_folder("verify") as folder:
            # It loads its libraries while the file is read here.
            pinned = pinned_environment(names, options.provider_options, options.session)
            environment = {**private_environment(folder), **KEEP_FREED_MEMORY, **pinned}
            child = Child(CHILD, folder=folder, environment=environment)
            try:
                file = read_onnx_file(path)
                reference = [] if options.reference is None else [read_onnx_file(options.reference)]
                batch = max(options.batches or (LARGEST_BATCH,))
                memory_mb = memory_mb or memory_for([file, *reference], batch=batch, providers=names)
                timeout_s = timeout_s or time_for(file, batch=batch, providers=names)
                if options.weights is not None and is_remote(options.weights):
                    steps.detail(f"fetching {options.weights}")
                    source = resolve_source(options.weights, progress=steps.download)
                    options = replace(options, weights=str(source.path))
                trial = {"trying": str(folder / "trying"), "ended": ended}
                order = {**write_order(path, options, folder), **trial}
                answer = child.ask(order, Verified, timeout_s=timeout_s, memory_mb=memory_mb, progress=steps.follow)
                return answer.verification
            finally:
                child.close()
                with suppress(FileNotFoundError):
                    trying = (folder / "trying").read_text()
    except ChildError as error:
        reason = error_in_child(path, error, done="verified", timeout_s=timeout_s, memory_mb=memory_mb)
        if trying in names and trying not in ended and not error.deliberate:
            raise _EndedByProviderError(trying, reason) from error
        raise reason from error
    except OSError as error:
        raise _no_folder(path, error, done="verified") from error


def _check(limits: IsolationOptions) -> None:
    for option, value in (("--timeout", limits.timeout_s), ("--memory-mb", limits.memory_mb)):
        if value is not None and not 0 < value <= 10**9:
            raise UsageError(f"{option} takes a number above 0, such as 600; found {value:g}.")


def memory_for(files: list[OnnxFile], *, batch: int, providers: list[str]) -> int:
    """The memory limit in MB of a process that runs the first of these files in batches of that size."""
    return memory_limit_mb(
        file_bytes=sum(float_bytes(file) for file in files),
        inputs=_input_shapes(files[0].model),
        batch=batch,
        free_size=FREE_SIZE,
        providers=providers,
    )


def time_for(file: OnnxFile, *, batch: int, providers: list[str]) -> float:
    """The time limit in seconds of such a process."""
    size_mb = (file.file_bytes + file.external_bytes) / 2**20
    numbers = input_numbers(_input_shapes(file.model), batch=batch, free_size=FREE_SIZE)
    inputs_s = min(SECONDS_FOR_EACH_MILLION * numbers / 1e6, MOST_FOR_INPUTS_S)
    building = sum(BUILDING_S for name in providers if name not in BY_NAME or BY_NAME[name].builds_for_minutes)
    return float(round(len(providers) * (BASE_S + SECONDS_FOR_EACH_MB * size_mb + inputs_s) + building))


def _input_shapes(model: onnx.ModelProto) -> list[list[int | None]]:
    weights = {tensor.name for tensor in model.graph.initializer}
    return [
        [dim.dim_value if dim.dim_value > 0 else None for dim in value.type.tensor_type.shape.dim]
        for value in model.graph.input
        if value.name not in weights
    ]


def answer_of(
    command: Sequence[str],
    request: Mapping[str, Any],
    kind: type[T],
    *,
    path: Path,
    done: str,
    timeout_s: float,
    memory_mb: int,
    progress: OnProgress,
    variables: Mapping[str, str] | None = None,
) -> T:
    """The answer of a process of its own, in which a file that may be hostile is `done`, such as converted.

    `variables` are added to its environment.
    """
    try:
        with private_folder(done) as folder:
            child = Child(command, folder=folder, environment={**private_environment(folder), **(variables or {})})
            try:
                return child.ask(request, kind, timeout_s=timeout_s, memory_mb=memory_mb, progress=progress)
            finally:
                child.close()
    except ChildError as error:
        raise error_in_child(path, error, done=done, timeout_s=timeout_s, memory_mb=memory_mb) from error
    except OSError as error:
        raise _no_folder(path, error, done=done) from error


def _no_folder(path: Path, error: OSError, *, done: str) -> FileError:
    return FileError(
        f"{path} is {done} in a process with a temporary folder, which could not be used: {error.strerror or error}. "
        "Free some space, or set TMPDIR to a writable folder."
    )


def error_in_child(path: Path, error: ChildError, *, done: str, timeout_s: float, memory_mb: int) -> ResnetxError:
    """The error that was raised in the child, or what became of the child; `done` is what was to be done there."""
    with suppress(AttributeError):
        kind = getattr(resnetx.errors, error.kind)
        if error.deliberate and issubclass(kind, ResnetxError):
            found: ResnetxError = kind(str(error))
            return found
    if error.timed_out:
        return GraphError(
            f"{path} was not {done}: it took longer than {timeout_s:g} s. It may contain a loop without end; if you "
            "trust it, allow more with --timeout."
        )
    if error.kind == OUT_OF_MEMORY:
        return GraphError(
            f"{path} was not {done}: running it exceeded the memory limit of {memory_mb} MB, which is derived from "
            "the sizes of the file and of its inputs. If you trust it, allow more with --memory-mb."
        )
    return GraphError(
        f"{path} was not {done}: the process that ran it failed ({error}). The file may be damaged or hostile, or a "
        "library has a fault; resnetx inspect shows what is in the file."
    )
