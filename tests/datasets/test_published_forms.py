"""What the published datasets share: names of configurations, splits without answers, texts of guessed types."""

from pathlib import Path
from typing import Any

import pytest
from dataset_files import read, write_lines, write_text

from teacherlm.datasets._splits import with_config
from teacherlm.datasets._texts import as_rationale, as_sentences, as_text
from teacherlm.errors import UserError
from teacherlm.store.sources import Origin


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("openai/gsm8k", "openai/gsm8k:main"),
        ("openai/gsm8k:socratic", "openai/gsm8k:socratic"),
        ("./nowhere/train.jsonl", "./nowhere/train.jsonl"),
    ],
)
def test_a_plain_hub_name_gets_its_configuration(place: str, expected: str):
    assert with_config(Origin(place, encoding="latin-1"), "main") == Origin(expected, encoding="latin-1")


def test_a_folder_gets_it_only_where_it_has_one(tmp_path: Path):
    assert with_config(Origin(str(tmp_path)), "main").place == str(tmp_path)
    (tmp_path / "main").mkdir()
    assert with_config(Origin(str(tmp_path)), "main").place == str(tmp_path / "main")


def test_a_hub_name_with_a_configuration_is_loaded_as_the_library_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The library looks for `owner/name` on the disk first: the repository written by hand stands for the hub's."""
    card = "---\nconfigs:\n" + "".join(f"- config_name: winogrande_{s}\n  data_files: {s}/train.jsonl\n" for s in ("m", "xl")) + "---\n"
    write_text(tmp_path / "allenai" / "winogrande" / "README.md", card)
    for size in ("m", "xl"):
        row = {"sentence": f"{size} _", "option1": "a", "option2": "b", "answer": "2"}
        write_lines(tmp_path / "allenai" / "winogrande" / size / "train.jsonl", [row])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (question,) = read("winogrande", "allenai/winogrande:winogrande_m")["train"]
    assert (question.question, question.answer) == ("m _", "B")


def test_a_split_whose_first_row_cannot_be_read_is_not_taken_for_one_without_answers(tmp_path: Path):
    write_lines(tmp_path / "dev_rand_split.jsonl", [{"answerKey": "A", "question": "?", "choices": ["x", "y"]}])
    write_text(tmp_path / "train_rand_split.jsonl", "{broken\n")
    with pytest.raises(UserError, match=r"train_rand_split\.jsonl:1: not valid JSON"):
        read("commonsense_qa", tmp_path)


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (None, ""), (5, "5"), ("“a” b", "“a” b")])
def test_a_cell_whose_type_was_guessed_is_the_text_it_was(value: Any, text: str):
    assert as_text(value) == text


@pytest.mark.parametrize("text", ["n/a", "N/A", " n/a. ", "NaN", "none", "-", "", None])
def test_a_placeholder_is_no_rationale(text: str | None):
    assert as_rationale(text) == ""


def test_a_rationale_stays_as_it_was_written():
    assert as_rationale(" None of them.\n") == " None of them.\n"


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (["A  is\tb", "", "C is d."], "A is b. C is d."),
        (["Is it?", 'He said "no."', "Wait!", "n/a"], 'Is it? He said "no." Wait!'),
        (["One,", "two;"], "One. two."),
        (["a\u00a0b "], "a\u00a0b."),
        ([], ""),
    ],
)
def test_facts_become_sentences(facts: list[str], text: str):
    assert as_sentences(facts) == text
