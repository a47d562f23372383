"""A chat as the student's own template puts it, and what of it the assistant says."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from teacherlm.errors import UserError
from teacherlm.prompts import Chat

Turn = Mapping[str, str]
Span = tuple[int, int]

MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")
"""A template that says itself what the assistant writes."""


@dataclass(frozen=True)
class Rendered:
    text: str
    spans: tuple[Span, ...]
    """Where the assistant speaks, the ends of its turns included."""


class Renderer:
    """One tokenizer's template, or the one that the rows bring."""

    def __init__(self, tokenizer: Any, chat: Chat, student: str) -> None:
        """Raises: UserError where neither has one."""
        self.tokenizer, self.chat, self.student = tokenizer, chat, student
        self.source = chat_template(tokenizer, chat, student)
        self.marked = MARKED.search(self.source) is not None

    def turns(self, turns: Sequence[Turn]) -> list[Turn]:
        """With what the system says, unless the conversation brings its own."""
        if not self.chat.system or (turns and turns[0]["role"] == "system"):
            return list(turns)
        return [{"role": "system", "content": self.chat.system}, *turns]

    def put(self, turns: Sequence[Turn], where: str) -> Rendered:
        """Raises: UserError where the template refuses the turns, or does not show which part of them the assistant writes."""
        whole = self.turns(turns)
        if self.marked:
            text, spans = self._render(whole, where, return_assistant_tokens_mask=True)
            found = [self._with_end(text, span) for span in spans]
        else:
            text = self._render(whole, where)
            found = [self._span(whole, i, text, where) for i, turn in enumerate(whole) if turn["role"] == "assistant"]
        if not found:
            raise UserError(f"{where}: the assistant says nothing in this conversation.")
        return Rendered(text, tuple(found))

    def start(self, turns: Sequence[Turn], where: str = "") -> str:
        """Up to where the assistant's turn begins, or goes on where the last turn is its own."""
        whole = self.turns(turns)
        if whole[-1]["role"] == "assistant":
            return str(self._render(whole, where, continue_final_message=True))
        return str(self._render(whole, where, add_generation_prompt=True))

    def _span(self, turns: list[Turn], i: int, text: str, where: str) -> Span:
        """What the i-th turn adds to those before it."""
        before = self._render(turns[:i], where, add_generation_prompt=True)
        after = self._render(turns[: i + 1], where)
        if not (after.startswith(before) and text.startswith(after)):
            raise UserError(
                f"{where}: the chat template of {self.student} writes earlier words otherwise once turn {i + 1} of {len(turns)} is there, "
                f"so what the assistant says is not known; give one with {{% generation %}} (template: {{name: chat, file: x.jinja}})."
            )
        return len(before), len(after)

    def _with_end(self, text: str, span: Span) -> Span:
        """An EOS that stands right behind what the assistant says ends its turn."""
        eos = self.tokenizer.eos_token
        return (span[0], span[1] + len(eos)) if eos and text.startswith(eos, span[1]) else span

    def _render(self, turns: Sequence[Turn], where: str, **options: Any) -> Any:
        try:
            texts, spans = render_jinja_template(
                [[dict(turn) for turn in turns]],
                chat_template=self.source,
                **options,
                **self.tokenizer.special_tokens_map,
            )
        except (TemplateError, ValueError, TypeError, KeyError) as error:
            place = f"{where}: " if where else ""
            raise UserError(
                f"{place}the chat template of {self.student} refuses the conversation ({' '.join(str(error).split())})."
            ) from None
        return (texts[0], spans[0]) if "return_assistant_tokens_mask" in options else texts[0]


def conversation(prompt: str, completion: str, messages: Sequence[Turn], whole: bool) -> list[Turn]:
    """Question and answer as turns; after the turns that lead to it, where the row is a conversation.

    `whole`: the conversation as it is, its own last answer too.
    """
    if not messages:
        return [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
    turns: list[Turn] = [{"role": turn["role"], "content": turn["content"]} for turn in messages]
    return turns if whole else [*turns[:-1], {"role": "assistant", "content": completion}]


def chat_template(tokenizer: Any, chat: Chat, student: str) -> str:
    """Raises: UserError where there is none."""
    if chat.text:
        return chat.text
    try:
        return str(tokenizer.get_chat_template())
    except ValueError:
        raise UserError(
            f"{student}: its tokenizer has no chat template; take a chat model, or give one: template: {{name: chat, file: my.jinja}}."
        ) from None
