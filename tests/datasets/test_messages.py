from pathlib import Path
from typing import Any

import pytest
from reading import prepared, questions, reason, write

SYSTEM = {"role": "system", "content": "Be brief."}
HI, HELLO = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}
MORE, BYE = {"role": "user", "content": "And  now?"}, {"role": "assistant", "content": "Bye."}
CHAT = [SYSTEM, HI, HELLO, MORE, BYE]
SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt"}


def test_the_last_turn_is_the_answer_and_the_last_user_turn_the_question(tmp_path: Path):
    (question,) = questions("messages", write(tmp_path / "x.jsonl", [{"messages": CHAT, "id": 7}]))["train"]
    assert (question.question, question.answer, question.source_id) == ("And  now?", "Bye.", "7")
    assert list(question.messages) == CHAT


@pytest.mark.parametrize(
    "row",
    [
        {"messages": CHAT},
        {"conversations": CHAT},
        {"conversation": CHAT},
        {
            "conversations": [
                {"from": name, "value": turn["content"]} for name, turn in zip(["system", *["human", "gpt"] * 2], CHAT, strict=True)
            ]
        },
        {"conversations": [{"from": turn["role"], "value": turn["content"]} for turn in CHAT]},
        {"system": "Be brief.", "conversations": CHAT[1:]},
        {"messages": [{"role": "developer", "content": "Be brief."}, *CHAT[1:]]},
        {"messages": [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in CHAT]},
        {"messages": [{**turn, "tool_calls": None, "name": None} for turn in CHAT]},
    ],
)
def test_every_spelling_of_a_conversation_becomes_the_same_messages(row: dict[str, Any], tmp_path: Path):
    (question,) = questions("messages", write(tmp_path / "x.jsonl", [row]))["train"]
    assert list(question.messages) == CHAT


def test_the_turns_may_stand_in_any_column(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", [{"dialogue": CHAT, "messages": "of another kind"}])
    (question,) = questions("messages", path, column="dialogue")["train"]
    assert list(question.messages) == CHAT


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([SYSTEM, HI, HELLO, MORE], "the last turn, 4, is by the user, expected the assistant: there is no answer."),
        ([HI, MORE, BYE], "turn 2 is by the user, expected the assistant: roles have to alternate."),
        ([HELLO, HI, BYE], "turn 1 is by the assistant, expected the user: roles have to alternate."),
        ([HI, HELLO, SYSTEM, BYE], "turn 3 is by the system, expected the user: roles have to alternate."),
        ([SYSTEM], "the last turn, 1, is by the system, expected the assistant: there is no answer."),
        ([], "expected a list of turns, found []."),
        ("Hi", "expected a list of turns, found 'Hi'."),
        ([HI, "Hello."], "turn 2: expected {role, content} or {from, value}, found 'Hello.'."),
        ([HI, {"content": "Hello."}], "turn 2: there is neither 'role' nor 'from' (found: content)."),
        ([HI, {"role": "assistant", "content": None}], "turn 2: the assistant says nothing (content is missing or null)."),
        ([HI, {"role": "assistant"}], "turn 2: the assistant says nothing (content is missing or null)."),
        ([HI, {"role": "assistant", "content": " "}], "turn 2: the assistant says nothing (content is empty)."),
        (
            [HI, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}],
            "turn 2: tool_calls is about a tool; only conversations in text can be prepared.",
        ),
        (
            [HI, {"role": "tool", "content": "42"}, BYE],
            "turn 2: role 'tool' is about a tool; only conversations in text can be prepared.",
        ),
        (
            [{"role": "narrator", "content": "Once"}, BYE],
            "turn 1: role 'narrator' is not known (expected system, user or human, assistant or gpt).",
        ),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": "x.png"}]}, BYE],
            "turn 1: content must be text, found [{'type': 'image_url', 'image_url': 'x.png'}].",
        ),
    ],
)
def test_a_conversation_that_cannot_be_taught_is_a_bad_row_naming_the_turn(turns: Any, message: str, tmp_path: Path):
    path = write(tmp_path / "x.jsonl", [{"messages": turns}])
    assert reason("messages", path) == f"{path}:1: {message}"


def test_a_row_without_turns_says_what_there_is(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", [{"text": "Hi"}])
    assert reason("messages", path) == (
        f"{path}:1: there is no column messages or conversations or conversation (found: text); say which: column."
    )


def test_prepare_writes_the_messages_in_one_spelling_and_drops_what_is_none(tmp_path: Path):
    rows = [{"messages": CHAT, "topic": "x"}, {"messages": CHAT[:2], "topic": "y"}, {"conversations": CHAT[1:3], "topic": "z"}]
    source = str(write(tmp_path / "x.jsonl", rows))
    out = prepared(tmp_path / "out", dataset="messages", source=source, on_bad_row="drop", template="verbatim")["train"]
    assert [row["messages"] for row in out] == [CHAT, CHAT[1:3]]
    assert [(row["prompt"], row["text"], row["topic"]) for row in out] == [("And  now?", "And  now?Bye.", "x"), ("Hi", "HiHello.", "z")]
