from pathlib import Path

import pytest
from gate_cases import built_asking, carried
from hypothesis import given
from hypothesis import strategies as st

from teacherlm.gates.supports import hidden, shares
from teacherlm.records import Completion, Request
from teacherlm.verify import Rationale

LETTERS = Rationale(
    "cot", " Soup flows. The answer is (B).", "B", "letter", ("solid", "liquid"), prompt="Q: Is it? (A) solid (B) liquid A:"
)


def judged(rationale: Rationale, with_it: tuple[float, ...], without: tuple[float, ...], **settings: object) -> tuple[str, list[Request]]:
    answers = iter((with_it, without))
    gate = built_asking("supports", engine="scripted", **settings)
    return carried(gate, rationale, lambda request: Completion("k", "", logprobs=next(answers)))


@pytest.mark.parametrize(
    ("with_it", "without", "expected"),
    [
        ((-2.0, -1.0), (-1.0, -1.0), "supports"),
        ((-2.0, -1.0), (-3.0, -1.0), "against"),  # ahead, but less so than without it
        ((-1.0, -1.5), (-1.0, -3.0), "no better"),  # gains, but is still behind
        ((-1.0, -3.0), (-1.0, -1.0), "against"),
        ((-2.0, -1.0), (-2.0, -1.0), "no better"),
        ((-5.0, -4.0), (-1.0, -1.0), "supports"),  # both less likely: their ratio counts
    ],
)
def test_the_right_answer_must_rise_and_be_ahead(with_it: tuple[float, ...], without: tuple[float, ...], expected: str) -> None:
    assert judged(LETTERS, with_it, without)[0] == expected


def test_a_small_gain_is_none_where_a_margin_is_asked() -> None:
    assert judged(LETTERS, (-1.2, -1.0), (-1.0, -1.0))[0] == "supports"
    assert judged(LETTERS, (-1.2, -1.0), (-1.0, -1.0), margin=0.5)[0] == "no better"


def test_both_prompts_end_alike_and_the_stated_answer_is_hidden() -> None:
    _, (told, bare) = judged(LETTERS, (-1.0, -2.0), (-1.0, -2.0))
    assert told.prompt == "Q: Is it? (A) solid (B) liquid A: Let's think step by step. Soup flows. The answer is ("
    assert bare.prompt == "Q: Is it? (A) solid (B) liquid A: The answer is ("
    assert told.options == bare.options == ("A", "B")


def test_choices_are_weighed_by_their_texts_where_asked() -> None:
    _, (told, _) = judged(LETTERS, (-1.0, -2.0), (-1.0, -2.0), by="texts")
    assert told.prompt.endswith("Soup flows. The answer is") and told.options == (" solid", " liquid")


def test_yes_or_no_are_weighed_against_each_other_and_a_free_answer_against_itself() -> None:
    coin = Rationale("cot", " Yes, it was flipped twice. Yes.", "Yes", "yes_no", prompt="Q: Is it up? A:")
    _, (told, _) = judged(coin, (-1.0, -2.0), (-1.0, -2.0))
    assert (told.prompt, told.options) == ("Q: Is it up? A: Let's think step by step. it was flipped twice. The answer is", (" yes", " no"))
    apples = Rationale("cot", " 5 + 3 = 8. So the answer is 8.", "8", "number", prompt="Q: How many? A:")
    verdict, (told, _) = judged(apples, (-1.0,), (-3.0,))
    assert (verdict, told.options) == ("supports", (" 8",)) and "5 + 3 = 8. The answer is" in told.prompt
    assert judged(apples, (-3.0,), (-1.0,))[0] == "against"


def test_what_could_not_be_asked_has_failed() -> None:
    gate = built_asking("supports", engine="scripted")
    assert carried(gate, LETTERS, lambda request: Completion("k", "", "error", error="too long"))[0] == "failed"
    assert "failed" not in gate.drops


@pytest.mark.parametrize(
    ("text", "rule", "choices", "expected"),
    [
        (" It costs 3.50 dollars. The answer is (B).", "letter", ("x", "y"), "It costs 3.50 dollars."),
        (
            " Since (A) is solid, it is not that.\n\nTherefore, the answer is (B)\nSo.",
            "letter",
            ("x", "y"),
            "Since is solid, it is not that.\n\nSo.",
        ),
        (" Soup is wet. The answer is liquid.", "letter", ("solid", "liquid"), "Soup is wet."),
        (" The answer is not clear yet. It flows.", "letter", ("solid", "liquid"), "The answer is not clear yet. It flows."),
        (" 5 + 3 = 8", "number", (), "5 + 3 = 8"),
        (" It lies on the Seine. The answer is Paris.", "exact", (), "It lies on the Seine."),
        ("", "exact", (), ""),
    ],
)
def test_sentences_that_state_an_answer_are_hidden_and_reasons_stay(text: str, rule: str, choices: tuple[str, ...], expected: str) -> None:
    assert hidden(Rationale("cot", text, "B", rule, choices)) == expected


@given(st.lists(st.floats(-50, 0), min_size=2, max_size=5))
def test_shares_add_up_to_one(logprobs: list[float]) -> None:
    import math

    assert math.isclose(sum(map(math.exp, shares(tuple(logprobs)))), 1, rel_tol=1e-9)


@pytest.mark.real
@pytest.mark.slow
def test_a_real_tiny_model_tells_the_story_that_leads_to_the_answer(stories260k: Path) -> None:
    from teacherlm.catalog import find
    from teacherlm.gates.supports import GATE
    from teacherlm.parsing import parse_config
    from teacherlm.records import Load

    settings = parse_config(GATE.settings, {"engine": {"name": "transformers", "model": str(stories260k), "dtype": "float32"}})
    gate = GATE.build(settings)
    engine = find("engines", "transformers").build(gate.engine, 0, Load())

    def answer(request: Request) -> Completion:
        return next(iter(engine.complete([("k", request)])))

    ball = " Lily saw a ball. She loved the ball. She played with the ball all day."
    cat = " Lily saw a cat. She loved the cat. She played with the cat all day."
    free = [Rationale("cot", text, "ball", "exact", prompt="What did Lily play with?") for text in (ball, cat)]
    assert [carried(gate, one, answer)[0] for one in free] == ["supports", "against"]
    texts = GATE.build(settings.model_copy(update={"by": "texts"}))
    for gold, expected in (("A", ["supports", "against"]), ("B", ["against", "supports"])):
        asked = [Rationale("cot", text, gold, "letter", ("ball", "cat"), prompt="What did Lily play with?") for text in (ball, cat)]
        assert [carried(texts, one, answer)[0] for one in asked] == expected
