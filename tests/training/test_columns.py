"""A row gives one example for each column that `train_on` names."""

from pathlib import Path

import pytest

from teacherlm.errors import UserError
from teacherlm.stages.finetune import FinetuneConfig
from teacherlm.training.columns import columns_of
from teacherlm.training.objectives.sft import SftSettings
from teacherlm.training.texts import Reader, Table
from teacherlm.training.tokens import texts_of

THERE = ("prompt", "text", "cot_tail", "error_tail", "fundamental_tail", "cot_head")
HERE = Path("examples")


def table(count: int) -> Table:
    columns = ("prompt", "cot_tail", "error_tail")
    rows = [{"prompt": f"Q: {i}? A:", "cot_tail": f"Q: {i}? A: {i}, since.", "error_tail": f"Q: {i}? A: {i}, not."} for i in range(count)]
    return Table(rows, columns, HERE)


@pytest.mark.parametrize(
    ("train_on", "columns"),
    [
        ("cot_tail", ["cot_tail"]),
        ("error_tail+cot_tail", ["error_tail", "cot_tail"]),
        ("all_kinds", ["cot_tail", "error_tail", "fundamental_tail"]),
        ("all_kinds_head", ["cot_head"]),
        ("explanation", ["explanation"]),
    ],
)
def test_what_is_trained_on_is_one_column_several_or_all_kinds(train_on: str, columns: list[str]) -> None:
    assert columns_of(train_on, THERE, HERE) == columns


def test_a_column_with_a_plus_in_its_name_is_itself() -> None:
    assert columns_of("c++", ("c++",), HERE) == ["c++"]


def test_all_kinds_of_a_dataset_without_any_are_refused() -> None:
    with pytest.raises(UserError, match="train_on all_kinds: there is no column cot_tail or error_tail or fundamental_tail"):
        columns_of("all_kinds", ("prompt", "text"), HERE)


def test_a_row_gives_its_examples_one_behind_the_other() -> None:
    texts = SftSettings().texts(table(2), "all_kinds", True, None)
    assert [text.text for text in texts] == ["Q: 0? A: 0, since.", "Q: 0? A: 0, not.", "Q: 1? A: 1, since.", "Q: 1? A: 1, not."]
    assert {text.text[text.start] for text in texts} == {" "}


def test_a_row_is_held_out_with_all_its_examples() -> None:
    config = FinetuneConfig(input=HERE, output=HERE, model="any", train_on="all_kinds", held_out=0.25)
    kept, held_out = texts_of(config, table(40), Reader(None, "any"))
    assert len(held_out) == 20 and len(kept) == 60
    assert not {text.text[:6] for text in held_out} & {text.text[:6] for text in kept}


def test_a_name_that_is_no_column_is_refused_with_those_that_are() -> None:
    with pytest.raises(UserError, match=r"no column 'cot_tial' to train on; columns of text: prompt, cot_tail, error_tail"):
        SftSettings().texts(table(1), "error_tail+cot_tial", True, None)
