"""`resnetx tune`: a folder with the winner and how to run it, or none; it goes on where it was interrupted."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resnetx
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.result import BenchCase, Benchmark, Summary, Verdict
from resnetx.benchmark.run import run_benchmark
from resnetx.cli.main import main as program
from resnetx.conversion.quantization.agreement import Agreement
from resnetx.errors import FileError, RuntimeUnavailableError, UsageError
from resnetx.machine.facts import read_processor
from resnetx.report.console import ReportConsole
from resnetx.report.html.tuning import render_tuning_page
from resnetx.report.tuning import render_tuning
from resnetx.runtime.tuned_model import MODEL, SETTINGS, read_tuned
from resnetx.tuning.candidates import SOURCE, Candidate, Space
from resnetx.tuning.choice import choose, why_unfit
from resnetx.tuning.files import _targets
from resnetx.tuning.journal import JOURNAL
from resnetx.tuning.options import TuneOptions
from resnetx.tuning.result import Finalist, Tuning
from resnetx.tuning.trials import Trials
from resnetx.tuning.tune import tune_file
from resnetx.verification.parity import Check
from tests.conftest import TINY_SIZE, tiny_config
from tests.support.onnx_models import quantized_convolution, small_classifier
from tests.support.watching import Listening

FAKE = (sys.executable, "-m", "tests.support.fake_tune_worker")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ours") / "m.onnx"
    assert resnetx.export(tiny_config(), path, image_size=TINY_SIZE).passed
    return path


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Speeds of a thread by file and provider, for processes that run nothing."""

    def speeds(**by_file: dict[str, float]) -> None:
        known = {f"{file} {provider}": speed for file, found in by_file.items() for provider, speed in found.items()}
        monkeypatch.setenv("FAKE_SPEEDS", json.dumps(known))

    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    # Peaks and agreement take seconds, and are those of real engines.
    monkeypatch.setattr("resnetx.benchmark.run.measured_limits", lambda threads, gpu: None)
    monkeypatch.setattr("resnetx.tuning.tune._agreements", lambda chosen, *_: [None] * len(chosen))
    return speeds


