"""solve, solve_then_hint: who sees the answer when, and what stands in the row."""

from typing import Any

import pytest

from teacherlm.asking import Drop, Row, Terms, together
from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.prompts import SUFFIX
from teacherlm.records import Completion, Request, Sampling
from teacherlm.ways.solve import WAY as SOLVE
from teacherlm.ways.solve_then_hint import WAY as SOLVE_THEN_HINT

TERMS = Terms("T", ("cot",), 128, Sampling(0.7, stop=("\nQ:",)))
QUESTION = "Tom has 5 apples and buys 3 more. How many has he?"


def row(**values: Any) -> Row:
    text = f"Q: {QUESTION} A: The answer is 8."
    ours = {"id": "t", "prompt": f"Q: {QUESTION} A:", "choices": [], "answer": "8", "answer_rule": "number", "template": "teacherlm"}
    return {"text": text, "cot_text": text + SUFFIX["cot"], **ours, **values}


def talk(way: Any, told: list[str], one: Row | None = None, sample: int = 0, **settings: Any) -> tuple[list[Request], Row | Drop]:
    """The requests that the way makes when it is told these texts in turn, and its result."""
    built = way.build(parse_config(way.settings, settings))
    conversation = built(one or row(), TERMS, "T.jsonl:1", sample)
    asked: list[Request] = []
    try:
        requests = next(conversation)
        for text in told:
            asked += requests
            requests = conversation.send([Completion("k" * 32, text) for _ in requests])
        raise AssertionError(f"it wants more: {requests}")
    except StopIteration as end:
        return asked, end.value


def test_solve_asks_in_the_two_steps_of_zero_shot_cot_byte_for_byte():
    asked, _ = talk(SOLVE, [" He has 5 and 3.", " 8."])
    assert asked[0].prompt == f"Q: {QUESTION}\nA: Let's think step by step."
    assert asked[1].prompt == f"Q: {QUESTION}\nA: Let's think step by step. He has 5 and 3.\nTherefore, the answer is"


def test_defect_the_space_between_the_prompt_and_the_rationale_is_not_lost():
    asked, _ = talk(SOLVE, [" He has 5 and 3.\n", " 8."])
    assert "step by step. He has 5 and 3.\nTherefore" in asked[1].prompt


def test_the_answer_never_stands_in_a_prompt_of_solve():
    asked, _ = talk(SOLVE, [" Hm.", " no idea"])
    assert not any("8" in request.prompt for request in asked)


def test_a_solved_row_carries_what_was_concluded_and_what_was_found_in_it():
    _, found = talk(SOLVE, [" 5 + 3.", " 8 apples, not 9."], sample=3)
    assert isinstance(found, dict)
    assert {**row(), "cot": " 5 + 3.", "conclusion": " 8 apples, not 9.", "found": "8"}.items() <= found.items()
    assert (found["completion_index"], found["teacher"], found["cot_finish"]) == (3, "T", "stop")
    assert found["all"] == f"Q: {QUESTION}\nA: Let's think step by step. 5 + 3."


@pytest.mark.parametrize(
    "rule, choices, said, found",
    [
        ("letter", ["True", "False"], " (B).", "B"),
        ("letter", ["True", "False"], " false.", "B"),
        ("yes_no", [], " yes, because", "yes"),
        ("number", [], " that he has 1,008.", "1008"),
        ("exact", [], " the moon.", "the moon"),
        ("letter", ["True", "False"], " unclear", None),
    ],
)
def test_the_second_step_is_read_by_the_rule_of_the_question(rule: str, choices: list[str], said: str, found: str | None):
    _, result = talk(SOLVE, [" Hm.", said], row(answer_rule=rule, choices=choices))
    assert isinstance(result, dict) and result["found"] == found


def test_reasoning_is_sampled_and_the_conclusion_is_not():
    asked, _ = talk(SOLVE, [" Hm.", " 8"], sample=2)
    assert [(request.sampling.temperature, request.sample) for request in asked] == [(0.7, 2), (0.0, 0)]
    assert [request.max_new_tokens for request in asked] == [128, 64]


