import json
from collections import Counter
from pathlib import Path

import pytest

from teacherlm.choices import split_choices


@pytest.mark.parametrize(
    ("text", "question", "choices"),
    [
        ("Which? (A) one (B) two", "Which?", ["one", "two"]),
        ("Which? Answer choices: (A) one, (B) two.", "Which?", ["one", "two"]),
        ("Which of (A) and (B)? Answer Choices: (A) 1, (B) 2, (C) both.", "Which of (A) and (B)?", ["1", "2", "both"]),
        ("Bob has the\nOptions:\n(A) red ball\n(B) blue ball", "Bob has the", ["red ball", "blue ball"]),
        ("Why? Answer choices: (A) It is so., (B) It is not.", "Why?", ["It is so.", "It is not."]),
        ("Is (A) it?", "Is (A) it?", []),
        ("How many?", "How many?", []),
    ],
)
def test_choices_are_taken_out_of_a_question(text: str, question: str, choices: list[str]) -> None:
    assert split_choices(text) == (question, choices)


@pytest.mark.real
def test_every_real_date_question_has_five_or_six_choices_without_the_list_s_signs(test_data: Path) -> None:
    rows = json.loads((test_data / "data" / "reasoning_teacher" / "dataset" / "date_understanding.json").read_text())
    taken = [split_choices(row["question"]) for row in rows]
    assert Counter(len(choices) for _, choices in taken) == {5: 58, 6: 311}
    assert all(question.endswith("?\nWhich choice is true?") for question, _ in taken)
    for row, (question, choices) in zip(rows, taken, strict=True):
        listed = ", ".join(f"({letter}) {choice}" for letter, choice in zip("ABCDEF", choices, strict=False))
        assert row["question"] == f"{question} Answer choices: {listed}."