def main(arguments: list[str]) -> int:
    """The exit status of a command."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["resnetx", *arguments])
        program()
    return ended.value.code if isinstance(ended.value.code, int) else 1


def tune(source: Path, folder: Path, **options: Any) -> Tuning:
    return tune_file(source, folder, TuneOptions(**{"duration_s": 0.2, **options}))


@pytest.mark.timeout(300)
def test_the_winner_is_a_folder_that_bench_and_verify_take(
    ours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tuned"
    result = tune(ours, folder, providers=("cpu", "openvino"), calibrate="synthetic", threads=1)
    assert (
        result.best is not None and result.winner in result.equals and result.winner in (*result.pareto, *result.equals)
    )
    tried = {trial.candidate.engine for trial in result.trials}
    assert tried == {(file, provider, "default") for file in (SOURCE, "int8") for provider in ("cpu", "openvino")}
    assert all(trial.speed is not None and trial.speed > 0 for trial in result.trials)
    exact = [each for each in result.finalists if each.candidate.engine == (SOURCE, "cpu", "default")]
    assert exact and exact[0].agreement == Agreement(
        samples=exact[0].agreement.samples, top1=1.0, top5=1.0, sqnr_db=None
    )  # type: ignore[union-attr]
    assert sorted(path.name for path in folder.iterdir()) == [MODEL, SETTINGS, "tuning.json"]
    finalist, case = result.best
    assert case.parity is not None and case.parity.passed
    tuned = read_tuned(folder)
    assert (tuned.provider, tuned.threads, tuned.batch) == (finalist.candidate.provider, 1, 1)
    if finalist.candidate.file == SOURCE:
        assert (folder / MODEL).read_bytes() == ours.read_bytes()
    again = run_benchmark([folder], BenchOptions(duration_s=0.1, rounds=2, processes=1, threads=2))
    (row,) = again.cases
    assert (row.provider, row.threads, row.concurrency) == (tuned.provider, 1, tuned.streams)
    assert row.parity is not None and row.parity.passed and row.status == "ok"
    assert main(["inspect", str(folder)]) == 0
    assert main(["profile", str(folder), "--duration", "0.2"]) == 0
    assert tuned.provider in capsys.readouterr().out
    assert main(["verify", str(folder), "--batch", "2"]) == 0
    assert tuned.provider in capsys.readouterr().out
    assert main(["bench", str(folder), "--provider", "cpu"]) == 2
    assert "runs as it was tuned" in capsys.readouterr().err
    both = run_benchmark(
        [folder, ours], BenchOptions(providers=("cpu",), duration_s=0.1, rounds=2, processes=1, threads=2, verify=False)
    )
    assert [case.threads for case in both.cases] == [1, 2]


def test_streams_and_batch_for_throughput(ours: Path, tmp_path: Path, fake: Any) -> None:
    """The fake is 1.4 times as fast in batches, and twice with two threads, however they are used."""
    fake(source={"cpu": 1.0, "openvino": 2.0}, int8={"cpu": 3.0, "openvino": 4.0})
    seen = Listening()
    result = tune_file(
        ours,
        tmp_path / "d",
        TuneOptions(objective="throughput", providers=("cpu", "openvino"), batches=(4, 1), threads=2, duration_s=0.01),
        watch=seen.watch,
        worker=FAKE,
    )
    assert seen.steps == [
        f"step 1 of 4: reading {ours}, and making its other files",
        "step 2 of 4: trying candidates",
        "step 3 of 4: comparing the finalists",
        "step 4 of 4: agreement with the float network",
    ]
    assert [detail.partition(":")[0] for detail in seen.details("trial")] == [
        f"trial {number}" for number in range(1, len(result.trials) + 1)
    ]
    assert seen.details("timing: round 1 of 20, process 1 of 5")
    best = max(result.trials, key=lambda trial: trial.speed or 0).candidate
    assert (best.provider, best.batch, best.streams) == ("openvino", 4, 2)
    assert result.trials[0].speed == pytest.approx(1.0)
    # The fake verifies nothing, so nothing wins, and no file is written.
    assert result.best is None and all(
        "verified" in (each.unfit or "") or "wrong" in (each.unfit or "") for each in result.finalists
    )
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == ["tuning.json"]


def test_it_goes_on_where_it_was_interrupted(
    ours: Path, tmp_path: Path, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(source={"cpu": 1.0, "openvino": 1.1}, int8={"cpu": 3.0})
    options = TuneOptions(providers=("cpu", "openvino"), calibrate="synthetic", threads=2, duration_s=0.01)
    measured: list[Candidate] = []
    stop_after = [2]
    measure = Trials.measure

    def counted(self: Trials, candidate: Candidate, best: float) -> Any:
        if len(measured) == stop_after[0]:
            raise KeyboardInterrupt
        measured.append(candidate)
        return measure(self, candidate, best)

    monkeypatch.setattr(Trials, "measure", counted)
    with pytest.raises(KeyboardInterrupt):
        tune_file(ours, tmp_path / "d", options, worker=FAKE)
    kept = json.loads((tmp_path / "d" / JOURNAL).read_text())
    assert len(kept["trials"]) == 2 and set(kept["files"]) == {SOURCE, "int8"}
    made = (tmp_path / "d" / "candidates" / "int8.onnx").stat().st_mtime_ns
    stop_after[0] = 3
    with pytest.raises(KeyboardInterrupt):
        tune_file(ours, tmp_path / "d", options, worker=FAKE)
    assert (tmp_path / "d" / "candidates" / "int8.onnx").stat().st_mtime_ns == made
    stop_after[0] = 100
    result = tune_file(ours, tmp_path / "d", options, worker=FAKE)
    assert len(measured) == len(set(measured)) == len(result.trials) == 4
    assert "3 trials are those of an earlier search that was interrupted" in " ".join(result.notes)
    refused = next(trial for trial in result.trials if trial.candidate.engine == ("int8", "openvino", "default"))
    assert refused.speed is None and "refuses" in (refused.problem or "")
    assert not (tmp_path / "d" / JOURNAL).exists() and not (tmp_path / "d" / "candidates").exists()


@pytest.mark.parametrize("change", ["options", "machine", "damage", "restart"])
def test_it_begins_anew_where_the_earlier_trials_are_of_something_else(
    change: str, ours: Path, tmp_path: Path, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(source={"cpu": 1.0})
    options = TuneOptions(providers=("cpu",), threads=2, duration_s=0.01)
    with monkeypatch.context() as patch:
        patch.setattr("resnetx.tuning.tune.finalists", lambda space, trials: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tune_file(ours, tmp_path / "d", options, worker=FAKE)
    journal = tmp_path / "d" / JOURNAL
    data = json.loads(journal.read_text())
    assert len(data["trials"]) == 1
    data["trials"][0]["speed"] = 7.0
    if change == "machine":
        data["machine"]["processor"] = "another processor"
    journal.write_text("{" if change == "damage" else json.dumps(data))
    if change in ("options", "restart"):
        options = replace(options, **({"threads": 1} if change == "options" else {"restart": True}))
    result = tune_file(ours, tmp_path / "d", options, worker=FAKE)
    assert [trial.speed for trial in result.trials] == [pytest.approx(1.0)]
    said = " ".join(result.notes)
    words = {"options": "other options", "machine": "another processor", "damage": "could not be read", "restart": ""}
    assert words[change] in said and "interrupted" not in said


def test_another_machine_or_another_file_is_refused(
    ours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "d"
    assert tune(ours, folder, providers=("cpu",), threads=1).best is not None
    settings = json.loads((folder / SETTINGS).read_text())
    (folder / SETTINGS).write_text(
        json.dumps(settings | {"machine": settings["machine"] | {"processor": "Other 9000"}})
    )
    with pytest.raises(UsageError, match=r"another machine \(processor: Other 9000 against"):
        read_tuned(folder)
    assert main(["bench", str(folder)]) == 2 and "resnetx tune again" in capsys.readouterr().err
    (folder / SETTINGS).write_text(json.dumps(settings))
    read_tuned(folder)
    (folder / MODEL).write_bytes(small_classifier())
    with pytest.raises(FileError, match="replaced or damaged"):
        read_tuned(folder)
    for text in ("{", "[]", '{"schema": "resnetx.tuned/9"}', '{"schema": "resnetx.tuned/1", "provider": 3}'):
        (folder / SETTINGS).write_text(text)
        with pytest.raises(FileError, match="not what resnetx tune writes"):
            read_tuned(folder)
    (folder / SETTINGS).unlink()
    with pytest.raises(UsageError, match=r"without tuned\.json"):
        read_tuned(folder)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"objective": "cost"}, "--objective is latency or throughput"),
        ({"batches": (1, 2)}, "one batch size"),
        ({"batches": (0,)}, "--batch takes 1"),
        ({"threads": 0}, "--threads takes 1"),
        ({"latency_bound_ms": 0.0}, "--latency-bound takes"),
        ({"duration_s": float("nan")}, "--duration takes"),
        ({"max_drop": 2.0}, "--max-drop takes"),
        ({"evaluate": Path("x")}, "give both"),
        ({"providers": ("nothing",)}, "no provider 'nothing'"),
        ({"calibrate": "missing"}, "neither a folder nor a file"),
    ],
)
def test_wrong_options(options: dict[str, Any], words: str, ours: Path, tmp_path: Path) -> None:
    with pytest.raises((UsageError, FileError), match=words):
        tune(ours, tmp_path / "d", **options)
    assert not (tmp_path / "d" / MODEL).exists()


def test_a_provider_that_does_not_work_is_an_error_only_if_asked_for(ours: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailableError, match="tensorrt was asked for"):
        tune(ours, tmp_path / "d", providers=("tensorrt",))


def test_folders_that_hold_something_else_are_left_alone(ours: Path, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match=r"other files, such as 'thesis\.txt"):
        tune(ours, tmp_path / "d")
    with pytest.raises(UsageError, match="is not a folder"):
        tune(ours, tmp_path / "d" / "thesis.txt")
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / MODEL).write_bytes(ours.read_bytes())
    with pytest.raises(UsageError, match="in the folder that would be written"):
        tune(tmp_path / "e" / MODEL, tmp_path / "e")
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["thesis.txt"]


def test_int8_files_are_not_quantized_again(tmp_path: Path) -> None:
    (tmp_path / "q.onnx").write_bytes(quantized_convolution())
    with pytest.raises(UsageError, match="quantized already"):
        tune(tmp_path / "q.onnx", tmp_path / "d", providers=("cpu",), calibrate="synthetic")


def test_foreign_files_and_a_bound_that_nothing_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.onnx").write_bytes(small_classifier())
    arguments = ["tune", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "d"), "--provider", "cpu", "--duration", "0.1"]
    assert main([*arguments, "--latency-bound", "0.001ms", "--json", str(tmp_path / "r.json")]) == 1
    assert "No candidate is right and holds what was asked for" in " ".join(capsys.readouterr().out.split())
    assert json.loads((tmp_path / "r.json").read_text())["winner"] is None
    assert not (tmp_path / "d" / MODEL).exists() and (tmp_path / "d" / "report.html").exists()
    assert main([*arguments, "--latency-bound", "1000"]) == 0
    assert read_tuned(tmp_path / "d").provider == "cpu"
    assert main([*arguments, "--latency-bound", "soon"]) == 2


def test_one_int8_file_for_equal_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With AMX, ONNX Runtime wants other weights than OpenVINO; TensorRT's recipe is another one anywhere."""
    processor = read_processor()
    for instructions, groups in (
        ("avx2", [["cpu", "openvino"], ["tensorrt"]]),
        ("amx_int8", [["cpu"], ["openvino"], ["tensorrt"]]),
    ):
        here = replace(processor, instruction_sets=(instructions,))
        monkeypatch.setattr("resnetx.tuning.files.read_processor", lambda here=here: here)
        assert list(_targets(["cpu", "openvino", "cuda", "tensorrt"]).values()) == groups


