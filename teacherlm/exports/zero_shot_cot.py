"""Logs of zero-shot-CoT, read question by question: what was asked, what the model thought, what it answered.

    *************************
    7st data
    1_th_sampling
    Q: Shannon had 3 apples ...
    A: Let's think step by step. She ...
    Therefore, the answer (arabic numerals) is 8.
    pred_before : 8.
    pred_after : 8
    pred_list : ['8']
    pred_mode : 8
    GT : 8
    *************************

A completion is what the model wrote behind the last sentence that asked for the answer; what the authors' program made of it
(`pred_...`) is passed over. Logs of zero_shot have no thoughts, those of few_shot and few_shot_cot begin each question with shots.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from pathlib import Path

from teacherlm.answers import rule
from teacherlm.errors import UserError
from teacherlm.log import say

ROW = re.compile(r"(\d+)(?:st|nd|rd|th) data\s*$")
SAMPLING = re.compile(r"\d+_th_sampling\s*$")
STARS = re.compile(r"\*{10,}\s*$")
SETTING = re.compile(r"\b(\w+)=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")
THINKING = "Let's think step by step."
ASKED_FOR = re.compile(r"(?: ?\nTherefore, )?(?:[Tt]he|[Aa]mong A through [A-Z], the) answer(?: \([^()\n]*\))? is")
"""Every sentence of the authors' that asks for the answer, for a log whose head is lost."""
END_OF_TEXT = "pred_before :"
GOLD = "GT :"
METHODS = {"zero_shot": "zs", "zero_shot_cot": "zs_cot", "few_shot": "fs_cot", "few_shot_cot": "fs_cot"}
"""The authors' methods and the templates of prediction of the same shape."""


@dataclass(frozen=True)
class Head:
    """What the first lines of a log tell."""

    dataset: str = ""
    """The rule's name: `single_eq` for the authors' `singleeq`."""
    method: str = ""
    model: str = ""
    thinking: str = ""
    """What made the model think: "Let's think step by step."."""
    asking: str = ""
    """What asked for the answer after the thoughts, without the line break before it."""
    asking_at_once: str = ""
    """The same in zero_shot, where nothing comes before it."""


@dataclass(frozen=True)
class LoggedAnswer:
    """One answer to one question; `reasoning_*` are "" where the method has no thoughts of its own."""

    number: int
    """From 1, as logged."""
    sample: int
    """From 0; logs of one answer to each question have only this."""
    question: str
    gold: str
    prompt: str
    completion: str
    reasoning_prompt: str
    reasoning_completion: str
    where: str
    """`file:line` where the question begins."""


@dataclass
class _Part:
    """Lines of one question, as far as they are read."""

    number: int
    line: int
    texts: list[list[str]] = field(default_factory=lambda: [[]])
    in_text: bool = True

    def add(self, line: str) -> None:
        if SAMPLING.match(line) and not self.texts[-1]:
            return
        if SAMPLING.match(line) and not self.in_text:
            self.texts.append([])
            self.in_text = True
        elif line.startswith(END_OF_TEXT) and self.in_text:
            self.in_text = False
            if self.texts[-1] and STARS.match(self.texts[-1][-1]):
                self.texts[-1].pop()
        elif self.in_text:
            self.texts[-1].append(line)


@dataclass(frozen=True)
class _Logged:
    """The whole text of each answer to one question, and its gold answer."""

    number: int
    texts: tuple[str, ...]
    gold: str
    where: str


