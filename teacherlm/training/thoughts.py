"""Loss on answers alone: what a student thinks in tags is read, and not learnt."""

from collections.abc import Sequence
from dataclasses import replace

from teacherlm.answers.thinking import END_THINK
from teacherlm.errors import UserError
from teacherlm.training.texts import Text


def answers_only(texts: Sequence[Text]) -> list[Text]:
    """The texts, with loss only behind `</think>`; of a chat in each of the assistant's turns that has thoughts.

    Raises: UserError naming a text without thoughts.
    """
    return [_answer_only(text) for text in texts]


def _answer_only(text: Text) -> Text:
    spans = text.spans or ((text.start, len(text.text)),)
    if not any(END_THINK in text.text[first:last] for first, last in spans):
        raise UserError(
            f"{text.where}: there is no {END_THINK} behind its prompt, so loss_on: answer cannot tell the answer from the thoughts; "
            f"train on a column such as cot_think, or leave loss_on out."
        )
    behind = tuple((_behind(text.text, first, last), last) for first, last in spans)
    return replace(text, start=behind[0][0], spans=behind if text.spans else ())


def _behind(text: str, first: int, last: int) -> int:
    place = text.rfind(END_THINK, first, last)
    return first if place < 0 else place + len(END_THINK)
