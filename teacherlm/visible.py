"""Text of models and of files, made safe to print: what would steer a terminal is shown as an escape instead."""

import re
import unicodedata

JOINERS = "\u200c\u200d"
"""Needed inside words and emoji; they steer nothing."""
SUSPECT = re.compile(r"[^\n\x20-\x7e]")
STEERING = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp", "Co"))
"""Unicode categories: controls, formats (such as right-to-left marks), half characters, separators of lines, private use."""


def visible(text: str, encoding: str = "utf-8") -> str:
    """Line breaks stay; a control character becomes `\\x1b` or `\\u202e`, and so does what the encoding cannot say."""
    shown = SUSPECT.sub(_escaped, text)
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    if unicodedata.category(character) not in STEERING or character in JOINERS:
        return character
    return character.encode("unicode_escape").decode("ascii")
