"""Verifies a file: is it the network, does each provider compute it, and do its outputs agree with the reference?"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx

from resnetx.base.precisions import Precision, SessionPrecision
from resnetx.base.progress import OnProgress, Steps, ignore
from resnetx.base.text import readable
from resnetx.errors import ResnetxError, UsageError
from resnetx.graph.card import ModelCard, read_card
from resnetx.graph.reading.onnx_file import read_onnx_file
from resnetx.inputs.batch_dimension import batched_shape
from resnetx.inputs.image_folder import image_paths, read_images
from resnetx.inputs.random_feeds import FREE_SIZE
from resnetx.inputs.sampling import Sampling, batch_sizes
from resnetx.runtime.catalog import open_runner, provider_names, scoped_options
from resnetx.runtime.runner import Runner
from resnetx.verification.attempts import Attempts
from resnetx.verification.feeds import foreign_feeds
from resnetx.verification.judge import Reopen
from resnetx.verification.movement import movements, remarks, why_nothing_is_proven
from resnetx.verification.other_sizes import Sizes, free_sizes, truth_at_sizes
from resnetx.verification.parity import Tolerance
from resnetx.verification.references import (
    Truth,
    golden_truth,
    module_truth,
    onnx_truth,
    own_truth,
    torch_truth,
)
from resnetx.verification.result import Images, ProviderVerdict, Verification
from resnetx.verification.verdicts import Verdicts

# Reading, the reference, and the comparison with the network; then each provider is a step.
STEPS = 3
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """The reference, the providers, the inputs and the tolerance; None is the default.

    A provider option is named `k`, or `provider:k` for that provider only. `module` is a torch module, typed as Any
    because torch is optional. `precision` is the one that the file should have; by default, that of most of its
    weights. `session` is the precision in which the providers compute it. `layers`: also compare inner tensors.
    """

    module: Any = None
    weights: str | None = None
    golden: Path | None = None
    reference: Path | None = None
    providers: tuple[str, ...] = ("cpu",)
    provider_options: Mapping[str, str] = field(default_factory=dict)
    batches: tuple[int, ...] | None = None
    samples: int | None = None
    images: np.ndarray | Path | None = None
    seed: int = 0
    tolerance: Tolerance | None = None
    precision: Precision | None = None
    session: SessionPrecision = "fp32"
    layers: bool = True


def verify_file(
    path: Path, options: VerifyOptions, *, progress: OnProgress = ignore, attempts: Attempts | None = None
) -> Verification:
    """Verify a file on every provider. A wrong output is a result; so is a provider that cannot run the file.

    It is an error if no provider can run it.
    """
    sources = (options.module, options.weights, options.golden, options.reference)
    if sum(source is not None for source in sources) > 1:
        raise UsageError("Give one of --weights, --golden and --reference: there is one reference at a time.")
    names = list(dict.fromkeys(provider_names(options.providers)))
    scoped = scoped_options(options.provider_options, names)
    steps = Steps(progress, STEPS + len(names))
    steps.begin(f"reading {path}")
    file = read_onnx_file(path)
    card = read_card(file.model)
    folder = options.images if isinstance(options.images, Path) else None
    if folder is not None:
        options = replace(options, images=read_images(folder, card, path))
    attempts = attempts or Attempts()
    opened: list[tuple[str, Reopen, Runner]] = []
    for name in names:
        opener = partial(open_runner, provider=name, options=scoped[name], precision=options.session)
        with attempts.of(name):
            attempts.refuse_ended(name)
            opened.append((name, opener, opener(file.source)))
    attempts.require_one(opened)
    precisions = [options.precision or runner.effective_precision for _, _, runner in opened]
    steps.begin("computing the reference")
    truth = reference_for(path, card, opened[0][2], options, precisions, model=file.model)
    verdicts = Verdicts(
        model=file.model,
        card=card,
        truth=truth,
        precision=options.precision,
        tolerance=options.tolerance,
        inner=options.layers,
    )
    steps.begin("comparing the file with the network")
    own, seconds = _timed(lambda: verdicts.file)
    providers: list[ProviderVerdict] = []
    for (name, reopen, runner), precision in zip(opened, precisions, strict=True):
        steps.begin(f"verifying on {runner.provider}")
        with attempts.of(name):
            verdict, took = _timed(lambda: verdicts.provider(runner, reopen, precision))  # noqa: B023  # called at once
            providers.append(replace(verdict, seconds=took))
    attempts.require_one(providers)
    if own is not None:
        own, took = _timed(lambda: verdicts.file_after(providers))
        own = None if own is None else replace(own, seconds=seconds + took)
    moving = movements(truth.samples, truth.outputs, tolerance=options.tolerance)
    return Verification(
        model=str(path),
        model_sha256=file.sha256,
        architecture=card.architecture if card else file.model.graph.name or "unknown graph",
        reference=truth.description,
        seed=options.seed,
        samples=sum(len(samples) for _, samples in truth.samples.arrangement),
        file=own,
        verdicts=tuple(providers),
        not_run=attempts.failed,
        images=None if options.images is None else _counted(options.images, folder),
        unproven=why_nothing_is_proven(moving, tolerance=options.tolerance),
        remarks=remarks(moving, file.model),
    )


def _timed(compute: Callable[[], T]) -> tuple[T, float]:
    begin = time.perf_counter()
    return compute(), time.perf_counter() - begin


def _counted(images: np.ndarray | Path, folder: Path | None) -> Images:
    assert not isinstance(images, Path)
    return Images(used=len(images), found=len(images) if folder is None else len(image_paths(folder)))


@contextmanager
def _inputs_refused(module: object, runner: Runner) -> Iterator[None]:
    """A module of the user may raise anything on inputs that it was not made for."""
    try:
        yield
    except (ResnetxError, MemoryError):
        raise
    except Exception as error:
        inputs = ", ".join(f"{info.name} {info.shape}" for info in runner.inputs)
        first = next(iter(str(error).splitlines()), "")
        raise UsageError(
            f"The module {type(module).__name__} cannot be the reference: on the file's inputs, {readable(inputs)}, it "
            f"raised {type(error).__name__}: {readable(first)}. Pass the module that the file was exported from."
        ) from error


def reference_for(
    path: Path,
    card: ModelCard | None,
    runner: Runner,
    options: VerifyOptions,
    precisions: list[str],
    *,
    model: onnx.ModelProto | None = None,
) -> Truth:
    """What a file is compared with; `model` is the file's, for a golden bundle."""
    if options.golden is not None:
        if options.batches or options.samples or options.images is not None:
            raise UsageError("A golden bundle contains its own inputs; leave --batch, --samples and --images out.")
        assert model is not None
        return golden_truth(options.golden, model, precisions=precisions)
    assert not isinstance(options.images, Path)
    sizes = _sizes(runner, options.batches)
    # INT8 correctly cuts off what nothing like it was calibrated on.
    natural = "int8" in precisions
    sampling = Sampling(sizes=sizes, samples=options.samples, images=options.images, seed=options.seed, natural=natural)
    if options.module is not None:
        outputs = tuple(output.name for output in runner.outputs)

        def truth_at(sampling: Sampling, sizes: Sizes) -> Truth:
            feeds = foreign_feeds(runner.inputs, sampling, precisions, sizes=sizes)
            with _inputs_refused(options.module, runner):
                return module_truth(options.module, outputs, feeds, sampling, precisions=precisions)

        return truth_at_sizes(truth_at, sampling, free_sizes(runner.inputs), required=False)
    if options.reference is not None:
        return onnx_truth(options.reference, runner, card, sampling, precisions=precisions)
    if card is not None and card.config is not None:
        dtype = runner.inputs[0].dtype
        return torch_truth(card, sampling, weights=options.weights, precisions=precisions, dtype=dtype)
    if options.weights is not None:
        raise UsageError(f"--weights needs a model card, which describes the network; {path} has none. Leave it out.")
    return own_truth(path, runner, card, sampling, precisions=precisions)


def _sizes(runner: Runner, asked: tuple[int, ...] | None) -> tuple[int, ...]:
    if not runner.inputs:
        raise UsageError("The model has no inputs, so there is nothing to vary: its outputs are constants.")
    shape = batched_shape([info.shape for info in runner.inputs])
    fixed = shape[0] if shape and isinstance(shape[0], int) else None
    if asked is None:
        sides = [size if isinstance(size, int) else FREE_SIZE for size in shape[1:]]
        return batch_sizes(fixed, pixels=int(np.prod(sides)) // 3)
    if any(size < 1 for size in asked):
        raise UsageError(f"--batch {','.join(map(str, asked))} cannot be run: every size must be 1 or more.")
    if fixed is not None and set(asked) != {fixed}:
        raise UsageError(f"The model takes batches of {fixed} only, but {','.join(map(str, asked))} were requested.")
    return asked
