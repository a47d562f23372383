import json
from pathlib import Path
from typing import Any

import pytest

from teacherlm.dataset import BadRow
from teacherlm.datasets.eduqg import DATASET, EduqgSettings
from teacherlm.errors import UserError
from teacherlm.prompts import template
from teacherlm.records import Question
from teacherlm.stages.prepare import PrepareConfig, prepare
from teacherlm.store.sources import Origin

CHOICES = ["oxygen", "carbon dioxide", "helium", "neon"]
NO_QUESTION = "there is no question: 'normal_format' and 'question_text' are empty."
NO_PASSAGE = "'hl_sentences' is empty, so there is no passage; other choices of `passage`: context or highlighted or chapter."
OPTIONS = "(A) oxygen (B) carbon dioxide (C) helium (D) neon"


def item(number: int, **changed: Any) -> dict[str, Any]:
    """As in the documented schema of the published files, which were not at hand."""
    asked = {
        "question_id": number,
        "question_text": f"Plant {number} takes in ___.",
        "question_choices": changed.pop("question_choices", CHOICES),
        "cloze_format": f"Plant {number} takes in ___.",
        "normal_format": f"Which gas does plant {number} take in?",
        **changed.pop("question", {}),
    }
    return {
        "question": asked,
        "answer": changed.pop("answer", {"ans_text": "B", "ans_choice": 1}),
        "references_are_paraphrase": 0,
        "bloom": "2" if number % 2 else None,
        "hl_sentences": f"Plant {number} takes in carbon dioxide.",
        "hl_context": f"Air is a mix. <hl> Plant {number} takes in carbon dioxide. <hl> So do others.",
        **changed,
    }


def chapter(number: int, book: str, items: list[Any]) -> dict[str, Any]:
    text = f"Chapter {number} of {book}."
    return {
        "chapter": number,
        "intro": "",
        "chapter_text": text,
        "questions": items,
        "summary": "",
        "keyterm": "",
        "bname": book,
    }


def book(name: str, first: int = 0, chapters: int = 5) -> list[dict[str, Any]]:
    return [chapter(c, name, [item(first + 3 * c + i) for i in range(3)]) for c in range(chapters)]


def write(path: Path, chapters: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(chapters))
    return path


@pytest.fixture
def two_books(tmp_path: Path) -> Path:
    return write(tmp_path / "eduqg.json", book("biology") + book("history", 100))


def found(place: Path, seed: int = 0, **own: Any) -> dict[str, list[Question | BadRow]]:
    return {split: list(rows) for split, rows in DATASET.read(EduqgSettings(**own), Origin(str(place)), seed).items()}


def read(place: Path, seed: int = 0, **own: Any) -> dict[str, list[Question]]:
    splits: dict[str, list[Question]] = {}
    for split, rows in found(place, seed, **own).items():
        assert not [row.reason for row in rows if isinstance(row, BadRow)]
        splits[split] = [row for row in rows if isinstance(row, Question)]
    return splits


def one(path: Path, row: Any, **own: Any) -> Question | BadRow:
    """What becomes of a question that is the only one."""
    ((question,),) = found(write(path / "x.json", [chapter(1, "b", [row])]), form="qg", test_size=0, **own).values()
    return question


@pytest.mark.parametrize(
    ("form", "asked", "target"),
    [
        ("qg", "Passage: {passage}\nAnswer: carbon dioxide", "{question}"),
        ("opt", "Passage: {passage}\nQuestion: {question}\nAnswer: carbon dioxide", "{options}"),
        ("qog", "Passage: {passage}\nAnswer: carbon dioxide", "{question} {options}"),
    ],
)
def test_each_form_gives_and_asks_for_its_parts(form: str, asked: str, target: str, tmp_path: Path):
    rows = read(write(tmp_path / "x.json", [chapter(1, "b", [item(7)])]), form=form, test_size=0)
    (question,) = rows["train"]
    parts = {
        "passage": "Plant 7 takes in carbon dioxide.",
        "question": "Which gas does plant 7 take in?",
        "options": OPTIONS,
    }
    assert question.raw["input"] == asked.format(**parts) and question.answer == target.format(**parts)
    assert question.source_id == f"eduqg_{form}-b-1-7" and question.answer_rule == "text" and not question.choices
    assert {name: question.raw[name] for name in ("book", "chapter", "bloom")} == {"book": "b", "chapter": "1", "bloom": "2"}


