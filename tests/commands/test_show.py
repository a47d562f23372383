"""`teacherlm show`: rows as a person reads them, from the command line."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from enhanced_rows import Row, done, enhanced, soups, write_lines
from terminals import on_a_terminal, without_styles

from teacherlm.cli import main
from teacherlm.showing.reading import Lengths, read_row, read_student
from teacherlm.showing.rows import nearest
from teacherlm.visible import visible

COT = " Soup is water [bold]and[/bold] salt.\nIt flows. \x1b[31mred\x1b[0m"


def show(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    """The command line, in this process: importing the libraries once is enough."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv, code = ["teacherlm", "show", *map(str, words)], 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.argv = before
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def shown(*words: str | Path) -> str:
    ended = show(*words)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six questions, their rationales (one states the wrong answer), and the examples."""
    folder = tmp_path_factory.mktemp("run")
    texts = [COT, " It is solid. The answer is (B).", *(f" Number {i}." for i in range(4))]
    rows = [enhanced(question, cot=text) for question, text in zip(soups(folder, 6), texts, strict=True)]
    write_lines(folder / "rationales" / "CREAK_cot.jsonl", rows)
    done(folder / "examples", folder / "rationales" / "CREAK_cot.jsonl")
    (folder / "bad").mkdir()
    (folder / "bad" / "pretty.json").write_text('{\n  "a": 1\n}\n')
    return folder


def test_examples_show_question_gold_rationale_with_its_verdict_and_what_a_student_reads(run):
    text = shown(run / "examples", "--id", "t2")
    assert "--- id t2 ·" in text
    assert "question   Determine the correctness of the following sentence. Soup number 2 is liquid.\n" in text
    assert "(A) True  <- gold\n" in text and "(B) False\n" in text
    assert "cot        (finish stop, verdict unparsed) Number 0.\n" in text
    assert "(A) True (B) False A:⟦ The answer is (A). Let's think step by step. Number 0.⟧\n" in text
    assert "1 of 5 rows of" in text


def test_another_layout_and_all_of_it_with_loss(run):
    head = shown(run / "examples", "--id", "t2", "--train-on", "cot_head")
    assert "A:⟦ Let's think step by step. Number 0. The answer is (A).⟧\n" in head
    whole = shown(run / "examples", "--id", "t2", "--train-on", "text", "--loss-on", "all")
    assert "⟦Q: Determine" in whole and "The answer is (A).⟧" in whole


def test_model_text_is_shown_as_it_is_and_steers_no_terminal(run):
    text = shown(run / "examples", "--n", "1")
    assert "[bold]and[/bold]" in text and r"\x1b[31mred\x1b[0m" in text and "\x1b" not in text
    code, styled = on_a_terminal("show", run / "examples", "--n", "1")
    assert code == 0
    assert "[bold]and[/bold]" in without_styles(styled) and r"\x1b[31mred" in without_styles(styled)
    assert "\x1b[31m" not in styled


@pytest.mark.slow
def test_on_a_terminal_loss_is_coloured_and_with_no_color_it_is_marked(run):
    _, styled = on_a_terminal("show", run / "examples", "--id", "t2")
    assert "\x1b[1;32m The answer is (A)." in styled and "⟦" not in styled
    _, plain = on_a_terminal("show", run / "examples", "--id", "t2", environment={"NO_COLOR": "1"})
    assert "⟦ The answer is (A)." in plain and "\x1b[" not in plain


def test_wide_characters_stay_inside_the_terminal(tmp_path):
    question = {**soups(tmp_path, 1)[0]}
    write_lines(tmp_path / "x_cot.jsonl", [enhanced(question, cot=" 汤" * 200)])
    _, styled = on_a_terminal("show", tmp_path / "x_cot.jsonl", environment={"COLUMNS": "60"})
    from rich.cells import cell_len

    assert "汤" in styled and max(map(cell_len, without_styles(styled).splitlines())) <= 60


def test_a_text_that_holds_the_marks_gets_others_and_a_poor_encoding_too(tmp_path):
    question = soups(tmp_path, 1)[0]
    write_lines(tmp_path / "x_cot.jsonl", [enhanced(question, cot=" ⟦x⟧")])
    assert "A:[[ The answer is (A). Let's think step by step. ⟦x⟧]]" in shown(tmp_path / "x_cot.jsonl")
    command = [sys.executable, "-m", "teacherlm.cli", "show", str(tmp_path / "x_cot.jsonl")]
    poor = subprocess.run(command, capture_output=True, timeout=120, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=True).stdout
    assert b"A:[[ The answer is (A)." in poor and rb"\u27e6x\u27e7" in poor


def test_rows_of_enhance_show_the_layouts_that_postprocess_makes(run):
    before = shown(run / "rationales", "--id", "t2")
    assert "A:⟦ The answer is (A). Let's think step by step. Number 0.⟧" in before and "postprocess will make" in before
    made = {row["id"]: row["cot_tail"] for row in _dataset(run / "examples")}
    assert made["t2"].endswith(" The answer is (A). Let's think step by step. Number 0.")


def test_rejected_rows_show_their_reason(run):
    text = shown(run / "examples" / "rejected.jsonl")
    assert "dropped    gate agreement: cot is wrong" in text and "id t1" in text


def test_dropped_rows_of_prepare_show_their_reason_and_the_source(tmp_path):
    path = write_lines(
        tmp_path / "dropped.jsonl", [{"split": "train", "where": "x.json:4", "reason": "no label", "row": {"sentence": "So?"}}]
    )
    text = shown(path)
    assert "dropped    no label" in text and "sentence: So?" in text


def test_an_unknown_id_names_the_nearest(run):
    for place in (run / "examples", run / "rationales"):
        ended = show(place, "--id", "t55")
        assert ended.returncode == 2 and ended.stdout == ""
        assert "no row has the id 't55'. The nearest: t5" in ended.stderr and ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("{run}/nowhere",), "no such file or folder"),
        (("{run}",), "no rows here (found bad, examples"),
        (("{run}/questions", "--split", "test"), "No split named 'test'. Known: train."),
        (("{run}/examples", "--train-on", "cot_middle"), "no such column; columns of text:"),
        (("{run}/bad/pretty.json",), "not valid JSON"),
        (("{run}/examples", "--loss-on", "none"), "expected completion or all"),
        (("{run}/examples", "--model", "{run}"), "holds no model"),
    ],
)
def test_what_cannot_be_shown_is_one_line(run, words, says):
    ended = show(*(word.format(run=run) for word in words))
    assert ended.returncode == 2, ended.stdout
    assert says in ended.stderr and ended.stderr.count("\n") == 1


def test_drawn_rows_are_the_same_for_a_seed(run):
    first, again = shown(run / "examples", "-n", "2", "--seed", "3"), shown(run / "examples", "-n", "2", "--seed", "3")
    assert first == again
    assert len({shown(run / "rationales", "-n", "2", "--seed", str(seed)) for seed in range(4)}) > 1


def test_a_large_file_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "large.jsonl"
    row = json.dumps(
        {"id": "a", "prompt": "Q: x A:", "text": "Q: x A: The answer is 1.", "choices": [], "answer": "1", "template": "teacherlm"}
    )
    with path.open("w") as file:
        file.write(f"{row}\n" * 3)
        file.write("not json\n")
        file.write(f"{row}\n" * 300_000)
    text = shown(path, "-n", "2")
    assert text.count("id a") == 2 and f"2 rows of {path}" in text
    assert "not valid JSON" in shown(path, "-n", "4")


@pytest.mark.real
def test_raw_files_are_shown_as_prepare_reads_them(creak, test_data):
    text = shown(creak / "train.json", "-n", "1")
    assert "as `prepare creak` reads it" in text and "id train_0" in text and "A:⟦ The answer is (B).⟧" in text
    assert "id train_1842" in shown(creak / "train.json", "--id", "train_1842")
    assert "as `prepare gsm8k` reads it" in shown(test_data / "data" / "gsm8k" / "train.jsonl", "-n", "1")


@pytest.mark.real
def test_tokens_and_loss_are_those_of_training(run, stories260k):
    """Decoded from the labels that the trainer would be given."""
    from teacherlm.training.encoding import encode
    from teacherlm.training.families import IGNORE, Causal
    from teacherlm.training.sft import Sft
    from teacherlm.training.texts import build_texts, read_table

    student, family = read_student(str(stories260k), 2048), Causal()
    table = read_table(run / "examples")
    for column in ("text", "cot_tail", "cot_head"):
        texts = build_texts(table, column, True)
        for limit in (2048, 90, 30):
            narrow = type(student)(student.tokenizer, student.name, limit)
            trained = encode(texts, student.tokenizer, Sft(family), family, limit).rows
            for number, row in enumerate(trained):
                reading = read_row(dict(table.rows[number]), column, True, narrow, "here")
                assert reading.lengths.loss == int((row["labels"] != IGNORE).sum())
                learnt = student.tokenizer.decode([i for i in row["labels"] if i != IGNORE], skip_special_tokens=True)
                assert "".join(text for role, text in reading.parts if role == "loss").strip() == learnt.strip()
                assert "".join(text for _, text in reading.parts) == texts[number].text


def test_an_encoder_decoders_prompt_and_completion_are_two_texts(tmp_path):
    from teacherlm.training.scratch import build_model, build_tokenizer
    from teacherlm.training.settings import Scratch

    scratch, words = Scratch(architecture="t5", hidden_size=8, layers=1, heads=1), "Q: How many apples? A: Two."
    tokenizer = build_tokenizer(scratch, [words])
    build_model(scratch, tokenizer).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    values = {"prompt": "Q: How many apples? A:", "text": words}
    reading = read_row(values, "text", True, read_student(str(tmp_path), 2048), "here")
    assert reading.lengths == Lengths(prompt=9, completion=3, loss=3), "each with its end of text"
    cut = read_row(values, "text", True, read_student(str(tmp_path), 5), "here")
    assert cut.lengths == Lengths(prompt=9, completion=3, loss=3, cut=4)
    assert cut.parts == (("cut", "Q: How many"), ("read", " apples? A:"), ("loss", " Two."))


@pytest.mark.real
def test_the_command_counts_tokens_with_a_model(run, stories260k):
    text = shown(run / "examples", "--id", "t2", "--model", stories260k)
    assert "tokens of stories260k" in text
    cut = shown(run / "examples", "--id", "t2", "--model", stories260k, "--max-source-length", "60")
    assert "cut off (the limit is 60)" in cut and "(cut: Q:" in cut


CHAT = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4."}, {"role": "user", "content": "3+3?"}]
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{{ eos_token if m['role'] == 'assistant' }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.mark.real
def test_a_chat_shows_its_turns_and_with_a_model_the_text_of_its_template(stories260k, tmp_path):
    import shutil

    from transformers import AutoTokenizer

    path = write_lines(tmp_path / "chat.jsonl", [{"messages": [*CHAT, {"role": "assistant", "content": "6."}]}])
    plain = shown(path)
    assert "before     user: 2+2?\n           assistant: 4.\n" in plain and "3+3?⟦ 6.⟧" in plain and "a chat: --model" in plain
    student = shutil.copytree(stories260k, tmp_path / "student")
    tokenizer = AutoTokenizer.from_pretrained(student)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(student)
    put = shown(path, "--model", student)
    assert "<|user|>2+2?<|assistant|>⟦4.</s>⟧<|user|>3+3?<|assistant|>⟦6.</s>⟧\n" in put
    assert "cannot be taught: stories260k: its tokenizer has no chat template" in shown(path, "--model", stories260k)


def test_control_characters_become_escapes_and_letters_stay():
    assert visible("a\tb\r\n\x07\u202e\u2028ü汤👩\u200d🚒") == "a\\tb\\r\n\\x07\\u202e\\u2028ü汤👩\u200d🚒"
    assert visible("ü汤", "latin-1") == "ü\\u6c64"


def test_the_nearest_of_very_many_ids_is_found():
    assert "train_184222" in nearest("train_1842223", [f"train_{i}" for i in range(200_000)])


def _dataset(folder: Path) -> list[Row]:
    from datasets import load_from_disk

    return [dict(row) for row in load_from_disk(str(folder))]
