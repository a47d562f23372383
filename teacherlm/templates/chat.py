"""The student's own chat template: the question is a user's turn, what is learnt the assistant's.

`prepare` does not know the student's tokenizer, so the columns hold the turns' words alone, with a space between them; `finetune` puts
them as the tokenizer of its student does (or the Jinja text given here), and only what the assistant says, with the end of its turn,
carries loss. The checkpoint keeps that template, and `evaluate` asks with it; a letter is asked for as the start of the assistant's turn.
Rows with `messages` (a conversation of several turns) are put whole: everything that the assistant says in it carries loss.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import model_validator

from teacherlm.catalog import ChosenSettings
from teacherlm.prompts import Chat, PlainTemplate, Template, spec_of
from teacherlm.records import Question
from teacherlm.stage import Plugin, RuntimeMark
from teacherlm.templates._jinja_file import read_file


class ChatSettings(ChosenSettings):
    name: Literal["chat"] = "chat"
    system: str = ""
    """What the system says before the first turn; a conversation that brings its own keeps that."""
    file: Annotated[Path | None, RuntimeMark()] = None
    """A chat template (Jinja) of your own, for students whose tokenizer has none; its text takes the file's place."""
    text: str = ""
    """The chat template itself."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, values: Any) -> Any:
        return read_file(values)


@dataclass(frozen=True)
class ChatTemplate(PlainTemplate):
    def label(self, question: Question) -> str:
        """What the assistant says in a conversation, or is to write to an instruction, as it stands; else the answer in a sentence.

        A response that is more than the answer (a worked solution) is left to the rationales.
        """
        if question.messages and question.messages[-1]["role"] == "assistant":
            return f" {question.messages[-1]['content'].strip()}"
        if [text.strip() for _, text in question.response] == [question.answer.strip()] and not question.choices:
            return f" {question.answer.strip()}"
        return super().label(question)

    @property
    def letter_prefix(self) -> str:
        """Begins a turn, so without a space."""
        return super().letter_prefix.lstrip()

    @property
    def stops(self) -> tuple[str, ...]:
        """None: the student ends its turn."""
        return ()


def build(settings: ChatSettings) -> Template:
    return ChatTemplate(spec_of(settings), opening="", closing="", squeezed=False, chat=Chat(settings.system, settings.text))


TEMPLATE = Plugin(ChatSettings, build)