def test_a_prompt_shows_two_training_questions_that_are_taught_to_nobody(two_books: Path):
    splits = read(two_books)
    shown = {d.input for rows in splits.values() for q in rows for d in q.demonstrations}
    taught = {q.raw["input"] for rows in splits.values() for q in rows}
    assert len(shown) == 4 and not shown & taught  # two questions, as qg and as opt
    train, test = splits["train"], splits["test"]
    assert (len(train), len(test)) == (2 * (8 * 3 - 2), 2 * 2 * 3)
    assert {q.demonstrations for q in train} == {q.demonstrations for q in test}
    prompt = template("tk_instruct").prompt(train[0])
    assert (
        prompt.startswith("Definition: You are given a passage from a textbook and an answer. ") and prompt.count(" Positive Example ") == 2
    )
    assert read(two_books) == splits and {q.demonstrations for q in read(two_books, 1)["train"]} != {q.demonstrations for q in train}


def test_no_chapter_and_on_demand_no_book_is_in_two_splits(two_books: Path):
    for seed in range(5):
        splits = read(two_books, seed, form="qg", test_size=0.3)
        of = {split: {(q.raw["book"], q.raw["chapter"]) for q in rows} for split, rows in splits.items()}
        assert len(of["test"]) == 3 and not of["train"] & of["test"]
        books = {split: {q.raw["book"] for q in rows} for split, rows in read(two_books, seed, form="qg", split_by="book").items()}
        assert sorted([*books["train"], *books["test"]]) == ["biology", "history"]
    tests = {tuple(sorted({(q.raw["book"], q.raw["chapter"]) for q in read(two_books, seed)["test"]})) for seed in range(5)}
    assert len(tests) > 1
    assert list(read(two_books, test_size=0)) == ["train"]


def test_a_chapter_that_lies_in_two_pieces_stays_together(tmp_path: Path):
    pieces = [chapter(c, "b", [item(10 * c + i)]) for i in range(2) for c in range(4)]
    splits = read(write(tmp_path / "x.json", pieces), form="qg", test_size=0.5)
    assert not {q.raw["chapter"] for q in splits["train"]} & {q.raw["chapter"] for q in splits["test"]}


def test_one_chapter_alone_cannot_be_divided(tmp_path: Path):
    place = write(tmp_path / "x.json", book("b", chapters=1))
    with pytest.raises(UserError, match=r"x\.json: only one chapter, so none can be held out; use test_size=0\.$"):
        read(place)
    with pytest.raises(UserError, match=r"only one book, .* use test_size=0, or split_by=chapter\.$"):
        read(write(tmp_path / "y.json", book("b")), split_by="book")
    with pytest.raises(UserError, match=r"the chapters hold no questions"):
        read(write(tmp_path / "z.json", [chapter(1, "b", []), chapter(2, "b", [])]))


def test_published_files_keep_their_splits_unless_a_part_is_asked_for(tmp_path: Path):
    write(tmp_path / "qg_train.json", book("biology"))
    write(tmp_path / "qg_valid.json", book("history", 100, 2))
    assert {split: len(rows) for split, rows in read(tmp_path, form="qg").items()} == {"train": 13, "validation": 6}
    drawn = read(tmp_path, form="qg", test_size=0.5)
    assert {split: len(rows) for split, rows in drawn.items()} in ({"train": 7, "test": 12}, {"train": 10, "test": 9})


def test_the_written_task_files_give_the_same_rows_through_natural_instructions(two_books: Path, tmp_path: Path):
    settings = {"tk_instruct": True, "max_num_instances_per_task": 5, "max_num_instances_per_eval_task": 4}

    def prepared(name: str, source: Path, **own: Any) -> list[dict[str, Any]]:
        from datasets import load_from_disk

        dataset = {"name": name, **settings, **own}
        prepare(PrepareConfig.model_validate({"dataset": dataset, "source": str(source), "output": tmp_path / name, "seed": 3}))
        return [{**row, "split": split} for split, rows in load_from_disk(str(tmp_path / name)).items() for row in rows]

    direct = prepared("eduqg", two_books, write_tasks=str(tmp_path / "written"))
    files = sorted(str(path.relative_to(tmp_path / "written")) for path in (tmp_path / "written").rglob("*") if path.is_file())
    lists = ["splits/default/test_tasks.txt", "splits/default/train_tasks.txt"]
    assert files == [*lists, *(f"tasks/eduqg_{form}_{split}.json" for form in ("opt", "qg") for split in ("test", "train"))]
    assert prepared("natural_instructions", tmp_path / "written") == direct
    assert len(direct) == 2 * (5 + 4)


def test_writing_again_leaves_no_list_of_a_split_that_is_gone(two_books: Path, tmp_path: Path):
    read(two_books, write_tasks=str(tmp_path / "written"))
    read(two_books, write_tasks=str(tmp_path / "written"), test_size=0)
    assert [path.name for path in (tmp_path / "written" / "splits" / "default").iterdir()] == ["train_tasks.txt"]


