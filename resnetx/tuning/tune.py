"""Searches for the fastest correct way to run a file on this machine, and writes it into a folder."""

import datetime
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from resnetx.base.precisions import SessionPrecision
from resnetx.base.private_folder import private_folder
from resnetx.base.progress import OnProgress, Steps
from resnetx.benchmark.child_tasks import WORKER
from resnetx.benchmark.options import BenchOptions, resolved
from resnetx.benchmark.plan import BenchModel, look_into
from resnetx.benchmark.result import Benchmark
from resnetx.benchmark.run import interrupted, run_cases
from resnetx.benchmark.watch import Watch
from resnetx.conversion.quantization.agreement import Agreement
from resnetx.errors import RuntimeUnavailableError, UsageError
from resnetx.graph.reading.onnx_file import read_onnx_file
from resnetx.inputs.calibration import SYNTHETIC
from resnetx.machine.facts import read_machine
from resnetx.machine.threads import allowed_cpus, default_threads
from resnetx.runtime.catalog import CATALOG, engine_of, find_provider, provider_names
from resnetx.runtime.fixes import unavailable
from resnetx.runtime.runner import Provider
from resnetx.tuning.agreement_worker import CHILD, AgreementOrder, Agreements, RunnerOrder
from resnetx.tuning.candidates import SOURCE, Candidate, Space, thread_counts
from resnetx.tuning.choice import choose, why_unfit
from resnetx.tuning.files import FileMaker, MadeFile
from resnetx.tuning.folder import search_folder, write_result
from resnetx.tuning.journal import Journal
from resnetx.tuning.options import BATCHES, TuneOptions, check_options
from resnetx.tuning.result import Finalist, Tuning
from resnetx.tuning.search import Trial, finalists, search
from resnetx.tuning.trials import Trials, running_case
from resnetx.verification.isolated import answer_of, memory_for, time_for

PROCESSES = 5


def tune_file(
    source: Path,
    folder: Path,
    options: TuneOptions,
    *,
    watch: Watch | None = None,
    worker: Sequence[str] = WORKER,
) -> Tuning:
    """Write the winner's file and settings into `folder`, if there is one. An interrupted search can be repeated."""
    look = watch or Watch()
    check_options(options)
    steps = Steps(look.progress, 4)
    steps.begin(f"reading {source}, and making its other files")
    model, digest = look_into(source), read_onnx_file(source).digest
    if len(model.inputs) != 1:
        raise UsageError(
            f"{source} has {len(model.inputs)} inputs, and tune compares candidates on samples of one input; use "
            "resnetx bench, which takes such files."
        )
    rows = _working(options.providers)
    batches = _batches(model, options)
    machine = read_machine().to_json()
    wanted = asdict(replace(options, restart=False, force=False))
    wanted |= {"digest": digest, "providers": [row.name for row in rows]}
    with search_folder(folder, source, force=options.force) as candidates:
        journal = Journal(folder, wanted, machine, restart=options.restart)
        maker = FileMaker(source, candidates, [row.name for row in rows], options, steps)
        made, models = maker.make(journal.entries.files, journal.keep_file)
        space = Space(
            objective=options.objective,
            runs={name: made[name].providers for name in models},
            precisions={row.name: _precisions(row) for row in rows},
            threads=thread_counts(default_threads(), len(allowed_cpus()), options.threads),
            batches=batches,
            bound_ms=options.latency_bound_ms,
        )
        trials = _tried(space, models, options, journal, steps, worker)
        within = Watch(progress=steps.within, cases=look.cases)
        result = _compared(space, models, options, trials, steps, within, worker)
        result = replace(result, source=str(source), folder=str(folder), notes=_notes(journal, made))
        write_result(result, models, folder)
    return result


def _working(asked: Sequence[str] | None) -> list[Provider]:
    """The providers to try: those that were asked for, or all that run files and work here."""
    if asked is not None:
        rows = [find_provider(name) for name in dict.fromkeys(provider_names(asked))]
        for row in rows:
            engine = engine_of(row)
            problem = engine.why_not()
            if problem is not None:
                raise unavailable(row, problem, [library for library, found in engine.libraries() if not found])
        return rows
    return [row for row in CATALOG if not row.needs_card and _works(row)]


def _works(row: Provider) -> bool:
    try:
        return engine_of(row).why_not() is None
    except RuntimeUnavailableError:
        return False


def _precisions(row: Provider) -> tuple[SessionPrecision, ...]:
    """True float32 is a candidate of its own where the provider's default is something else."""
    return ("default",) if engine_of(row).default_precision() == "fp32" else ("default", "fp32")


