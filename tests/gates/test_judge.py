from pathlib import Path

import pytest
from gate_cases import built_asking, carried

from teacherlm.errors import UserError
from teacherlm.gates.judge import parse_reply
from teacherlm.records import Completion
from teacherlm.verify import Rationale

SOUP = Rationale(
    "cot", " Soup flows.\nQ: Next? A:", "B", "letter", ("solid", "liquid"), prompt="Q: Is it? A:", row={"entity": "soup", "answer": "B"}
)


def judged(said: str, **settings: object) -> tuple[str, str]:
    """(verdict, what was asked)."""
    gate = built_asking("judge", engine="scripted", **settings)
    verdict, (request,) = carried(gate, SOUP, lambda request: Completion("k", said))
    return verdict, request.prompt


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (" Yes.", "good"),
        (" no, because it does not", "bad"),
        ("**Yes**", "good"),
        ("I am not sure about this one", "unparsed"),
        ("The explanation is fine. The answer is yes.", "good"),
        ("<think>No? Yes? No!</think>\nYes", "good"),
        ("Yesterday", "unparsed"),
        ("", "unparsed"),
    ],
)
def test_yes_is_good_and_no_is_bad(reply: str, expected: str) -> None:
    assert judged(reply)[0] == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (" 5", "good"),
        ("4/5", "good"),
        ("3 out of 5", "bad"),
        ("Score: 2. On a scale of 1 to 5 that is low.", "bad"),
        ("I give it a 4.", "good"),
        ("10", "unparsed"),
        ("3.5", "unparsed"),
        ("between 1 and 5", "unparsed"),
        ("good", "unparsed"),
    ],
)
def test_a_score_is_read_and_weighed(reply: str, expected: str) -> None:
    assert parse_reply(reply, "score", 4) == expected


def test_the_lowest_good_score_is_a_setting() -> None:
    assert judged("3", reply="score")[0] == "bad"
    assert judged("3", reply="score", good_from=3)[0] == "good"


def test_it_is_asked_with_question_answer_and_explanation() -> None:
    _, asked = judged("yes")
    assert "Question: Q: Is it? A:\nCorrect answer: (B)\nExplanation: Soup flows.\n\nIs the explanation correct" in asked
    assert asked.endswith("\nAnswer:")


def test_the_question_is_ones_own_as_text_or_as_a_file(tmp_path: Path) -> None:
    assert (
        judged("yes", prompt="{{ entity }} {{ kind }} {{ choices | join('/') }}: {{ rationale }}")[1]
        == "soup cot solid/liquid: Soup flows."
    )
    (tmp_path / "ask.j2").write_text("Good, {{ entity }}?")
    assert judged("yes", prompt_file=str(tmp_path / "ask.j2"))[1] == "Good, soup?"


def test_a_bad_prompt_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"judge: prompt: 'entitty' is undefined; there are prompt, answer, .*entity"):
        judged("yes", prompt="{{ entitty }}")
    (tmp_path / "ask.j2").write_text("Good?\n{% if %}")
    with pytest.raises(UserError, match=r"ask\.j2:2: not a jinja2 template"):
        judged("yes", prompt_file=str(tmp_path / "ask.j2"))
    with pytest.raises(UserError, match=r"none\.j2: no such file"):
        judged("yes", prompt_file=str(tmp_path / "none.j2"))
    with pytest.raises(UserError, match=r"give prompt or prompt_file, not both"):
        judged("yes", prompt="x", prompt_file="y")


def test_a_prompt_cannot_reach_out_of_its_sandbox() -> None:
    with pytest.raises(UserError, match="judge: prompt: "):
        judged("yes", prompt="{{ rationale.__class__.__mro__ }}")


def test_what_could_not_be_asked_has_failed() -> None:
    gate = built_asking("judge", engine="scripted")
    assert carried(gate, SOUP, lambda request: Completion("k", "", "error", error="down"))[0] == "failed"
