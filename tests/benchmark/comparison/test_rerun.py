"""`resnetx bench --against`: what runs again interleaved, what is compared from storage and why, and bad input."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from resnetx.benchmark import run as benchmarking
from resnetx.benchmark.comparison import rerun as judging
from resnetx.benchmark.comparison.compare import compare
from resnetx.benchmark.comparison.rerun import Against, judge, run_against
from resnetx.benchmark.plan import BenchOptions
from resnetx.benchmark.result import BenchCase, Benchmark
from resnetx.benchmark.result_file import read_benchmark
from resnetx.benchmark.run import interrupted, passed, run_benchmark
from resnetx.benchmark.summary import summarized
from resnetx.errors import UsageError
from tests.benchmark.test_run import FAKE
from tests.cli.test_main import run
from tests.support import fake_bench_worker as fake
from tests.support.onnx_models import single, small_classifier
from tests.support.watching import Listening, interrupting

QUICK = BenchOptions(providers=("cpu",), duration_s=0.02, rounds=6, warmup=1, threads=1, verify=False)
OTHER_BYTES = small_classifier(batch=1)


@pytest.fixture(autouse=True)
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarking, "measured_limits", lambda threads, gpu: None)


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for path in paths:
        path.write_bytes(small_classifier())
    return paths


def saved(run: Benchmark, path: Path, **options: Any) -> Against:
    path.write_text(json.dumps(run.to_json()))
    return Against(path=path, base=read_benchmark(path), **options)


def base_of(models: Sequence[Path], path: Path, options: BenchOptions = QUICK) -> Against:
    return saved(run_benchmark(models, options, worker=FAKE), path)


def slower_base(base: Against, factor: float) -> Against:
    """A base whose stored times were shorter."""
    cases = tuple(
        replace(case, samples_ms=[[ms / factor for ms in times] for times in case.samples_ms])
        for case in base.base.cases
    )
    return saved(replace(base.base, cases=cases), base.path)


def notes_of(new: Benchmark) -> str:
    return " ".join(new.against.notes if new.against else ())


def test_models_that_are_still_here_run_again_in_turns(models: list[Path], tmp_path: Path) -> None:
    """Stored samples that say something else play no part; and compare says the same of the files."""
    base = slower_base(base_of(models, tmp_path / "base.json"), 2.0)
    seen = Listening()
    new = run_against(models, QUICK, base, watch=seen.watch, worker=FAKE)
    opened = [detail.split(" on ")[0] for detail in seen.details("opening") if detail.startswith("process 1 of 6")]
    assert opened == [
        f"process 1 of 6, case {number} of 4, {name}"
        for number, name in enumerate(("a.onnx", "base a.onnx", "b.onnx", "base b.onnx"), 1)
    ]
    rounds = list(dict.fromkeys(detail.split(",")[0] for detail in seen.details("round ")))
    assert rounds == [f"round {number} of 6" for number in range(1, 7)], "as asked for, though four cases run"
    assert [case.model for case in new.cases] == [case.model for case in new.base_cases] == list(map(str, models))
    assert new.interleaved_with == base.base.created
    result = judge(new, base)
    assert result is not None and result.interleaved and result.passed
    assert [row.ratio for row in result.rows] == [1.0, 1.0]
    assert "a.onnx is the same file that" in notes_of(new)
    kept = saved(new, tmp_path / "new.json")
    assert replace(kept.base, machine=new.machine) == new
    assert compare(base.base, kept.base).rows == result.rows
    # The other way round the new run is the old one, and the pairs are the same.
    assert compare(kept.base, base.base).interleaved


def test_an_overwritten_model_is_compared_from_storage_and_said(models: list[Path], tmp_path: Path) -> None:
    base = slower_base(base_of(models, tmp_path / "base.json"), 2.0)
    models[0].write_bytes(OTHER_BYTES)
    new = run_against(models, QUICK, base, worker=FAKE)
    assert [case.model for case in new.base_cases] == [str(models[1])]
    assert f"{models[0]} has been overwritten since" in notes_of(new)
    result = judge(new, base)
    assert result is not None and not result.interleaved and not result.passed
    stored, again = result.rows
    assert not stored.interleaved and stored.past_limit and stored.ratio == pytest.approx(2.0)
    assert again.interleaved and again.verdict == "same"


def test_a_copy_beside_the_base_will_do(models: list[Path], tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    base = base_of(models[:1], archive / "base.json")
    shutil.copy(models[0], archive / "a.onnx")
    models[0].write_bytes(OTHER_BYTES)
    new = run_against(models[:1], QUICK, base, worker=FAKE)
    assert len(new.base_cases) == 1 and notes_of(new) == ""
    assert new.base_cases[0].model_sha256 == base.base.cases[0].model_sha256 != new.cases[0].model_sha256


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_sha256": None}, "does not contain the SHA-256"),
        ({"model_sha256": "0" * 64}, "has been overwritten"),
        ({"model": "gone/a.onnx"}, "cannot be read any more (There is no file gone/a.onnx"),
        ({"model": "/dev/zero/a.onnx"}, "cannot be read any more"),
        ({"model": "/dev/zero"}, "a pipe, a device or a socket"),
        ({"model": "\x00"}, "cannot be read any more"),
    ],
)
def test_why_a_model_is_not_at_hand(
    models: list[Path], tmp_path: Path, change: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base's author chose the path: nothing there may hang or crash the run."""
    (tmp_path / "elsewhere").mkdir()
    base = base_of(models[:1], tmp_path / "elsewhere" / "base.json")
    cases = (replace(base.base.cases[0], **change),)
    base = saved(replace(base.base, cases=cases), base.path)
    new = run_against(models[:1], QUICK, base, worker=FAKE)
    assert words in notes_of(new) and "stored samples" in notes_of(new)
    assert not new.base_cases and new.interleaved_with is None
    result = judge(new, base)
    assert result is not None and not result.interleaved


