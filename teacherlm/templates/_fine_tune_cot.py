"""What the templates of Fine-tune-CoT (Ho, Schmid & Yun 2022) share: their words byte for byte, every field stripped."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from teacherlm.answers.cleansing import PREFIXES
from teacherlm.catalog import ChosenSettings
from teacherlm.prompts import PlainTemplate
from teacherlm.records import Question

ModelType = Literal["decoder", "encoder_decoder"]

DIRECT = ("",)
"""Where a completion begins with its answer."""


class DecoderSettings(ChosenSettings):
    """Of a template that was made for decoders alone."""

    stop: str = ""
    """Ends every completion, behind a space; generation ends there too. The original's models of OpenAI had END."""


class FineTuneCotSettings(DecoderSettings):
    model_type: ModelType = "decoder"
    """An encoder-decoder reads less around the question, and its completion begins without a space."""

    @property
    def space(self) -> str:
        """Before a completion."""
        return " " if self.model_type == "decoder" else ""


@dataclass(frozen=True)
class FineTuneCot(PlainTemplate):
    """`opening`, the question, `closing`; then ` `, a rationale and the statement, or the statement alone."""

    def prompt(self, question: Question) -> str:
        return f"{self.opening}{question.question.strip()}{self._options(question.choices)}{self.closing}"

    def answer(self, gold: str, choices: Sequence[str]) -> str:
        return f"{self.statement}{gold.strip()}{self.stop}"

    def head(self, prompt: str, answer_text: str, kind: str, rationale: str) -> str:
        return f"{prompt}{self.gap}{rationale.strip()}{answer_text}"

    def tail(self, prompt: str, answer_text: str, kind: str, rationale: str) -> str:
        """Not the original's, which never has the answer first; what ends a completion stays at its end."""
        return f"{prompt}{answer_text.removesuffix(self.stop)} {rationale.strip()}{self.stop}"

    @property
    def stops(self) -> tuple[str, ...]:
        opening = self.opening.rpartition("\n")[2].strip()
        following = (f"\n{opening}", f" {opening}") if opening else ()
        return (self.stop, *following) if self.stop else following


def words(name: str, spec: str, *, prompt: str, statement: str, stop: str = "", space: str = " ", taught: bool = True) -> FineTuneCot:
    """`prompt` with `{question}` in it; `statement` stands before the answer, `stop` (END) behind it, `space` before a rationale."""
    opening, closing = prompt.split("{question}")
    return FineTuneCot(
        spec,
        opening=opening,
        closing=closing,
        statement=statement,
        letter=("", ""),
        stop=f" {stop}" if stop else "",
        leads={},
        gap=space,
        listed=True,
        squeezed=False,
        answer_prefixes=PREFIXES[name] if statement.strip() else DIRECT,
        taught=taught,
    )
