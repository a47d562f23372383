"""Several rationales for a question: samples, teachers, and what each attempt knows of itself."""

from pathlib import Path

import pytest
from enhanced_rows import Row, dataset, done, enhanced, lines, soups, write_lines

from teacherlm.errors import UserError


@pytest.fixture
def questions(tmp_path: Path) -> list[Row]:
    return soups(tmp_path)


def by(teacher: str, row: Row, **more: object) -> Row:
    return {**row, "teacher": teacher, **more}


def test_two_teachers_are_stacked_and_every_row_keeps_who_wrote_it(questions: list[Row], tmp_path: Path):
    one = [by("big", enhanced(q, cot=" Big. The answer is (A)."), completion_index=i) for q in questions for i in range(2)]
    two = [by("small", enhanced(q, cot=" Small. The answer is (A).")) for q in reversed(questions[1:])]
    outcome = done(tmp_path / "out", write_lines(tmp_path / "a.jsonl", one), write_lines(tmp_path / "b.jsonl", two))
    rows = list(dataset(tmp_path / "out"))
    assert outcome.counts == {"in": 11, "out": 11, "dropped": 0}
    assert [(r["id"], r["completion_index"], r["teacher"]) for r in rows] == [
        *((f"t{q}", i, "big") for q in range(4) for i in range(2)),
        *((f"t{q}", 2, "small") for q in (3, 2, 1)),
    ]
    assert all(row["cot"].startswith(" Big" if row["teacher"] == "big" else " Small") for row in rows)


def test_two_teachers_with_a_file_for_each_kind_give_two_rows_for_each_question(questions: list[Row], tmp_path: Path):
    files = []
    for kind in ("error", "cot"):
        for teacher in ("one", "two"):
            rows = [by(teacher, enhanced(q, **{kind: f" {teacher} {kind}."})) for q in questions]
            files.append(write_lines(tmp_path / f"{teacher}_{kind}.jsonl", rows))
    done(tmp_path / "out", *files)
    rows = [(r["id"], r["completion_index"], r["teacher"], r["cot"], r["error"]) for r in dataset(tmp_path / "out")]
    assert rows == [
        (q["id"], index, teacher, f" {teacher} cot.", f" {teacher} error.")
        for index, teacher in enumerate(("one", "two"))
        for q in questions
    ]


def test_a_teacher_that_lacks_a_kind_is_refused_in_one_line(questions: list[Row], tmp_path: Path):
    files = [
        write_lines(tmp_path / "one.jsonl", [by("one", enhanced(q, cot=" So.")) for q in questions]),
        write_lines(tmp_path / "two.jsonl", [by("two", enhanced(q, cot=" So.", error=" Not so.")) for q in questions]),
    ]
    with pytest.raises(UserError, match=r"one\.jsonl: several inputs give 'cot'.*; one gives no 'error'"):
        done(tmp_path / "out", *files)
    assert not (tmp_path / "out").exists()


def test_what_an_attempt_knows_of_itself_stands_last(questions: list[Row], tmp_path: Path):
    known = {"found": "A", "hinted": False, "pass_rate": 0.5, "vote": "A"}
    written = [{**enhanced(q, cot=" So it is."), **known, "found": "A" if i else None} for i, q in enumerate(questions)]
    outcome = done(tmp_path / "out", write_lines(tmp_path / "X.jsonl", written))
    rows = dataset(tmp_path / "out")
    assert rows.column_names[-5:] == ["cot_verdict", "found", "hinted", "pass_rate", "vote"]
    assert rows[0]["found"] is None and rows[1]["pass_rate"] == 0.5
    assert rows["cot_verdict"][:] == ["unparsed", "right", "right", "right"]
    assert outcome.facts["funnel"]["agreement"] == {"wrong": 0, "right": 3, "unparsed": 1}


def test_a_found_answer_that_is_wrong_drops_its_row(questions: list[Row], tmp_path: Path):
    written = [{**enhanced(q, cot=" So. The answer is (A)."), "found": "AB"[i % 2]} for i, q in enumerate(questions)]
    assert done(tmp_path / "out", write_lines(tmp_path / "X.jsonl", written)).counts == {"in": 4, "out": 2, "dropped": 2}


def test_a_second_step_that_found_nothing_is_unparsed_and_the_text_is_not_asked_instead(questions: list[Row], tmp_path: Path):
    written = [{**enhanced(q, cot=" So. The answer is (B)."), "found": None} for q in questions]
    done(tmp_path / "out", write_lines(tmp_path / "X.jsonl", written))
    assert dataset(tmp_path / "out")["cot_verdict"][:] == ["unparsed"] * 4


def test_the_attempts_of_joined_inputs_survive_whichever_input_they_come_from(questions: list[Row], tmp_path: Path):
    errors = write_lines(tmp_path / "E.jsonl", [enhanced(q, error=" Not so.") for q in questions])
    cots = write_lines(tmp_path / "C.jsonl", [{**enhanced(q, cot=" So."), "found": "B"} for q in questions])
    with pytest.raises(UserError, match=r"none of 4 rows is left \(gate agreement: cot is wrong: 4\)"):
        done(tmp_path / "out", errors, cots)
    done(tmp_path / "out", errors, cots, verify=[])
    assert dataset(tmp_path / "out")["found"][:] == ["B"] * 4


def test_the_first_that_pass_are_the_best_of_their_question(questions: list[Row], tmp_path: Path):
    texts = [" No. The answer is (B).", " One.", " Two.", " Three."]
    samples = [{**enhanced(q, cot=text), "completion_index": i} for q in questions for i, text in enumerate(texts)]
    outcome = done(tmp_path / "out", write_lines(tmp_path / "X.jsonl", samples), best=2)
    assert [(r["id"], r["cot"]) for r in dataset(tmp_path / "out")] == [(q["id"], text) for q in questions for text in (" One.", " Two.")]
    assert outcome.counts == {"in": 16, "out": 8, "dropped": 8}
    assert outcome.facts["funnel"] == {
        "questions in": 16,
        "unusable": 0,
        "agreement": {"wrong": 4, "right": 0, "unparsed": 12},
        "more than the best": 4,
        "kept": 8,
    }
    reasons = {row["reason"] for row in lines(tmp_path / "out" / "rejected.jsonl")}
    assert reasons == {"gate agreement: cot is wrong", "more than the best 2 of its question"}