def test_as_taught_a_rationale_that_states_its_answer_is_not_asked_for_it_again():
    asked, found = talk(SOLVE, [" 5 + 3 = 8. The answer is 8."], wording="taught")
    assert [request.prompt for request in asked] == [f"Q: {QUESTION} A: Let's think step by step."]
    assert isinstance(found, dict) and found["found"] == "8"
    asked, found = talk(SOLVE, [" 5 + 3.", " 9."], wording="taught")
    assert asked[1].prompt == f"Q: {QUESTION} A: Let's think step by step. 5 + 3. The answer is"
    assert isinstance(found, dict) and found["found"] == "9"


def test_who_solves_gets_no_hint():
    asked, found = talk(SOLVE_THEN_HINT, [" 5 + 3.", " 8.0"])
    assert len(asked) == 2 and isinstance(found, dict) and (found["hinted"], found["found"]) == (False, "8.0")


def test_who_fails_sees_the_answer_and_has_to_reach_it_without_the_hint():
    asked, found = talk(SOLVE_THEN_HINT, [" 5 - 3.", " 2.", " 5 and 3 are 8.", " 8."])
    assert asked[2].prompt == row()["cot_text"]
    assert asked[3].prompt == f"Q: {QUESTION}\nA: Let's think step by step. 5 and 3 are 8.\nTherefore, the answer is"
    assert isinstance(found, dict) and (found["hinted"], found["found"], found["cot"]) == (True, "8", " 5 and 3 are 8.")


def test_who_cannot_even_explain_the_answer_keeps_the_wrong_conclusion_for_the_gate():
    _, found = talk(SOLVE_THEN_HINT, [" Hm.", " who knows", " Because.", " 7"])
    assert isinstance(found, dict) and (found["hinted"], found["found"]) == (True, "7")


def test_a_completion_that_failed_drops_the_question_with_its_step():
    way = SOLVE.build(SOLVE.settings())
    conversation = way(row(), TERMS, "T.jsonl:1", 0)
    next(conversation)
    with pytest.raises(StopIteration) as end:
        conversation.send([Completion("k" * 32, "", "error", error="no")])
    assert end.value.value == Drop("cot: no")


def test_a_row_without_the_prompt_is_named():
    bare = {"id": "t", "cot_text": "Q"}
    with pytest.raises(UserError, match=r"T\.jsonl:1: column 'prompt' is missing \(found: id, cot_text\)"):
        talk(SOLVE, [], bare)


def test_attempts_side_by_side_ask_together_and_end_in_their_order():
    way = SOLVE.build(SOLVE.settings())
    conversation = together([way(row(), TERMS, "T.jsonl:1", sample) for sample in range(3)])
    first = next(conversation)
    assert [request.sample for request in first] == [0, 1, 2]
    second = conversation.send([Completion("k", " a"), Completion("k", "", "error", error="x"), Completion("k", " c")])
    assert len(second) == 2
    with pytest.raises(StopIteration) as end:
        conversation.send([Completion("k", " 1"), Completion("k", " 2")])
    assert [one if isinstance(one, Drop) else one["found"] for one in end.value.value] == ["1", Drop("cot: x"), "2"]


def test_a_student_of_fine_tune_cot_is_asked_in_its_words_and_its_arrow_is_read():
    one = row(prompt=f"{QUESTION} ###", template="ft_cot_token")
    asked, found = talk(SOLVE, [" 5 + 3 = 9 - 1. --> 8"], one, wording="taught")
    assert [request.prompt for request in asked] == [f"{QUESTION} ###"]
    assert isinstance(found, dict) and found["found"] == "8"
    asked, found = talk(SOLVE, [" 5 + 3 = 9 - 1.", " 8, not 7"], one, wording="taught")
    assert asked[1].prompt == f"{QUESTION} ### 5 + 3 = 9 - 1. -->"
    assert isinstance(found, dict) and found["found"] == "8"


def test_turns_of_a_chat_cannot_be_gone_on_with():
    with pytest.raises(UserError, match=r"T.jsonl:1: wording 'taught' goes on from a prompt, but the rows are turns of a chat"):
        talk(SOLVE, [], row(template="chat"), wording="taught")
    asked, _ = talk(SOLVE, [" 5 + 3.", " 8"], row(prompt=QUESTION, template="chat"))
    assert asked[0].prompt == f"Q: {QUESTION}\nA: Let's think step by step."
