"""A paper's table from what is stored: methods down, datasets across, and which of several epochs is shown."""

import json
from pathlib import Path
from typing import Any

import pytest

from teacherlm.errors import UserError
from teacherlm.exports.completions import Reading, score_path
from teacherlm.exports.results_table import HEADINGS, EpochChoice, Table, as_csv, as_lines, as_markdown, as_text, build_table

Row = dict[str, Any]


def completions(path: Path, right: int, of: int, template: str | None = "ft_cot_token", **metadata: Any) -> Path:
    """A completion file in which so many of the answers to so many questions are right; its metadata is as its path says."""
    folder = dict(zip(("base_model", "completion_key"), path.parent.name.removeprefix("B_").split("__C_"), strict=True))
    data = {}
    for index in range(of):
        said = "yes" if index < right else "no"
        one = {"question": "Is it?", "answer": "yes", "completion": f" So it is. --> {said} END", "finish_reason": "stop"}
        data[str(index)] = [{"sample_index": index, "completion_index": 0, **one}]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"metadata": {**folder, "prediction_template": template, **metadata}, "data": data}))
    return path


def table_of(folder: Path, epoch: EpochChoice = "last") -> Table:
    return build_table(score_path(folder, Reading()), folder, epoch)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A tree as Fine-tune-CoT leaves it: a teacher, and a student at three epochs."""
    folder = tmp_path / "saved" / "completion_data"
    completions(folder / "B_davinci__C_zs_cot" / "D_coin_flip.json", 3, 4, "zs_cot", dataset_key="coin_flip")
    completions(folder / "B_davinci__C_zs_cot" / "D_strategy_qa.json", 1, 2, "zs_cot", dataset_key="strategy_qa")
    for epoch, right in ((1, 2), (2, 4), (3, 1)):
        name = f"D_coin_flip__T_ft_cot__E_{epoch:03d}.json"
        completions(folder / "B_gpt2__C_ft_cot_token" / name, right, 4, dataset_key="coin_flip", train_key="ft_cot", epoch=epoch)
    return folder


def test_methods_stand_below_each_other_and_datasets_in_the_papers_order(saved: Path) -> None:
    assert as_lines(table_of(saved)) == [
        ("base model", "completions", "trained on", "Coin", "StrategyQA"),
        ("random", "", "", "50.00", "50.00"),
        ("davinci", "zs_cot", "", "75.00", "50.00"),
        ("gpt2", "ft_cot_token", "ft_cot", "25.00", "-"),
    ]
    papers = "Single Add Multi GSM8K AQUA SVAMP Date Shuffled LastLetter Coin CSQA StrategyQA"
    assert " ".join(HEADINGS.values()) == papers


def test_the_best_epoch_is_taken_on_demand_and_marked(saved: Path) -> None:
    best = table_of(saved, "best")
    assert as_lines(best)[-1] == ("gpt2", "ft_cot_token", "ft_cot", "100.00*", "-")
    assert as_lines(best)[2][3] == "75.00", "one epoch leaves no choice"
    assert as_text(best).splitlines()[-1] == "* the best of several epochs on these very questions: an upper bound."
    assert as_markdown(best).splitlines()[1] == "| --- | --- | --- | ---: | ---: |"
    assert "*" not in as_text(table_of(saved)) and as_csv(best).splitlines()[-1] == "gpt2,ft_cot_token,ft_cot,coin_flip,1.0,4,2"


def test_the_readmes_form_of_a_name_is_a_method_by_its_finetune_key(tmp_path: Path) -> None:
    folder = tmp_path / "B_curie__C_ft_cot"
    completions(folder / "F_zs_cot_multi__D_coin_flip.json", 1, 2, dataset_key="coin_flip", finetune_key="zs_cot_multi")
    completions(folder / "D_coin_flip.json", 2, 2, dataset_key="coin_flip")
    assert as_lines(table_of(tmp_path))[2:] == [("curie", "ft_cot", "", "100.00"), ("curie", "ft_cot", "zs_cot_multi", "50.00")]
    completions(tmp_path / "again" / "B_curie__C_ft_cot" / "D_coin_flip.json", 1, 2, dataset_key="coin_flip")
    with pytest.raises(UserError, match=r"again.*and .*are both curie ft_cot on coin_flip; leave one of them out"):
        table_of(tmp_path)


def test_a_key_that_names_its_template_is_read_by_it(tmp_path: Path) -> None:
    completions(tmp_path / "B_gpt2__C_ft_cot_token_t70" / "D_coin_flip.json", 1, 2, None, dataset_key="coin_flip")
    path = tmp_path / "B_gpt2__C_ft_cot_token_t70" / "D_coin_flip.json"
    path.write_text(path.read_text().replace("So it is.", "No, yes. So it is."))
    assert as_lines(table_of(tmp_path))[-1][-1] == "50.00"
    path = completions(tmp_path / "B_gpt2__C_mine" / "D_coin_flip.json", 2, 2, None, dataset_key="coin_flip")
    path.write_text(path.read_text().replace("So it is.", "No, yes. So it is."))
    assert as_lines(table_of(tmp_path))[-1][-1] == "0.00", "no prefix is known: the first candidate counts"


def test_cells_of_different_sizes_are_said(tmp_path: Path) -> None:
    completions(tmp_path / "B_a__C_x" / "D_coin_flip.json", 1, 2, dataset_key="coin_flip")
    completions(tmp_path / "B_b__C_x" / "D_coin_flip.json", 1, 4, dataset_key="coin_flip")
    assert as_text(table_of(tmp_path)).splitlines()[-1] == "Coin: the rows were scored on 2 and 4 completions."


def measured(folder: Path, *rows: Row) -> None:
    """An output of `evaluate`, as far as a table needs it."""
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_each_number_of_shots_is_a_column_of_what_evaluate_measured(saved: Path) -> None:
    row: Row = {"metric": "acc", "task": "word_problems", "n": 4, "student_template": "teacherlm", "epoch": 1.0}
    measured(saved / "evaluate" / "tiny", {**row, "value": 0.5, "shots": 0}, {**row, "value": 0.75, "shots": 5})
    heading, *_, last = as_lines(table_of(saved))
    assert dict(zip(heading, last, strict=True)).items() >= {("word_problems", "50.00"), ("word_problems (5-shot)", "75.00")}


def test_what_evaluate_measured_stands_in_the_same_table(saved: Path) -> None:
    row = {"task": "ft_cot_coin_flip", "metric": "acc", "n": 150, "student_template": "ft_cot_token", "checkpoint": "checkpoint-9"}
    measured(saved / "evaluate" / "tiny", {**row, "epoch": 1.0, "value": 0.5}, {**row, "epoch": 2.0, "value": 0.25})
    (saved / "evaluate" / "tiny" / "other.jsonl").write_text("{}\n")
    assert as_lines(table_of(saved))[-1] == ("evaluate/tiny", "ft_cot_token", "", "25.00", "-")
    assert as_lines(table_of(saved, "best"))[-1][3] == "50.00*"
    alone = saved / "evaluate" / "tiny"
    assert as_text(table_of(alone)) == "base model  completions   trained on   Coin\ntiny        ft_cot_token              25.00"
    measured(saved / "torn", {"task": "x", "metric": "acc"})
    with pytest.raises(UserError, match=r"results\.jsonl:1: key 'epoch' is missing"):
        table_of(saved)


def test_a_file_that_does_not_say_whose_it_is_has_no_place_in_a_table(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps({"completion": "yes", "answer": "yes", "dataset_key": "coin_flip"}) + "\n")
    with pytest.raises(UserError, match=r"x\.jsonl: does not say its dataset_key, so it has no place in a table"):
        table_of(tmp_path)