def test_a_base_that_fails_when_it_runs_again_is_compared_from_storage(models: list[Path], tmp_path: Path) -> None:
    options = replace(QUICK, batches=(fake.FINE, fake.CRASHES), processes=1)
    base = base_of(models[:1], tmp_path / "base.json", options)
    fine = base.base.cases[0].samples_ms
    fixed = {"status": "ok", "error": None, "samples_ms": fine, "round_processes": []}
    cases = tuple(replace(case, **fixed) for case in base.base.cases)  # type: ignore[arg-type]
    base = saved(replace(base.base, cases=cases), base.path)
    new = run_against(models[:1], options, base, worker=FAKE)
    assert [case.batch for case in new.base_cases] == [fake.FINE]
    assert "failed when it ran again (it crashed (SIGSEGV))" in notes_of(new)
    result = judge(new, base)
    assert result is not None and not passed(new)
    assert [row.reason for row in result.rows] == [None, "It failed in the new run: it crashed (SIGSEGV)"]


def test_the_base_runs_with_its_own_options_in_real_processes(models: list[Path], tmp_path: Path) -> None:
    key = "session.intra_op.allow_spinning"
    before = replace(QUICK, rounds=2, provider_options={f"cpu:{key}": "0"})
    base = saved(run_benchmark(models[:1], before), tmp_path / "base.json")
    assert base.base.cases[0].provider_options == {key: "0"}
    new = run_against(models[:1], replace(QUICK, rounds=2), base)
    assert passed(new) and new.base_cases[0].options[key] == "0" and key not in new.cases[0].options
    assert all(len(case.samples_ms) == 2 for case in (*new.cases, *new.base_cases))
    result = judge(new, base)
    assert result is not None
    assert any(f"{key}=0 in the old run, no options in the new" in note for note in result.notes)


