import re
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teacherlm.answers import find_answer
from teacherlm.catalog import find
from teacherlm.datasets.word_problems import DATASET, WordProblemsSettings
from teacherlm.errors import UserError
from teacherlm.gates.arithmetic import ArithmeticSettings, judge
from teacherlm.parsing import parse_config
from teacherlm.records import Question
from teacherlm.stages.prepare import PrepareConfig, prepare
from teacherlm.verify import Rationale

SMALL = {"textbook": 40, "practice": 30, "test": 20}
NUMBERS = re.compile(r"\d+")


def draw(seed: int = 0, **changes: Any) -> dict[str, list[Question]]:
    return {split: list(found) for split, found in DATASET.read(WordProblemsSettings(**{**SMALL, **changes}), None, seed).items()}


def everything(seed: int = 0, **changes: Any) -> list[Question]:
    return list(chain.from_iterable(draw(seed, **changes).values()))


def calculation(question: Question) -> tuple[str, ...]:
    """`("8 + 4", "12 / 2")`, read from the explanation."""
    return tuple(re.findall(r"\d+ [-+*/] \d+", question.explanation))


def solve(story: str) -> int:
    """The answer, from the problem's own words alone, by a reader that knows the verbs."""
    opening, *deeds, _ = re.split(r"(?<=[.?]) ", story)
    count = int(NUMBERS.findall(opening)[0])
    for deed in deeds:
        number = int(next(iter(NUMBERS.findall(deed)), "0"))
        if "half of them" in deed:
            assert count % 2 == 0
            count //= 2
        elif "as many again" in deed:
            count *= 2
        else:
            count += number if re.search(r"\b(buys|finds|wins|gets|picks)\b", deed) else -number
    return count


def test_the_same_seed_draws_the_same_problems_and_another_seed_others() -> None:
    assert draw(seed=3) == draw(seed=3)
    assert not {q.question for q in everything(seed=3)} & {q.question for q in everything(seed=4)}


def test_splits_have_the_sizes_asked_for_and_every_number_of_steps_equally_often() -> None:
    found = draw(min_steps=2, max_steps=5)
    assert {split: len(rows) for split, rows in found.items()} == SMALL
    for rows in found.values():
        counts = [sum(row.raw["steps"] == n for row in rows) for n in (2, 3, 4, 5)]
        assert max(counts) - min(counts) <= 1
        assert all(len(calculation(row)) == row.raw["steps"] for row in rows)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), largest=st.integers(12, 60), step=st.integers(1, 9))
def test_answers_follow_from_the_words_and_every_equation_holds(seed: int, largest: int, step: int) -> None:
    for question in everything(seed, largest=largest, largest_step=step, min_steps=3, max_steps=6):
        assert str(solve(question.question)) == question.answer == find_answer(question.explanation, "number")
        rationale = Rationale("cot", question.explanation, question.answer, question.answer_rule)
        assert judge(rationale, ArithmeticSettings().rounded) == "right"
        assert all(0 <= int(number) <= largest for number in NUMBERS.findall(question.explanation))


def test_each_equation_takes_up_the_result_of_the_one_before() -> None:
    for question in everything():
        results = [int(n) for n in re.findall(r"= (\d+)", question.explanation)]
        begun = [int(found.split()[0]) for found in calculation(question)]
        start = int(NUMBERS.findall(question.explanation)[0])
        assert begun == [start, *results[:-1]]


def test_no_two_problems_of_any_split_share_words_or_calculation() -> None:
    found = list(chain.from_iterable(DATASET.read(WordProblemsSettings(), None, 0).values()))
    assert len({question.question for question in found}) == len(found)
    assert len({calculation(question) for question in found}) == len(found)
    assert len({question.source_id for question in found}) == len(found)


def test_most_long_problems_double_or_halve_so_that_the_order_of_steps_matters() -> None:
    long = [question for question in everything(test=400) if question.raw["steps"] >= 4]
    assert sum(any(sign in question.explanation for sign in "*/") for question in long) > 0.7 * len(long)


def test_a_larger_test_split_leaves_the_others_as_they_were() -> None:
    one, other = draw(test=20), draw(test=60)
    assert one["textbook"] == other["textbook"] and one["practice"] == other["practice"]
    assert one["test"] == other["test"][:20]


def test_more_problems_than_there_are_is_one_clear_line() -> None:
    with pytest.raises(UserError, match=r"there is none left with 1 step.* ask for fewer"):
        draw(min_steps=1, max_steps=1, test=5000)


def test_steps_out_of_order_and_unknown_settings_are_one_clear_line() -> None:
    with pytest.raises(ValueError, match="min_steps 4 is more than max_steps 3"):
        WordProblemsSettings(min_steps=4, max_steps=3)
    with pytest.raises(UserError, match="tests"):
        parse_config(find("datasets", "word_problems").settings, {"name": "word_problems", "tests": 3})


def test_prepare_writes_prompts_explanations_and_the_chosen_split(tmp_path: Path) -> None:
    from datasets import load_from_disk

    chosen = WordProblemsSettings(**SMALL)
    config = PrepareConfig(output=tmp_path / "out", dataset=chosen, split="practice", explanations=True, seed=5)
    assert prepare(config).counts == {"in": 90, "out": 90, "dropped": 0, **SMALL}
    written = load_from_disk(str(tmp_path / "out"))
    assert len((tmp_path / "out" / "WORD_PROBLEMS.jsonl").read_text().splitlines()) == 30
    row, question = written["practice"][0], draw(seed=5)["practice"][0]
    assert row["prompt"] == f"Q: {question.question} A:"
    assert row["text"] == f"{row['prompt']} The answer is {question.answer}."
    assert row["explanation_tail"] == f"{row['text']} Let's think step by step. {question.explanation}"
    assert row["explanation_head"] == f"{row['prompt']} Let's think step by step. {question.explanation} The answer is {question.answer}."