def is_log(path: Path) -> bool:
    """Whether a question begins in it as one of such a log does."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        return any(STARS.match(line) and ROW.match(following) for line, following in pairwise(lines))


def read_log(path: Path) -> Iterator[tuple[Head, LoggedAnswer]]:
    """Streams. Raises: UserError for a file that is no such log, and for a question that does not read like one."""
    shots, earlier, found = "", None, False
    for head, logged in _read_questions(path):
        found = True
        if head.method.startswith("few_shot"):
            # The shots are what all questions begin with: two of them tell.
            if earlier is None:
                earlier = (head, logged)
                continue
            if not shots:
                shots = _shots(earlier[1].texts[0], logged.texts[0])
                yield from _answers(*earlier, shots)
        yield from _answers(head, logged, shots)
    if earlier is not None and not shots:
        yield from _answers(*earlier, _shots(earlier[1].texts[0], earlier[1].texts[0]))
    if not found:
        raise UserError(f"{path}: is no log of zero-shot-CoT (no line such as '1st data' with a line '{GOLD} ...' after it).")


def _read_questions(path: Path) -> Iterator[tuple[Head, _Logged]]:
    """A question without its gold answer is left out with a word: there the program was interrupted."""
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    head, part = Head(), None
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for number, raw in enumerate(file, start=1):
            line = raw.rstrip("\n").removesuffix("\r")
            if begins := ROW.match(line):
                _say_cut_off(path, part)
                part = _Part(int(begins[1]), number)
            elif part is None:
                head = _head(line, head)
            elif line.startswith(GOLD) and not part.in_text:
                texts = tuple("\n".join(text) for text in part.texts)
                yield head, _Logged(part.number, texts, line.removeprefix(GOLD).strip(), f"{path}:{part.line}")
                part = None
            else:
                part.add(line)
    _say_cut_off(path, part)


def _say_cut_off(path: Path, part: _Part | None) -> None:
    if part is not None:
        say(f"{path}:{part.line}: question {part.number} is cut off (no line '{GOLD} ...'); it is left out.")


def _head(line: str, known: Head) -> Head:
    """What is known after one more line before or between the questions."""
    if line.startswith("Namespace("):
        told = {name: str(ast.literal_eval(value)) for name, value in SETTING.findall(line)}
        return Head(
            dataset=rule(told["dataset"]).name if "dataset" in told else known.dataset,
            method=told.get("method", known.method),
            model=told.get("model", ""),
            thinking=told.get("cot_trigger", ""),
            asking=told.get("direct_answer_trigger", "").strip(),
            asking_at_once=told.get("direct_answer_trigger_for_zeroshot", "").strip(),
        )
    if line.startswith("dataset :") and not known.dataset:
        return Head(dataset=rule(line.removeprefix("dataset :").strip()).name)
    return known


def _shots(one: str, other: str) -> str:
    """The shots before two questions: what both texts begin with, up to the last line that opens a question."""
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    return one[: max(one.rfind("\nQ: ", 0, alike) + 1, 0)]


def _answers(head: Head, logged: _Logged, shots: str) -> Iterator[tuple[Head, LoggedAnswer]]:
    for sample, text in enumerate(logged.texts):
        yield head, _answer(head, logged, sample, text, shots)


def _answer(head: Head, logged: _Logged, sample: int, text: str, shots: str) -> LoggedAnswer:
    body = text.removeprefix(shots)
    thinks = _thinks(head, body)
    asked, marker, told = body.partition(f"\nA: {head.thinking or THINKING}" if thinks else "\nA:")
    if not body.startswith("Q:") or not marker:
        raise UserError(f"{logged.where}: expected 'Q: ...' and a line 'A: ...', found {body[:60]!r}.")
    opening = f"{text[: len(text) - len(body)]}{asked}{marker}"
    start, end = 0, 0
    if thinks:
        start, end = _trigger(told, (f" \n{head.asking}", f"\n{head.asking}") if head.asking else (), first=False, where=logged.where)
    elif not head.method.startswith("few_shot"):
        _, end = _trigger(told, (head.asking_at_once,) if head.asking_at_once else (), first=True, where=logged.where)
    return LoggedAnswer(
        number=logged.number,
        sample=sample,
        question=asked.removeprefix("Q:").strip(),
        gold=logged.gold,
        prompt=opening + told[:end],
        completion=told[end:],
        reasoning_prompt=opening if thinks else "",
        reasoning_completion=told[:start],
        where=logged.where,
    )


def _thinks(head: Head, body: str) -> bool:
    """Whether the model was asked to think first; a log without a head tells it by its texts."""
    return head.method == "zero_shot_cot" or (not head.method and f"\nA: {THINKING}" in body)


def _trigger(text: str, triggers: Sequence[str], first: bool, where: str) -> tuple[int, int]:
    """Where the sentence that asks for the answer begins and ends; the last one of the surest kind, unless the first is wanted.

    Thoughts often hold the same sentence. The program's own stands behind a space and a line break.
    """
    for trigger in triggers:
        place = text.find(trigger) if first else text.rfind(trigger)
        if place >= 0:
            return place, place + len(trigger)
    found = [(match.start(), match.end()) for match in ASKED_FOR.finditer(text)]
    if not found:
        raise UserError(f"{where}: the question that asks for the answer ('Therefore, the answer ... is') is missing.")
    return found[0] if first else found[-1]
