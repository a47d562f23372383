"""Answers as Fine-tune-CoT and zero-shot-CoT cut them out of a completion: one rule for each of their twelve datasets.

Without a prefix the first candidate counts; after a prefix the first one behind it; where a prefix is missing the last one of all.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from teacherlm.answers.numbers import HASHES, NUMBER, equal_numbers, plain_number
from teacherlm.answers.rule import AnswerRule

PREFIXES: Mapping[str, tuple[str, ...]] = {
    "zs": (),
    "zs_cot": (),
    "fs_cot": ("The answer is",),
    "ft_natural": (),
    "ft_token": (),
    "ft_cot_natural": ("Therefore, the answer is", "Therefore the answer is"),
    "ft_cot_token": ("-->",),
}
"""What stands before the answer in a completion, by template of prediction.

The original's ft_cot_natural taught students the sentence without the comma and looked for it with one: either counts here.
"""

DIALECTS: Mapping[str, str] = {
    "singleeq": "single_eq",
    "strategyqa": "strategy_qa",
    "commonsensqa": "commonsense_qa",
    "commonsenseqa": "commonsense_qa",
    "bigbench_date": "date_understanding",
    "object_tracking": "tracking_shuffled_objects",
    "shuffled_objects": "tracking_shuffled_objects",
    "last_letters": "last_letter_concatenation",
    "letters": "letter",
    "numbers": "number",
    "yes/no": "yes_no",
    HASHES: "hashes",
}
"""Other names of rules: those of zero-shot-CoT's datasets, and plurals."""

STATED_AS: Mapping[str, str] = {
    **dict.fromkeys(("aqua", "commonsense_qa", "date_understanding", "tracking_shuffled_objects"), "letter"),
    **dict.fromkeys(("single_eq", "addsub", "multiarith", "gsm8k", "svamp"), "number"),
    **dict.fromkeys(("strategy_qa", "coin_flip"), "yes_no"),
    "last_letter_concatenation": "exact",
}
"""The twelve datasets, and the rule that finds a stated answer of each in free text."""


def _cleansing_rule(
    name: str, find: Callable[[str], list[str]], normalise: Callable[[str], str], equal: Callable[[str, str], bool] = str.__eq__
) -> AnswerRule:
    def candidates(text: str, choices: Sequence[str]) -> list[str]:
        return find(text)

    return AnswerRule(name, candidates, candidates, normalise, equal)


def _letters_rule(name: str, letters: str) -> AnswerRule:
    return _cleansing_rule(name, lambda text: re.findall(f"[{letters}]", text), lambda answer: answer.strip(" ().\n"))


def _numbers_rule(name: str) -> AnswerRule:
    return _cleansing_rule(name, _numbers, plain_number, equal_numbers)


def _yes_no_rule(name: str) -> AnswerRule:
    return _cleansing_rule(name, _yes_or_no, lambda answer: answer.strip(" \"'.,:\n").lower())


def _numbers(text: str) -> list[str]:
    return re.findall(r"-?\d+(?:\.\d+)?", text.replace(",", ""))


def _yes_or_no(text: str) -> list[str]:
    return [word for word in re.sub(r"[\"'.:,\s]", " ", text.lower()).split() if word in ("yes", "no")]


def _squeezed(text: str) -> str:
    return re.sub(r"[\"'.\s]", "", text)


def _after_hashes(text: str) -> list[str]:
    return re.findall(rf"{HASHES}\s*({NUMBER})", text)


CLEANSING = (
    *(_letters_rule(name, "ABCDE") for name in ("aqua", "commonsense_qa")),
    _letters_rule("date_understanding", "ABCDEF"),
    _letters_rule("tracking_shuffled_objects", "ABC"),
    *(_numbers_rule(name) for name in ("single_eq", "addsub", "multiarith", "gsm8k", "svamp")),
    *(_yes_no_rule(name) for name in ("strategy_qa", "coin_flip")),
    _cleansing_rule("last_letter_concatenation", lambda text: [_squeezed(text)], _squeezed),
    _cleansing_rule("hashes", _after_hashes, plain_number, equal_numbers),
)