# --- the choice ---


def case(median_ms: float, *, batch: int = 1, passed: bool = True, spread: float = 0.01) -> BenchCase:
    check = Check(
        output="y", batch=batch, passed=passed, multiple=1.0, allowed=8.0, reason=None if passed else "far off"
    )
    return BenchCase(
        model="m.onnx",
        provider="cpu",
        batch=batch,
        threads=2,
        samples_ms=[[median_ms] * 20],
        parity=Verdict(reference="r", precision="fp32", checks=(check,)),
        summary=Summary(
            median_ms=median_ms,
            ci95_ms=(median_ms * (1 - spread), median_ms * (1 + spread)),
            images_per_s=1e3 * batch / median_ms,
        ),
    )


def finalist(file: str, top1: float = 1.0, *, unfit: str | None = None) -> Finalist:
    candidate = Candidate(file=file, provider="cpu", precision="default", threads=2)
    agreement = Agreement(samples=100, top1=top1, top5=1.0, sqnr_db=30.0 if top1 < 1 else None)
    return Finalist(candidate=candidate, agreement=agreement, unfit=unfit)


def test_the_fastest_wins_unless_one_as_fast_agrees_better() -> None:
    both = [finalist("int8", 0.97), finalist(SOURCE)]
    assert choose(both, [case(10), case(12)], "latency") == (0, [0])
    assert choose(both, [case(10), case(10.1)], "latency") == (1, [0, 1])
    assert choose(both, [case(10, spread=0.2), case(11.9)], "latency") == (1, [0, 1])
    assert choose([finalist("int8", 0.97, unfit="wrong"), finalist(SOURCE)], [case(1), case(12)], "latency") == (1, [1])
    assert choose([finalist(SOURCE, unfit="wrong")], [case(1)], "latency") == (None, [])
    # Eight images in 20 ms are more a second than one in 10.
    assert choose(both, [case(20, batch=8), case(10)], "throughput") == (0, [0])
    assert choose(both, [case(20, batch=8), case(10)], "latency") == (1, [1])