def _batches(model: BenchModel, options: TuneOptions) -> tuple[int, ...]:
    fixed, asked = model.fixed_batch, options.batches
    if fixed is not None and asked not in (None, (fixed,)):
        raise UsageError(
            f"{model.path} takes batches of {fixed} only, and --batch {','.join(map(str, asked or ()))} was given; "
            "leave --batch out, or export the model with a dynamic batch."
        )
    if fixed is not None:
        return (fixed,)
    return tuple(sorted(set(asked or (BATCHES if options.objective == "throughput" else (1,)))))


def _tried(
    space: Space,
    models: dict[str, BenchModel],
    options: TuneOptions,
    journal: Journal,
    steps: Steps,
    worker: Sequence[str],
) -> list[Trial]:
    steps.begin("trying candidates")
    settings = replace(_limited(options), verify=False)
    with private_folder("tune") as own, Trials(space.baseline, models, settings, own, worker) as trials:

        def measure(candidate: Candidate, best: float) -> Trial:
            known = journal.trial_of(candidate)
            if known is None:
                steps.detail(f"trial {len(journal.entries.trials) + 1}: {candidate.title}")
                known = trials.measure(candidate, best)
                journal.keep_trial(known)
            return known

        return search(space, measure)


def _limited(options: TuneOptions) -> BenchOptions:
    limits = options.limits
    return BenchOptions(memory_mb=limits.memory_mb, timeout_s=limits.timeout_s or BenchOptions.timeout_s)


def _compared(
    space: Space,
    models: dict[str, BenchModel],
    options: TuneOptions,
    trials: Sequence[Trial],
    steps: Steps,
    watch: Watch,
    worker: Sequence[str],
) -> Tuning:
    """The finalists in one interleaved run, verified, and how far each agrees with the float network."""
    steps.begin("comparing the finalists")
    chosen = finalists(space, trials)
    settings = resolved(replace(_limited(options), duration_s=options.duration_s, processes=PROCESSES))
    cases = [running_case(candidate, models, settings) for candidate in chosen]
    if cases:
        benchmark = run_cases(cases, settings, watch=watch, worker=worker)
    else:
        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        benchmark = Benchmark(created=created, machine=read_machine().to_json(), limits=None, cases=())
    if interrupted(benchmark):
        raise KeyboardInterrupt
    steps.begin("agreement with the float network")
    agreements = _agreements(chosen, models, options, watch.progress)
    judged = tuple(
        Finalist(
            candidate=candidate,
            agreement=agreement,
            unfit=why_unfit(candidate, case, agreement, space=space, options=options),
        )
        for candidate, case, agreement in zip(chosen, benchmark.cases, agreements, strict=True)
    )
    winner, equals = choose(judged, benchmark.cases, space.objective)
    return Tuning(
        source=SOURCE,
        folder="",
        objective=space.objective,
        bound_ms=space.bound_ms,
        trials=tuple(trials),
        finalists=judged,
        benchmark=benchmark,
        winner=winner,
        baseline=chosen.index(space.baseline) if chosen else None,
        equals=tuple(equals),
    )


def _agreements(
    chosen: Sequence[Candidate], models: dict[str, BenchModel], options: TuneOptions, progress: OnProgress
) -> list[Agreement | None]:
    """Of each engine once, whatever its threads, streams and batch."""
    engines = {candidate.engine: candidate for candidate in chosen}
    if not engines:
        return []
    source = read_onnx_file(models[SOURCE].path)
    providers = list(dict.fromkeys(candidate.provider for candidate in chosen))
    samples = SYNTHETIC if options.calibrate in (None, SYNTHETIC) else os.path.abspath(str(options.calibrate))  # noqa: PTH100
    order = AgreementOrder(
        source=str(models[SOURCE].path.absolute()),
        samples=samples,
        threads=default_threads(),
        runners=[
            RunnerOrder(path=str(models[each.file].path.absolute()), provider=each.provider, precision=each.precision)
            for each in engines.values()
        ],
    )
    answer = answer_of(
        CHILD,
        {"order": asdict(order)},
        Agreements,
        path=models[SOURCE].path,
        done="compared",
        timeout_s=options.limits.timeout_s or len(engines) * time_for(source, batch=1, providers=providers),
        memory_mb=options.limits.memory_mb or memory_for([source, source], batch=256, providers=providers),
        progress=progress,
    )
    found = dict(zip(engines, answer.found, strict=True))
    return [found[candidate.engine] for candidate in chosen]


def _notes(journal: Journal, made: dict[str, MadeFile]) -> tuple[str, ...]:
    resumed = (
        f"{journal.resumed} trials are those of an earlier search that was interrupted." if journal.resumed else None
    )
    files = [f"{name} was not tried: {each.problem}." for name, each in made.items() if each.problem is not None]
    kept = [f"{name}: {each.kept} layers stayed in a higher precision." for name, each in made.items() if each.kept]
    return tuple(note for note in (journal.note, resumed, *files, *kept) if note is not None)
