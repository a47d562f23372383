"""Choices that stand in the text of a question, taken out of it."""

import re
import string

LISTED = re.compile(r"\s*(?:Answer [Cc]hoices|Options):\s*(?=\(A\))")
"""Before the list: as Fine-tune-CoT and zero-shot-CoT write it, and as BIG-bench Hard does."""


def split_choices(question: str) -> tuple[str, list[str]]:
    """`Which? Answer Choices: (A) one, (B) two.` -> ("Which?", ["one", "two"]); a question without choices comes back as it is."""
    marked = list(LISTED.finditer(question))
    start = marked[-1].end() if marked else question.rfind("(A)")
    if start < 0:
        return question, []
    texts, rest = [], question[start + len("(A)") :]
    for letter in string.ascii_uppercase[1:]:
        text, marker, after = rest.partition(f"({letter})")
        if not marker:
            break
        texts.append(text)
        rest = after
    choices = _without_full_stop([text.strip().removesuffix(",").rstrip() for text in (*texts, rest)])
    if len(choices) < 2 or not all(choices):
        return question, []
    return question[: marked[-1].start() if marked else start].strip(), choices


def _without_full_stop(choices: list[str]) -> list[str]:
    """A full stop behind the last choice alone ends the list, not the choice."""
    *others, last = choices
    return choices if any(text.endswith(".") for text in others) else [*others, last.removesuffix(".").rstrip()]
