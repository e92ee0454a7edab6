"""What a reader takes away first: the verdict on a run, its fastest correct rows, and remarks of a kind as one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetx.benchmark.result import BenchCase, Benchmark, Summary
from resnetx.report.bench_rows import BenchRow, bench_rows
from resnetx.report.html.headline import grouped, leaders, verdict_on
from resnetx.report.html.table import Column, Row, figure, make_table, words
from tests.support.sample_benchmark import sample_parity

CASE = BenchCase(model="m.onnx", provider="cpu", batch=1, threads=2, summary=Summary(images_per_s=10.0))
GOOD = replace(CASE, parity=sample_parity(1, passed=True))
WRONG = replace(CASE, parity=sample_parity(1, passed=False), summary=Summary(images_per_s=99.0))
FAILED = replace(CASE, status="failed")


def rows_of(*cases: BenchCase) -> tuple[BenchRow, ...]:
    return bench_rows(Benchmark(created="", machine={}, limits=None, cases=cases))


@pytest.mark.parametrize(
    ("cases", "good", "words"),
    [
        ((), None, "There are no cases."),
        ((GOOD,), True, "1 case, finished and verified."),
        ((GOOD, GOOD), True, "2 cases, all finished and verified."),
        ((GOOD, CASE), None, "2 cases, 1 not verified."),
        ((GOOD, FAILED, WRONG), False, "3 cases, 1 not finished, 1 with wrong outputs."),
    ],
)
def test_the_verdict_counts_what_is_wrong(cases: tuple[BenchCase, ...], good: bool | None, words: str) -> None:
    assert verdict_on(rows_of(*cases)) == (good, words)


def test_the_fastest_row_is_a_correct_one_also_where_it_is_the_only_one() -> None:
    rows = rows_of(WRONG, GOOD, FAILED, replace(FAILED, model="none.onnx"), replace(WRONG, model="none.onnx"))
    assert leaders(rows) == {"m.onnx": rows[1], "none.onnx": None}
    fast = replace(GOOD, provider="torch", summary=Summary(images_per_s=20.0))
    rows = rows_of(GOOD, fast)
    assert leaders(rows) == {"m.onnx": rows[1]}


def test_remarks_that_differ_in_numbers_are_one_with_their_range() -> None:
    found = grouped(
        [
            ("a, batch 1", "Other programs used 0.4 of the 2 processors."),
            ("b", "Samples drift."),
            ("c", "Other programs used 1.9 of the 2 processors."),
            ("d", "Other programs used 1,000 of the 2 processors."),
        ]
    )
    assert [(each.words, each.labels) for each in found] == [
        ("Other programs used 0.4 to 1,000 of the 2 processors.", ("a, batch 1", "c", "d")),
        ("Samples drift.", ("b",)),
    ]


def test_numbers_in_names_are_names() -> None:
    found = grouped(
        [("a", "resnet18 is slow."), ("b", "resnet50 is slow."), ("c", "v1.2.3 of it"), ("d", "v1.2.4 of it")]
    )
    assert len(found) == 4


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=30)), max_size=8))
def test_no_remark_is_lost(remarks: list[tuple[str, str]]) -> None:
    found = grouped(remarks)
    assert sorted(label for each in found for label in each.labels) == sorted(label for label, _ in remarks)
    assert all(each.words == dict(remarks)[each.labels[0]] for each in found if len(each.labels) == 1 == len(remarks))
    assert [len(each.labels) for each in found] == sorted((len(each.labels) for each in found), reverse=True)


def test_a_column_of_which_nothing_is_known_is_left_out_and_other_dashes_are_explained() -> None:
    columns = [Column("a", "name"), Column("b", "speed"), Column("c", "energy"), Column("d", "memory")]
    table = make_table(
        columns,
        [
            Row((words("x"), figure(1.0), figure(None, "no meter"), figure(None, "not measured"))),
            Row((words("y"), figure(None, "it failed"), figure(None, "no meter"), figure(2.5))),
        ],
    )
    assert [column.title for column in table.columns] == ["name", "speed", "memory"]
    assert table.dashes == ["memory: not measured", "speed: it failed"]
    assert [cell.shown for cell in table.rows[1].cells] == ["y", None, "2.50"]