def test_what_cannot_win() -> None:
    space = Space(
        objective="latency", runs={SOURCE: ("cpu",)}, precisions={"cpu": ("default",)}, threads=(2,), batches=(1,)
    )
    options = TuneOptions(max_drop=0.01, latency_bound_ms=15.0)
    source = space.baseline
    good = finalist(SOURCE).agreement

    def reason(
        case: BenchCase, candidate: Candidate = source, agreement: Agreement | None = good, **more: Any
    ) -> str | None:
        return why_unfit(candidate, case, agreement, space=space, options=replace(options, **more))

    assert reason(case(10)) is None
    assert "p95 latency of 16 ms" in (reason(case(16)) or "")
    assert reason(case(10, passed=False)) == "its outputs are wrong: y: far off"
    assert "crashed" in (reason(replace(case(10), status="failed", error="crashed")) or "")
    assert "could not be verified: why" in (reason(replace(case(10), parity=Verdict(reason="why"))) or "")
    assert "changes on 2.00%" in (reason(case(10), agreement=replace(good, top1=0.98)) or "")  # type: ignore[type-var]
    assert reason(case(10), agreement=replace(good, top1=0.98), max_drop=None) is None  # type: ignore[type-var]
    assert "unknown" in (reason(case(10), agreement=None) or "")
    elsewhere = replace(space, runs={SOURCE: ("openvino",)})
    assert "not among" in (why_unfit(source, case(10), good, space=elsewhere, options=options) or "")


