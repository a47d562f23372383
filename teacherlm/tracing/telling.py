"""A question's story in lines for a terminal; every text of others is made safe to print."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from teacherlm.tracing.story import Chapter
from teacherlm.visible import visible

HEADINGS = {
    "prepare": "Prepared",
    "enhance": "Asked of the teacher",
    "postprocess": "Judged",
    "finetune": "Taught",
    "evaluate": "Answered",
}
INDENT = "  "


def lines_of_story(name: str, story: Sequence[Chapter]) -> Iterator[str]:
    yield visible(f"Question {name}")
    before = ""
    for chapter in story:
        if chapter["stage"] != before:
            before = chapter["stage"]
            yield ""
            yield HEADINGS[before]
        for line in _TELLERS[chapter["stage"]](chapter):
            yield INDENT + line


def _prepared(chapter: Chapter) -> Iterator[str]:
    yield visible(chapter["where"])
    if "dropped" in chapter:
        yield from _block("dropped", chapter["dropped"])
        return
    for column, value in chapter["source"].items():
        yield from _block(column, value)
    for column in ("prompt", "choices", "answer", "template"):
        if chapter[column] not in (None, "", []):
            yield from _block(column, chapter[column])


def _asked(chapter: Chapter) -> Iterator[str]:
    yield visible(chapter["where"] + (f" ({chapter['teacher']})" if "teacher" in chapter else ""))
    for number, one in enumerate(chapter.get("exchanges", ()), 1):
        yield from _block(f"asked {number}" + (f", attempt {one['sample'] + 1}" if one["sample"] else ""), one["asked"])
        if one["options"]:
            yield from _block("weighed", dict(zip(one["options"], one["logprobs"], strict=False)))
        else:
            ended = one["error"] or f"{one['finish']}, {one['tokens']} tokens"
            yield from _block(f"wrote ({ended})", one["written"])
    for kind, text in chapter.get("kept", {}).items():
        yield from _block(f"kept as {kind}", text)
    if "dropped" in chapter:
        yield from _block("dropped", chapter["dropped"])


def _judged(chapter: Chapter) -> Iterator[str]:
    yield visible(chapter["where"])
    for gate, verdict in chapter["verdicts"].items():
        yield from _block(gate, verdict)
    if "rejected" in chapter:
        yield from _block("rejected", chapter["rejected"])
    else:
        yield "kept, as an example in " + ", ".join(chapter["examples"])


def _taught(chapter: Chapter) -> Iterator[str]:
    only = ", ".join(f"{key} {value}" for key, value in chapter["only"].items())
    yield visible(f"{chapter['student']}: {chapter['train_on']}" + (f" (of its data only a part: {only})" if only else ""))
    for column, text in chapter["texts"].items():
        yield from _block(column, text)


def _answered(chapter: Chapter) -> Iterator[str]:
    correct = chapter["correct"] if isinstance(chapter["correct"], Mapping) else {}
    scores = ", ".join(f"{metric} {value:g}" for metric, value in correct.items() if isinstance(value, (int, float)))
    said = f"said {_word(chapter['answer'])}, gold {_word(chapter['gold'])}"
    yield visible(f"{chapter['student']} {chapter['checkpoint']}, {chapter['task']}: {said} ({scores})")
    if isinstance(chapter["output"], str):
        yield from _block("wrote", chapter["output"])


def _block(name: str, value: Any) -> Iterator[str]:
    """`name: text`; the further lines of a text stand below its first."""
    first, *rest = visible(f"{name}: {_word(value)}").split("\n")
    yield INDENT + first
    for line in rest:
        yield INDENT * 2 + line


def _word(value: Any) -> str:
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


_TELLERS = {"prepare": _prepared, "enhance": _asked, "postprocess": _judged, "finetune": _taught, "evaluate": _answered}
