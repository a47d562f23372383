from collections import Counter

import pytest
from gate_cases import built
from hypothesis import given
from hypothesis import strategies as st

from teacherlm.gates.near_duplicate import sequences_of, similarity
from teacherlm.verify import Rationale

LONG = " Plants take in carbon dioxide through their leaves and give off oxygen, which animals breathe, so that both live, all day long."
LONG = " We look at what each of them needs. They do it in daylight, and the more the better." + LONG


def verdicts(*told: tuple[str, str], **settings: object) -> list[str]:
    """Of (question, text), one after the other; what is new is kept."""
    gate = built("near_duplicate", **settings)
    found = []
    for question, text in told:
        one = Rationale("cot", text, "B", "letter", id=question)
        found.append(gate.verdict(one))
        if found[-1] == "new" and gate.memory:
            gate.memory.keep(one)
    return found


def test_nearly_the_same_about_one_question_is_a_duplicate_and_the_first_is_kept() -> None:
    nearly = LONG.replace("all day long", "every day long")
    assert verdicts(("q", LONG), ("q", nearly.upper()), ("q", " Something else is said of leaves.")) == ["new", "duplicate", "new"]
    assert verdicts(("q", LONG), ("r", nearly)) == ["new", "new"]
    assert verdicts(("q", LONG), ("q", nearly), similarity=1) == ["new", "new"]
    assert verdicts(("q", LONG), ("q", f"{LONG} !"), similarity=1) == ["new", "duplicate"]


def test_a_boilerplate_text_is_known_again_with_any_question() -> None:
    assert verdicts(("q", " This is well known."), ("r", " this is  well known"), ("s", " This is not.")) == ["new", "repeated", "new"]
    assert verdicts(("q", " This is well known."), ("r", " this is  well known"), anywhere=False) == ["new", "new"]


def test_what_is_not_kept_hides_nothing() -> None:
    gate = built("near_duplicate")
    one = Rationale("cot", LONG, "B", "letter", id="q")
    assert [gate.verdict(one), gate.verdict(one)] == ["new", "new"]


def test_a_longer_text_that_holds_a_shorter_one_is_found_by_containment() -> None:
    longer = LONG + " And there is much more to say about this, on many other pages of many other books and papers."
    assert verdicts(("q", LONG), ("q", longer)) == ["new", "new"]
    assert verdicts(("q", LONG), ("q", longer), by="containment") == ["new", "duplicate"]


def test_each_kind_is_compared_with_its_own() -> None:
    gate = built("near_duplicate")
    assert gate.memory is not None
    gate.memory.keep(Rationale("cot", LONG, "B", "letter", id="q"))
    assert gate.verdict(Rationale("error", LONG, "B", "letter", id="q")) == "new"


def test_a_second_time_through_the_rows_begins_anew() -> None:
    gate = built("near_duplicate")
    assert gate.memory is not None
    one = Rationale("cot", LONG, "B", "letter", id="q")
    gate.memory.keep(one)
    assert gate.verdict(one) == "duplicate"
    gate.memory.begin()
    assert gate.verdict(one) == "new"
    gate.memory.close()


words = st.lists(st.sampled_from("abcde"), max_size=12)


@given(words, words, st.integers(1, 4))
def test_similarity_is_symmetric_and_1_for_the_same(one: list[str], other: list[str], n: int) -> None:
    mine, theirs = sequences_of(one, n), sequences_of(other, n)
    for by in ("jaccard", "containment"):
        assert similarity(mine, theirs, by) == similarity(theirs, mine, by)
        assert 0 <= similarity(mine, theirs, by) <= 1 == similarity(mine, mine, by)
    assert similarity(mine, theirs, "jaccard") <= similarity(mine, theirs, "containment")


@pytest.mark.real
def test_real_rationales_of_different_questions_are_new(gpt3: list[Rationale]) -> None:
    counts = Counter(verdicts(*((one.id, one.text) for one in gpt3)))
    assert counts["duplicate"] == 0 and counts["repeated"] < 0.015 * len(gpt3), counts  # MultiArith asks some questions twice
    twice = Counter(verdicts(*((one.id, one.text) for one in (*gpt3, *gpt3))))
    assert twice["new"] == counts["new"]
