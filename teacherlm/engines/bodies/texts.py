"""Between texts and tokens: how a prompt is put to the model, and which text a row has written.

Prompts are encoded as the tokenizer does by default (with the special tokens that it adds by itself, such as a BOS), for teachers and
students alike; inside a chat template, which brings its own, none are added.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from jinja2 import TemplateError

from teacherlm.errors import UserError

TAIL = 8
"""Prompt tokens decoded with the continuation: some tokenizers drop a space at the start of a text."""


@dataclass(frozen=True)
class Chat:
    """The prompt is one turn of a user, after what the system says ("" for nothing)."""

    system: str = ""

    def turns(self, prompt: str) -> list[dict[str, str]]:
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": prompt}]


class Texts:
    """A tokenizer, and how prompts are put."""

    def __init__(self, tokenizer: Any, identity: str, seq2seq: bool, chat: Chat | None = None) -> None:
        self.tokenizer, self.seq2seq, self.chat = tokenizer, seq2seq, chat
        self.rendered = False
        """Prompts come in the words of a chat template already."""
        if chat and not tokenizer.chat_template:
            raise no_template(identity)
        self.stopping_tokens = lru_cache(maxsize=16)(self._find_stopping_tokens)

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        return self._encode(self.put(prompts)) if prompts else []

    def encode_options(self, prompt: str, options: Sequence[str]) -> tuple[list[int], list[list[int]]]:
        """(tokens of the prompt, those of each option after it), as lm-eval does: spaces at the prompt's end begin the options."""
        [put] = self.put([prompt])
        bare = put.rstrip()
        options = [put[len(bare) :] + option for option in options]
        [context] = self._encode([bare])
        if self.seq2seq:
            return context, [[*self.opening, *ids] for ids in self._encode(options, special=False)]
        return context, [whole[len(context) :] for whole in self._encode([bare + option for option in options])]

    @cached_property
    def opening(self) -> list[int]:
        """Special tokens that begin all that an encoder-decoder writes (BART: `<s>`; T5: none), as its tokenizer puts them."""
        if not self.seq2seq:
            return []
        words = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        whole = self.tokenizer(text_target="a")["input_ids"]
        return list(whole[: next(place for place in range(len(whole)) if whole[place : place + len(words)] == words)])

    def put(self, prompts: Sequence[str]) -> list[str]:
        """What the model reads, up to where its own turn begins. Raises: UserError where its template refuses."""
        if not self.chat:
            return list(prompts)
        turns = [self.chat.turns(prompt) for prompt in prompts]
        try:
            return list(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        except TemplateError as error:
            raise UserError(f"the model's chat template refuses the conversation ({error}); some take no `system`.") from error

    def _encode(self, texts: Sequence[str], special: bool = True) -> list[list[int]]:
        return list(
            self.tokenizer(list(texts), verbose=False, add_special_tokens=special and not (self.chat or self.rendered))["input_ids"]
        )

    def text(self, prompt: Sequence[int], written: Sequence[int]) -> str:
        """What was written, with the space it began with."""
        tail = [] if self.seq2seq else list(prompt[-TAIL:])
        before, both = self.tokenizer.batch_decode([tail, [*tail, *written]], skip_special_tokens=True)
        return str(both[len(before) :] if both.startswith(before) else self.tokenizer.decode(written, skip_special_tokens=True))

    def stop_at(self, prompt: Sequence[int], written: Sequence[int], stops: Sequence[str]) -> int | None:
        """Where the first stop string begins in what was written."""
        if not stops:
            return None
        text = self.text(prompt, written)
        return min((place for stop in stops if (place := text.find(stop)) >= 0), default=None)

    def _find_stopping_tokens(self, stops: tuple[str, ...]) -> frozenset[int] | None:
        """Tokens that can complete a stop string; None for all: a lone token does not show every space, nor half a character."""
        last = {stop[-1] for stop in stops}
        if any(char == " " or not char.isascii() for char in last):
            return None
        pieces = self.tokenizer.batch_decode([[token] for token in range(len(self.tokenizer))]) if stops else []
        return frozenset(token for token, piece in enumerate(pieces) if last.intersection(piece))


def no_template(model: str) -> UserError:
    return UserError(f"{model}: its tokenizer has no chat template; leave `chat` off, or choose a chat model.")