@pytest.mark.parametrize(
    ("passage", "expected"),
    [
        ("sentences", "Plant 7 takes in carbon dioxide."),
        ("context", "Air is a mix. Plant 7 takes in carbon dioxide. So do others."),
        ("highlighted", "Air is a mix. <hl> Plant 7 takes in carbon dioxide. <hl> So do others."),
        ("chapter", "Chapter 1 of b."),
    ],
)
def test_the_passage_is_what_is_chosen_without_marks_unless_they_are_wanted(passage: str, expected: str, tmp_path: Path):
    question = one(tmp_path, item(7), passage=passage)
    assert isinstance(question, Question) and question.raw["input"] == f"Passage: {expected}\nAnswer: carbon dioxide"


@pytest.mark.parametrize(
    ("changed", "options"),
    [
        ({"question_choices": ["a", "b", "c"]}, "(A) a (B) b (C) c"),
        ({"question_choices": ["a", "b", "c", "d", "e"]}, "(A) a (B) b (C) c (D) d (E) e"),
        ({"question_choices": [1, 2.5], "answer": {"ans_choice": 1}}, "(A) 1 (B) 2.5"),
        (
            {"answer": {"ans_text": "(b).", "ans_choice": 1}, "hl_sentences": ["One.", "Two."]},
            "(A) oxygen (B) carbon dioxide (C) helium (D) neon",
        ),
        ({"answer": {"ans_text": "carbon dioxide", "ans_choice": 1}, "bloom": "4"}, OPTIONS),
    ],
)
def test_three_or_five_choices_and_other_spellings_are_fine(changed: dict[str, Any], options: str, tmp_path: Path):
    place = write(tmp_path / "x.json", [chapter(1, "b", [item(7, **changed)])])
    assert [q.answer for q in read(place, form="opt", test_size=0)["train"]] == [options]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (item(7, answer={"ans_text": "C", "ans_choice": 1}), "ans_choice 1 (counted from 0) is B, but ans_text says 'C'."),
        (item(7, answer={"ans_text": "D", "ans_choice": 4}), "ans_choice 4 is outside the 4 choices (it counts from 0)."),
        (item(7, answer={"ans_text": "B", "ans_choice": "1"}), "ans_choice '1' is outside the 4 choices (it counts from 0)."),
        (item(7, answer={"ans_text": "B", "ans_choice": True}), "ans_choice True is outside the 4 choices (it counts from 0)."),
        (item(7, answer=None), "'answer': expected an object, found None."),
        (item(7, question_choices=["a"]), "'question_choices' must be a list of two or more texts, found ['a']."),
        (item(7, question_choices=["a", " "]), "'question_choices' must be a list of two or more texts, found ['a', ' ']."),
        (
            item(7, question={"normal_format": "", "question_text": None}),
            NO_QUESTION,
        ),
        (
            item(7, hl_sentences=""),
            NO_PASSAGE,
        ),
        ({"answer": {}}, "column 'question' is missing (found: answer)."),
        ("What?", "expected an object, found 'What?'."),
    ],
)
def test_a_question_that_is_none_says_where_and_why(row: Any, message: str, tmp_path: Path):
    bad = one(tmp_path, row)
    assert isinstance(bad, BadRow) and bad.reason == f"{tmp_path}/x.json: item 1: question 1: {message}"


def test_a_question_without_the_wanted_wording_keeps_its_own(tmp_path: Path):
    gap = "Plant 7 takes in ___."
    for wording, expected in (("normal", "Which gas does plant 7 take in?"), ("cloze", gap), ("original", gap)):
        question = one(tmp_path, item(7), wording=wording)
        assert isinstance(question, Question) and question.answer == expected
    question = one(tmp_path, item(7, question={"normal_format": ""}))
    assert isinstance(question, Question) and question.answer == gap


def test_bad_questions_end_the_work_before_a_task_file_is_written_or_are_dropped(tmp_path: Path):
    chapters = book("b")
    chapters[1]["questions"][0]["answer"]["ans_text"] = "D"
    chapters.append({"chapter": 9})
    given = {
        "dataset": {"name": "eduqg", "write_tasks": str(tmp_path / "written"), "form": "qg"},
        "source": str(write(tmp_path / "x.json", chapters)),
        "output": tmp_path / "out",
    }
    with pytest.raises(UserError, match=r"x\.json: item [26]: "):
        prepare(PrepareConfig.model_validate(given))
    assert not (tmp_path / "written").exists()
    counts = prepare(PrepareConfig.model_validate({**given, "on_bad_row": "drop"})).counts
    assert (counts["dropped"], counts["out"]) == (2, 5 * 3 - 1 - 2) and (tmp_path / "written" / "tasks").is_dir()
    reasons = [json.loads(line)["reason"] for line in (tmp_path / "out" / "dropped.jsonl").read_text().splitlines()]
    assert any("expected a chapter with a list of 'questions' (found: chapter)" in reason for reason in reasons)