def tuning(cases: list[BenchCase], finalists: list[Finalist], **facts: Any) -> Tuning:
    machine = {"processor": "A <b>CPU</b>", "cores": 2}
    run = Benchmark(created="2026-01-01", machine=machine, limits=None, cases=tuple(cases))
    made = {"source": "m.onnx", "folder": "out/d", "objective": "latency", "bound_ms": None, "trials": (), **facts}
    return Tuning(finalists=tuple(finalists), benchmark=run, baseline=len(cases) - 1, **made)


def test_the_pareto_front() -> None:
    """A faster one with less agreement, an exact slower one, and one that is worse in all."""
    members = [finalist("int8", 0.9), finalist(SOURCE), finalist("fp16", 0.9), finalist("wrong", unfit="wrong")]
    result = tuning([case(10), case(20), case(21), case(1)], members, winner=0, equals=(0,))
    assert result.pareto == (0, 1)


def test_a_search_as_text_and_as_a_page() -> None:
    odd = finalist("int8\x1b[2J<script>", 0.9)
    result = tuning([case(10), case(20)], [odd, finalist(SOURCE)], winner=0, equals=(0,), notes=("a note",))
    terminal = ReportConsole(width=80, record=True, file=io.StringIO())
    terminal.print(render_tuning(result))
    text = terminal.export_text()
    assert "2.00 times the file as it is on cpu" in " ".join(text.split()) and "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    page = render_tuning_page(result)
    assert page == render_tuning_page(result)
    assert "<script>" not in page and "&lt;script&gt;" in page and "&lt;b&gt;CPU" in page and "a note" in page
    empty = tuning([], [], winner=None)
    assert "none ran within the bound" in render_tuning_page(replace(empty, baseline=None))


def test_the_finalists_fit_into_a_terminal_with_whole_words() -> None:
    longest = Candidate(file=SOURCE, provider="openvino-ep", precision="default", threads=16, streams=16, batch=128)
    slow = replace(case(10), summary=Summary(median_ms=1234.5, ci95_ms=(1234.4, 1234.6), images_per_s=12345.0))
    result = tuning([slow], [replace(finalist(SOURCE, 0.9), candidate=longest)], winner=0, equals=(0,))
    terminal = ReportConsole(width=80, record=True, file=io.StringIO())
    terminal.print(render_tuning(result))
    rows = [line.split() for line in terminal.export_text().splitlines() if line.startswith("* ")]
    label = ["*", SOURCE, "openvino-ep", "fp32", "16", "16", "128"]
    assert [row[:7] for row in rows] == [label, label]
    assert rows[0][7:] == ["1234", "1234..1235", "1.234e+04", "-"] and rows[1][7:] == ["90%", "30", "ok"]


def test_agreement_of_arrays_is_that_of_unseen_samples(tmp_path: Path) -> None:
    from resnetx.tuning.agreement_worker import AgreementOrder, RunnerOrder, measure_agreements

    (tmp_path / "m.onnx").write_bytes(small_classifier())
    arrays = np.random.default_rng(0).standard_normal((20, 3, 16, 16)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=arrays)
    path = str(tmp_path / "m.onnx")
    order = AgreementOrder(
        source=path,
        samples=str(tmp_path / "data.npz"),
        threads=1,
        runners=[
            RunnerOrder(path=path, provider="cpu", precision="default"),
            RunnerOrder(path=path, provider="tensorrt", precision="default"),
        ],
    )
    answer = measure_agreements(order)
    assert answer.found == [Agreement(samples=4, top1=1.0, top5=1.0, sqnr_db=None), None]
    assert answer.problems[0] is None and "tensorrt" in (answer.problems[1] or "")
