import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teacherlm.overlap import OverlapIndex, build_index, words_of

SEVEN = "plants take in carbon dioxide at night"


def index(*texts: str, n: int = 4, shortest: int = 2, common: int = 10) -> OverlapIndex:
    return build_index([lambda: list(texts)], n, shortest, common)


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert words_of("Don't walk 1,000 miles! (A) Élan") == ["dont", "walk", "1000", "miles", "a", "élan"]
    assert index(SEVEN).shares_sequence("So: PLANTS, take in -- carbon.")
    assert not index(SEVEN).shares_sequence("So plants take carbon in.")


def test_n_words_in_a_row_are_needed() -> None:
    assert index(SEVEN, n=7).shares_sequence(f"we know that {SEVEN} too")
    assert not index(SEVEN, n=7).shares_sequence("we know that plants take in carbon dioxide at dawn")
    assert index(SEVEN, n=6).shares_sequence("we know that plants take in carbon dioxide at dawn")


def test_a_short_question_counts_where_all_of_it_is_found_unless_it_is_too_short() -> None:
    assert index("is ice cold", n=13).shares_sequence("Q: Is ice cold? A:")
    assert not index("is ice cold", n=13).shares_sequence("Q: Is ice warm? A:")
    assert not index("is ice cold", n=13, shortest=4).shares_sequence("Q: Is ice cold? A:")


def test_what_all_questions_begin_and_end_with_says_nothing() -> None:
    prompts = [f"Determine whether it is so. {claim} (A) True (B) False A:" for claim in ("Ice melts.", "Tea is hot.", "Soup flows fast.")]
    asked = index(*prompts, n=5, shortest=2)
    assert not asked.shares_sequence("Determine whether it is so. Rocks are hard. (A) True (B) False A:")
    assert asked.shares_sequence("Determine whether it is so. Tea is hot. (A) True (B) False A:")


def test_what_stands_in_many_questions_says_nothing() -> None:
    questions = [f"{number} apples, how many are left in all" for number in ("one", "two", "three")]
    asked = [*questions, "who wrote the book about the whale"]
    assert index(*asked, n=4).shares_sequence("ten apples, how many are left?")
    assert not index(*asked, n=4, common=2).shares_sequence("ten apples, how many are left?")
    assert index(*asked, n=4, common=2).shares_sequence("who wrote the book?")


def brute_force(known: list[str], text: str, n: int) -> bool:
    words = words_of(text)
    runs = {tuple(w[at : at + n]) for w in map(words_of, known) for at in range(len(w) - n + 1)}
    return any(tuple(words[at : at + n]) in runs for at in range(len(words) - n + 1))


texts = st.lists(st.sampled_from("abc"), max_size=15).map(" ".join)


@given(st.lists(texts, min_size=1, max_size=2), texts, st.integers(1, 6))
def test_it_finds_what_comparing_all_runs_finds(known: list[str], text: str, n: int) -> None:
    assert index(*known, n=n, shortest=n, common=1000).shares_sequence(text) == brute_force(known, text, n)


@pytest.mark.slow
@pytest.mark.real
def test_published_splits_of_creak_hardly_overlap_and_a_planted_question_is_found(creak: Path) -> None:
    train, dev = ([json.loads(line)["sentence"] for line in (creak / f"{name}.json").read_text().splitlines()] for name in ("train", "dev"))
    known = build_index([lambda: dev], 13, 5, 10)
    assert known.texts == 1371
    overlapping = [text for text in train if known.shares_sequence(text)]
    assert len(overlapping) < 0.005 * len(train)
    assert all(known.shares_sequence(f"Q: {text} A:") for text in dev if len(words_of(text)) >= 5)
