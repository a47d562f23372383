"""What of a question is its template: its words, with names, numbers and quoted words masked."""

import hashlib
import re
from array import array
from collections import Counter
from collections.abc import Iterable

SLOT, PERSON = "_", "~"
QUOTED = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”|(?<!\w)'[^'\n]*'(?!\w)")
TOKEN = re.compile(r"\d[\w.,/:-]*\w|\d|[^\W_]+(?:['’][^\W_]+)?|_|[.?!]|[^\w\s]")
SENTENCE_END = re.compile(r"(?<=[.?!])\s+")
NUMBER_WORDS = frozenset(
    re.findall(
        r"\w+",
        """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
        twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million first second third fourth fifth
        some several many few""",
    )
)
PRONOUNS = frozenset(("he", "she", "his", "her", "hers", "him", "himself", "herself"))
MONEY = frozenset("$€£")
LIST_OF_SLOTS = re.compile(rf"{SLOT}(?: (?:(?:, and|and|,|/|-) )?{SLOT})+")
"""`Sep 9, 1909`, or `Ann, Bob, and Claire`."""


class Skeletons:
    """First `learn` every question, then `group` them: which words are names shows only in all of them."""

    def __init__(self) -> None:
        self._common: set[str] = set()
        """Words that occur in lower case."""
        self._proper: set[str] = set()
        """Words that occur with a capital inside a sentence."""

    def learn(self, question: str) -> None:
        begins = True
        for token in TOKEN.findall(QUOTED.sub(" ", question)):
            if token[0].isalpha():
                word = _stem(token)
                if not word[0].isupper():
                    self._common.add(word.lower())
                elif not begins:
                    self._proper.add(word.lower())
            begins = token in ".?!"

    def skeleton(self, question: str) -> str:
        """`Tom had 3 "red" apples. How many has he?` -> `_ had _ _ apples . how many has ~ ?`"""
        text = QUOTED.sub(f" {SLOT} ", question)
        return LIST_OF_SLOTS.sub(SLOT, " ".join(self._masked(token) for token in TOKEN.findall(text) if token not in MONEY))

    def story(self, question: str) -> str:
        """The skeleton of what a question tells before it asks; "" where it only asks."""
        return self.skeleton(" ".join(part for part in SENTENCE_END.split(question.strip()) if not part.endswith("?")))

    def group(self, questions: Iterable[str]) -> "array[int]":
        """A number for each question, equal for equal templates.

        Questions with the same story are one template, whatever they ask about it; unless more than half of all begin so:
        then it is no story but an instruction.
        """
        wholes, stories = array("Q"), array("Q")
        for question in questions:
            wholes.append(_number(self.skeleton(question)))
            story = self.story(question)
            stories.append(_number(story) if story else wholes[-1])
        often = {story for story, count in Counter(stories).items() if 2 * count > len(stories)}
        return array("Q", (whole if story in often else story for whole, story in zip(wholes, stories, strict=True)))

    def _masked(self, token: str) -> str:
        if token[0].isdigit():
            return SLOT
        word = _stem(token)
        lower = word.lower()
        if lower in NUMBER_WORDS or (word[0].isupper() and (lower in self._proper or lower not in self._common)):
            return SLOT
        return PERSON if lower in PRONOUNS else token.lower()


def _stem(token: str) -> str:
    """`Tom` of `Tom's`."""
    return re.split("['’]", token)[0] or token


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
