from typing import Any

from teacherlm.asking import Drop, Row
from teacherlm.attempts import is_wrong, stated, vote, weigh


def row(index: int, cot: str, **values: Any) -> Row:
    return {"answer": "8", "answer_rule": "number", "choices": [], "cot": cot, "completion_index": index, **values}


def test_attempts_that_say_the_same_are_kept_once_and_counted():
    found = weigh([row(0, " a"), row(1, " a  "), row(2, " b"), row(3, " a")], ["cot"])
    assert [one["completion_index"] for one in found.rows] == [0, 2] and found.duplicates == 2


def test_the_same_text_of_one_kind_beside_another_text_is_another_attempt():
    found = weigh([row(0, " a", error=" x"), row(1, " a", error=" y")], ["cot", "error"])
    assert len(found.rows) == 2 and found.duplicates == 0


def test_pass_rate_and_vote_count_every_attempt_the_repeated_ones_too():
    tries = [row(i, f" {i}", found=answer) for i, answer in enumerate(["8", "9", "8.0", None])] + [row(4, " 0", found="8"), Drop("x")]
    found = weigh(tries, ["cot"])
    assert len(found.rows) == 4 and {(one["pass_rate"], one["vote"]) for one in found.rows} == {(3 / 5, "8")}
    assert found.failed == [Drop("x")]


def test_one_attempt_alone_says_nothing_about_itself():
    (alone,) = weigh([row(0, " a")], ["cot"]).rows
    assert alone == row(0, " a")


def test_a_vote_counts_answers_and_not_spellings():
    assert vote(["9", "8", "8.0", "9", "1,008", "8"], "number") == "8"
    assert vote(["9", "8"], "number") == "9"
    assert vote([], "number") is None


def test_nothing_but_failures_leaves_no_row():
    found = weigh([Drop("x"), Drop("y")], ["cot"])
    assert (found.rows, found.duplicates, [one.reason for one in found.failed]) == ([], 0, ["x", "y"])


def test_what_a_second_step_found_counts_before_what_the_text_says():
    assert stated(row(0, " The answer is 9.")) == "9"
    assert stated(row(0, " The answer is 9.", found="8")) == "8"
    assert stated(row(0, " The answer is 9.", found=None)) is None
    assert stated({"cot": " The answer is 9."}) is None


def test_a_text_about_mistakes_is_never_wrong():
    one = row(0, " So it is 8.", error=" The answer is 9.")
    assert (is_wrong(one, "cot"), is_wrong(one, "error")) == (False, False)
    assert is_wrong(row(0, " The answer is 9."), "cot")
