"""Logs of zero-shot-CoT: the published accuracies come out of the texts alone, in every dialect."""

import json
import re
from pathlib import Path

import pytest

from teacherlm.answers.scores import score_completion, summarise
from teacherlm.errors import UserError
from teacherlm.exports.imports import import_file, log_rows
from teacherlm.exports.zero_shot_cot import Head, LoggedAnswer, read_log

HEAD = """
arguments:
--method={method} --dataset={dataset}
*****************************
Namespace(api_log_content=MyDict(), cot_trigger="Let's think step by step.", dataset='{dataset}', direct_answer_trigger='{trigger}', \
direct_answer_trigger_for_zeroshot='{at_once}', max_length_cot=128, method='{method}', model='gpt3-xl', random_seed=1)
*****************************
setup data loader ...
dataset : {dataset}
data size : 2
2022/05/14 00:45:06
"""
NUMERALS = {"trigger": "\\nTherefore, the answer (arabic numerals) is", "at_once": "The answer (arabic numerals) is"}
STARS = "*" * 25


def block(number: int, text: str, gold: str, said: str = "?") -> str:
    ends = f"pred_before : {said}\npred_after : {said}\npred_list : ['{said}']\npred_mode : {said}\nGT : {gold}"
    return f"{STARS}\n{number}st data\n1_th_sampling\n{text}\n{ends}\n{STARS}\n"


def log(tmp_path: Path, *blocks: str, head: str = "") -> Path:
    path = tmp_path / "x.log"
    path.write_text(head + "".join(blocks) + "accuracy : 50.0\n./log/x.json\n", encoding="utf-8", newline="")
    return path


def answers(path: Path) -> list[LoggedAnswer]:
    return [answer for _, answer in read_log(path)]


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "rows", "right", "as_the_authors"),
    [
        # The oldest log was cleansed of colons first: "3:46." became 346 (right is 4).
        ("multiarith", 600, 472, 599),
        ("aqua", 254, 85, 254),
        ("coin_flip", 500, 457, 500),
        ("date_understanding", 369, 249, 369),
    ],
)
def test_the_published_accuracies_are_reproduced(test_data: Path, name: str, rows: int, right: int, as_the_authors: int) -> None:
    path = test_data / "data" / "zero_shot_cot" / "log" / f"{name}_zero_shot_cot.log"
    text = path.read_text(encoding="utf-8")
    read = list(read_log(path))
    assert {head.dataset for head, _ in read} == {name}
    scores = [score_completion(answer.completion, answer.gold, name) for _, answer in read]
    published = re.search(r"^accuracy : (.*)$", text, re.MULTILINE)
    assert published is not None
    assert summarise(scores).accuracy == pytest.approx(float(published[1]) / 100, abs=1e-12)
    assert (len(scores), sum(score.correct for score in scores)) == (rows, right)
    theirs = re.findall(r"^pred_after : ?(.*)$", text, re.MULTILINE)
    assert sum((score.found or "") == said for score, said in zip(scores, theirs, strict=True)) == as_the_authors
    assert [answer.number for _, answer in read] == list(range(1, rows + 1))


@pytest.mark.real
def test_every_text_of_a_real_log_is_kept_whole(test_data: Path) -> None:
    path = test_data / "data" / "zero_shot_cot" / "log" / "aqua_zero_shot_cot.log"
    text = path.read_text(encoding="utf-8")
    for _, answer in read_log(path):
        assert f"{answer.prompt}{answer.completion}\npred_before :" in text
        assert answer.prompt == f"{answer.reasoning_prompt}{answer.reasoning_completion} \nTherefore, among A through E, the answer is"


def test_thoughts_may_hold_blank_lines_enumerations_and_the_sentence_that_asks(tmp_path: Path) -> None:
    thoughts = " \n\n1. She has 3.\n\n2. A: none.\nTherefore, the answer (arabic numerals) is 9? No.\n*****\nSo 8."
    text = f"Q: How many?\nSay it.\nA: Let's think step by step.{thoughts} \nTherefore, the answer (arabic numerals) is 8. \n\n"
    (answer,) = answers(log(tmp_path, block(7, text, "8"), head=HEAD.format(method="zero_shot_cot", dataset="singleeq", **NUMERALS)))
    assert answer.question == "How many?\nSay it."
    assert answer.reasoning_completion == thoughts
    assert answer.completion == " 8. \n\n"
    assert (answer.number, answer.gold, answer.reasoning_prompt) == (7, "8", "Q: How many?\nSay it.\nA: Let's think step by step.")


