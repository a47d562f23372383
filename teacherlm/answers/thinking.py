"""Thoughts in tags: `<think>` rationale `</think>` answer. Only what stands outside of them is said."""

THINK, END_THINK = "<think>", "</think>"


def thinking(rationale: str, answer_text: str) -> str:
    """What a student writes that thinks first. Tags in the rationale itself go: a teacher may have thought in them."""
    thought = rationale.replace(THINK, "").replace(END_THINK, "").strip()
    return f"{THINK}\n{thought}\n{END_THINK}\n{answer_text.strip()}"


def spoken(text: str) -> str:
    """What follows the last thought; "" of a text that never ended its thoughts. A prompt may have opened the tag, so that the text only
    closes it. Texts without tags stay as they are.
    """
    return text.rpartition(END_THINK)[2].partition(THINK)[0]
