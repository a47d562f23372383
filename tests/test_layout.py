from pathlib import Path

import pytest

from teacherlm.errors import UserError
from teacherlm.layout import Enhanced, grouped


def given(*kinds: str, by: str = "T") -> Enhanced:
    return Enhanced(Path(f"{by}_{'_'.join(kinds)}.jsonl"), kinds, by)


def names(*inputs: Enhanced) -> list[list[str]]:
    return [[str(one.path) for one in group] for group in grouped(inputs)]


def test_specialists_of_different_kinds_are_one_group() -> None:
    assert names(given("error", by="E"), given("cot", by="C"), given("fundamental", by="F")) == [
        ["E_error.jsonl", "C_cot.jsonl", "F_fundamental.jsonl"]
    ]


def test_the_same_kinds_of_several_teachers_are_stacked() -> None:
    assert names(given("cot", by="A"), given("cot", by="B")) == [["A_cot.jsonl"], ["B_cot.jsonl"]]
    both = ("cot", "error")
    assert names(given(*both, by="A"), given(*both, by="B")) == [["A_cot_error.jsonl"], ["B_cot_error.jsonl"]]


def test_one_teacher_asked_in_two_ways_is_stacked_as_well() -> None:
    assert len(grouped([given("cot", by="A"), given("cot", by="A")])) == 2


def test_two_teachers_with_a_file_for_each_kind_are_a_group_each() -> None:
    inputs = [given(kind, by=by) for kind in ("cot", "error", "fundamental") for by in "AB"]
    assert names(*inputs) == [[f"{by}_{kind}.jsonl" for kind in ("cot", "error", "fundamental")] for by in "AB"]
    assert names(given("cot", "error", by="A"), given("cot", by="B"), given("error", by="B")) == [
        ["A_cot_error.jsonl"],
        ["B_cot.jsonl", "B_error.jsonl"],
    ]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            [given("cot", by="A"), given("cot", by="B"), given("error", by="C")],
            r"^A_cot\.jsonl: several inputs give 'cot'.*; A gives no 'error'",
        ),
        ([given("cot", by="A"), given("cot", by="A"), given("error", by="A")], r"A gives 'cot' 2 times"),
        ([given("cot", "error", by="A"), given("cot", by="B")], r"B gives no 'error'"),
    ],
)
def test_what_belongs_together_must_be_clear(inputs: list[Enhanced], message: str) -> None:
    with pytest.raises(UserError, match=message):
        grouped(inputs)