def test_the_last_sentence_of_the_programs_own_shape_is_the_one_that_asks(tmp_path: Path) -> None:
    asking = "\nTherefore, the answer is"
    text = f'Q: Which?\nA: Let\'s think step by step. x.{asking} "ab". {asking} "abc".{asking} x.'
    head = HEAD.format(method="zero_shot_cot", dataset="last_letters", trigger="\\nTherefore, the answer is", at_once="The answer is")
    (answer,) = answers(log(tmp_path, block(1, text, "abc"), head=head))
    assert answer.completion == ' "abc".\nTherefore, the answer is x.'


def test_zero_shot_logs_have_no_thoughts(tmp_path: Path) -> None:
    head = HEAD.format(method="zero_shot", dataset="addsub", **NUMERALS)
    text = "Q: How many ?\nA: The answer (arabic numerals) is \n\n1892"
    path = log(tmp_path, block(1, text, "1892.0"), block(2, text.replace("1892", "7."), "8"), head=head)
    rows = list(log_rows(path))
    assert [row["completion"] for row in rows] == [" \n\n1892", " \n\n7."]
    assert [row["found"] for row in rows] == ["1892", "7"]
    assert "cot" not in rows[0] and "reasoning_completion" not in rows[0]
    assert (rows[0]["prediction_template"], rows[0]["dataset_key"], rows[0]["answer_rule"]) == ("zs", "addsub", "number")


def test_few_shot_logs_begin_with_shots_that_are_no_part_of_the_question(tmp_path: Path) -> None:
    shots = "Q: One and one?\nA: 1 + 1 = 2. The answer is 2.\n\nQ: Two and two?\nA: It is 4. The answer is 4.\n\n"
    head = HEAD.format(method="few_shot_cot", dataset="multiarith", **NUMERALS)
    one = f"{shots}Q: Two and three?\nA: 2 + 3 = 5. The answer is 5.\n\nQ: More?\nA: The answer is 6."
    other = f"{shots}Q: Two and four?\nA: Six, I think"
    read = answers(log(tmp_path, block(1, one, "5"), block(2, other, "6"), block(3, one, "5"), head=head))
    assert [answer.question for answer in read] == ["Two and three?", "Two and four?", "Two and three?"]
    assert read[0].completion == " 2 + 3 = 5. The answer is 5.\n\nQ: More?\nA: The answer is 6."
    assert read[0].prompt == f"{shots}Q: Two and three?\nA:"
    rows = list(log_rows(tmp_path / "x.log"))
    assert [row["found"] for row in rows] == ["5", None, "5"]
    assert rows[0]["cot"] == " 2 + 3 = 5. " and rows[0]["prediction_template"] == "fs_cot"


def test_a_log_without_head_and_accuracy_is_read_where_the_dataset_is_given(tmp_path: Path) -> None:
    text = "Q: Is it?\nA: Let's think step by step. Yes and no. \nTherefore, the answer (Yes or No) is:\n\nYes"
    path = tmp_path / "x.log"
    path.write_text(f"1st data\n{text}\npred_before : Yes\nGT : yes\n", encoding="utf-8")
    (row,) = log_rows(path, "coin_flip")
    assert (row["completion"], row["found"], row["cot"]) == (":\n\nYes", "yes", " Yes and no.")
    with pytest.raises(UserError, match=r"x.log:1: the log does not name its dataset; give it with --dataset-key."):
        list(log_rows(path))


def test_newer_logs_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    text = "Q: Is it?\nA: Let's think step by step. Hm. \nTherefore, the answer (Yes or No) is No.\n**************************"
    newer = f"{STARS}\n1st data\n{text}\npred_before :  No.\npred_after : no\npred : no\nGT : no\n{STARS}\n"
    head = HEAD.format(
        method="zero_shot_cot", dataset="strategyqa", trigger="\\nTherefore, the answer (Yes or No) is", at_once="The answer is"
    )
    (answer,) = answers(log(tmp_path, newer.replace("\n", "\r\n"), head=head))
    assert answer.completion == " No."