def test_auto_is_resolved_before_rows_are_matched(
    models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = base_of(models[:1], tmp_path / "base.json")
    monkeypatch.setattr(judging, "best_provider_here", lambda precision, threads: "cpu")
    new = run_against(models[:1], replace(QUICK, providers=("auto",)), base, worker=FAKE)
    assert len(new.base_cases) == 1
    monkeypatch.setattr(judging, "best_provider_here", lambda precision, threads: "openvino")
    with pytest.raises(UsageError, match="no case in common"):
        run_against(models[:1], replace(QUICK, providers=("auto",)), base, worker=FAKE)


def test_an_interruption_judges_what_there_is(models: list[Path], tmp_path: Path) -> None:
    base = base_of(models[:1], tmp_path / "base.json")
    new = run_against(models[:1], QUICK, base, watch=interrupting(11), worker=FAKE)
    assert interrupted(new) and [len(case.samples_ms) for case in (*new.cases, *new.base_cases)] == [5, 6]
    assert judge(new, base) is not None
    nothing = run_against(models[:1], QUICK, base, watch=interrupting(0), worker=FAKE)
    assert interrupted(nothing) and judge(nothing, base) is None


def test_where_all_in_common_failed_there_is_nothing_to_judge(models: list[Path], tmp_path: Path) -> None:
    base = base_of(models[:1], tmp_path / "base.json")
    cases = (replace(base.base.cases[0], batch=fake.DECLINES),)
    base = saved(replace(base.base, cases=cases), base.path)
    new = run_against(models[:1], replace(QUICK, batches=(fake.FINE, fake.DECLINES)), base, worker=FAKE)
    assert [case.status for case in new.cases] == ["ok", "failed"]
    assert judge(new, base) is None and not passed(new)


def with_times(base: Against, samples: list[list[float]]) -> dict[str, Any]:
    cases = tuple(replace(case, samples_ms=samples, round_processes=[]) for case in base.base.cases)
    return replace(base.base, cases=cases).to_json()


@pytest.mark.parametrize(
    ("spoil", "more", "words"),
    [
        (lambda base: None, [], "There is no benchmark"),
        (lambda base: "no JSON", [], "is not a benchmark"),
        (
            lambda base: base.base.to_json() | {"schema": "resnetx.bench/9"},
            [],
            "has the schema 'resnetx.bench/9'",
        ),
        (lambda base: base.base.to_json() | {"cases": []}, [], "without any case"),
        (lambda base: with_times(base, []), [], "has no samples of the cases"),
        (lambda base: base.base.to_json() | {"machine": {"processor": "Z"}}, [], "--any-machine"),
        (lambda base: base.base.to_json(), ["--batch", "2"], "no case in common"),
        (lambda base: base.base.to_json(), ["--max-slowdown", "2"], "such as 5%"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_base_that_will_not_do_is_refused_before_anything_runs(
    models: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Any,
    more: list[str],
    words: str,
) -> None:
    base = base_of(models[:1], tmp_path / "base.json")
    content = spoil(base)
    base.path.unlink()
    if content is not None:
        base.path.write_text(content if isinstance(content, str) else json.dumps(content))

    def nothing_may_run(*_: Any, **__: Any) -> Benchmark:
        raise AssertionError

    monkeypatch.setattr(judging, "run_cases", nothing_may_run)
    arguments = [models[0], "--provider", "cpu", "--threads", "1", "--against", base.path, *more]
    assert run(monkeypatch, "bench", *arguments) == 2
    captured = capsys.readouterr()
    assert words in " ".join(captured.err.split()) and captured.out == ""


def test_traffic_and_a_limit_for_nothing_are_refused(models: list[Path], tmp_path: Path) -> None:
    base = base_of(models[:1], tmp_path / "base.json")
    with pytest.raises(UsageError, match="the scenario offline has no rounds"):
        run_against(models[:1], replace(QUICK, scenario="offline", rounds=None), base, worker=FAKE)


def test_a_limit_without_a_base_is_refused(
    models: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in (["--max-slowdown", "3%"], ["--any-machine"], ["--require-decision"]):
        assert run(monkeypatch, "bench", models[0], *option) == 2
        assert "--against" in capsys.readouterr().err


@pytest.mark.parametrize(("limit", "status"), [("5%", 1), ("200%", 0)])
def test_the_command_judges_and_writes(
    models: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    limit: str,
    status: int,
) -> None:
    base = slower_base(base_of(models, tmp_path / "base.json"), 2.0)
    models[0].write_bytes(OTHER_BYTES)
    monkeypatch.setattr(judging, "run_against", partial(run_against, worker=FAKE))
    files: list[str | Path] = ["--json", tmp_path / "new.json", "--html", tmp_path / "new.html"]
    words = ["--provider", "cpu", "--threads", "1", "--rounds", "6", "--no-verify"]
    words += ["--against", base.path, "--max-slowdown", limit]
    assert run(monkeypatch, "bench", *models, *words, *files) == status
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "some rows run in interleaved rounds" in out and "overwritten" in out and ("SLOWER" in out) == (status == 1)
    page = (tmp_path / "new.html").read_text()
    assert "Comparison with the earlier run" in page and "overwritten" in page and ("✗ SLOWER" in page) == (status == 1)
    # The file holds what compare needs to say the same again.
    assert run(monkeypatch, "compare", base.path, tmp_path / "new.json", "--max-slowdown", limit) == status
    assert "some rows run in interleaved rounds" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("require", [False, True])
def test_a_row_that_is_not_decided_fails_only_if_decisions_are_required(
    models: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    require: bool,
) -> None:
    base = base_of(models[:1], tmp_path / "base.json", replace(QUICK, rounds=2))
    monkeypatch.setattr(judging, "run_against", partial(run_against, worker=FAKE))
    words = ["--provider", "cpu", "--threads", "1", "--rounds", "2", "--no-verify", "--against", base.path]
    status = run(monkeypatch, "bench", models[0], *words, *(["--require-decision"] if require else []))
    out = " ".join(capsys.readouterr().out.split())
    assert status == int(require) and "UNDECIDED: 1 of 1; no row can be told" in out and "PASSED" not in out


def test_another_network_is_not_compared(models: list[Path], tmp_path: Path) -> None:
    base = base_of(models[:1], tmp_path / "base.json")
    models[1].write_bytes(single("Relu", [1, 3], [1, 3]))
    with pytest.raises(UsageError, match="are different networks"):
        run_against(models[1:], QUICK, base, worker=FAKE)


def test_another_machine_is_accepted_when_told(models: list[Path], tmp_path: Path) -> None:
    base = base_of(models[:1], tmp_path / "base.json")
    base = saved(replace(base.base, machine={"processor": "Z"}), base.path, any_machine=True)
    new = run_against(models[:1], QUICK, base, worker=FAKE)
    result = judge(new, base)
    assert result is not None and result.interleaved  # both ran here, so that nothing need be said of the other


def test_no_digest_speaks_for_weights_in_other_files(tmp_path: Path) -> None:
    import onnx

    from resnetx.benchmark.plan import look_into

    plain, split = tmp_path / "plain.onnx", tmp_path / "split.onnx"
    plain.write_bytes(small_classifier())
    model = onnx.load(plain)
    onnx.save_model(model, split, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert len(look_into(plain).sha256 or "") == 64 and look_into(split).sha256 is None


def test_only_cases_that_ran_again_are_paired() -> None:
    """The machine became slower; what ran again became slower with it."""
    drift = [[12.0 * (1 + 0.001 * (-1) ** number)] * 5 for number in range(20)]
    stored = [[10.0 * (1 + 0.001 * (-1) ** number)] * 5 for number in range(20)]

    def case(model: str, samples: list[list[float]]) -> BenchCase:
        return BenchCase(model=model, provider="cpu", batch=1, threads=1, samples_ms=samples)

    cases = (case("a", stored), case("b", stored))
    old = summarized(Benchmark(created="then", machine={}, limits=None, cases=cases))
    new = Benchmark(
        created="now",
        machine={},
        limits=None,
        cases=(case("a", drift), case("b", drift)),
        interleaved_with="then",
        base_cases=(case("b", drift),),
    )
    apart, together = compare(old, summarized(new)).rows
    assert (apart.interleaved, together.interleaved) == (False, True)
    assert (apart.verdict, together.verdict) == ("slower", "same")