def test_several_answers_to_a_question_are_kept_apart(tmp_path: Path) -> None:
    text = "Q: How many?\nA: Let's think step by step. {0}. \nTherefore, the answer (arabic numerals) is {0}."
    one = f"1st data\n1_th_sampling\n{text.format(3)}\npred_before : 3.\npred_after : 3\n"
    two = f"2_th_sampling\n{text.format(4)}\npred_before : 4.\npred_after : 4\npred_list : ['3', '4']\npred_mode : 3\nGT : 3\n"
    rows = list(log_rows(log(tmp_path, one + two, head=HEAD.format(method="zero_shot_cot", dataset="gsm8k", **NUMERALS))))
    assert [(row["id"], row["completion_index"], row["found"]) for row in rows] == [("gsm8k-0", 0, "3"), ("gsm8k-0", 1, "4")]


def test_an_empty_answer_is_an_answer(tmp_path: Path) -> None:
    text = "Q: How many?\nA: Let's think step by step. Hm. \nTherefore, the answer (arabic numerals) is \n"
    (row,) = log_rows(log(tmp_path, block(1, text, "20", said=""), head=HEAD.format(method="zero_shot_cot", dataset="svamp", **NUMERALS)))
    assert (row["completion"], row["found"], row["answer"]) == (" \n", None, "20")


def test_a_question_that_is_cut_off_is_left_out_with_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "Q: How many?\nA: Let's think step by step. Hm. \nTherefore, the answer (arabic numerals) is 3."
    cut = f"{STARS}\n2st data\n1_th_sampling\n{text}\nTraceback (most recent call last):\n"
    head = HEAD.format(method="zero_shot_cot", dataset="svamp", **NUMERALS)
    read = answers(log(tmp_path, block(1, text, "3"), cut, block(2, text, "3"), cut, head=head))
    assert [answer.number for answer in read] == [1, 2]
    assert capsys.readouterr().err.count("question 2 is cut off") == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("hello\n", "is no log of zero-shot-CoT"),
        ("1st data\nX: how?\npred_before : 1\nGT : 1\n", "x.log:1: expected 'Q: ...' and a line 'A: ...', found 'X: how?'"),
        ("1st data\nQ: how?\nA: Let's think step by step. 3\npred_before : 1\nGT : 1\n", "x.log:1: the question that asks for the answer"),
    ],
)
def test_what_is_no_log_is_refused_with_its_place(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "x.log"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(said)):
        list(log_rows(path, "svamp"))


@pytest.mark.real
def test_postprocess_makes_examples_of_an_imported_log(test_data: Path, tmp_path: Path) -> None:
    from datasets import load_from_disk

    from teacherlm.stages.postprocess import PostprocessConfig, postprocess

    path = test_data / "data" / "zero_shot_cot" / "log" / "date_understanding_zero_shot_cot.log"
    assert import_file("zero_shot_cot", path, tmp_path / "x.jsonl") == 369
    first = json.loads((tmp_path / "x.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first["choices"][:2] == ["09/22/2021", "09/09/2021"] and first["answer"] == "D"
    assert first["prompt"].endswith("(F) 08/11/2021 A:")
    config = {"input": [tmp_path / "x.jsonl"], "output": tmp_path / "out", "verify": []}
    outcome = postprocess(PostprocessConfig.model_validate(config))
    assert outcome.counts["in"] == 369 and outcome.counts["out"] > 350
    row = load_from_disk(str(tmp_path / "out"))[0]
    assert row["cot_head"].startswith("Q: It was Sept. 1st, 2021") and row["cot_head"].endswith("Therefore, the answer is (D).")


def test_the_head_reads_the_program_s_settings_as_text_only(tmp_path: Path) -> None:
    head = HEAD.format(method="zero_shot_cot", dataset="bigbench_date", **NUMERALS)
    text = "Q: When?\nA: Let's think step by step. Hm. \nTherefore, the answer (arabic numerals) is B."
    found, _ = next(iter(read_log(log(tmp_path, block(1, text, "B"), head=head))))
    assert found == Head(
        dataset="date_understanding",
        method="zero_shot_cot",
        model="gpt3-xl",
        thinking="Let's think step by step.",
        asking="Therefore, the answer (arabic numerals) is",
        asking_at_once="The answer (arabic numerals) is",
    )
