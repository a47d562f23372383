"""A score from 0 to 1 for each text, read from two words of the student: how much likelier " yes" is than " no" behind the prompt.

    The room was spotless and the staff were kind.   ->   0.95        `train_on`, by default the column target

score = sigmoid(logit of yes - logit of no) = the probability of yes when only these two words are asked for; loss = KL of the two
probabilities from [1 - target, target], averaged over rows and words as in the original. A decoder-only student is
read at the prompt's last token, an encoder-decoder at its decoder's first step. Measured by the task `regression`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from teacherlm.errors import UserError
from teacherlm.stage import Plugin
from teacherlm.training.settings import ObjectiveSettings


class RegressionSettings(ObjectiveSettings):
    name: Literal["regression"] = "regression"
    words: tuple[str, str] = (" no", " yes")
    """The words for 0 and 1, each one token of the student; most begin with a space. Of a chat mostly ["No", "Yes"]."""
    input: str = "prompt"
    """Column of the texts."""
    renormalise: tuple[float, float] | None = None
    """Lowest and highest target, e.g. [1, 5] for stars: they become 0 and 1. By default targets are from 0 to 1 as they are."""

    column: ClassVar[str] = "target"

    @field_validator("renormalise")
    @classmethod
    def _from_low_to_high(cls, ends: tuple[float, float] | None) -> tuple[float, float] | None:
        if ends and not (ends[0] < ends[1] and all(map(math.isfinite, ends))):
            raise UserError(f"expected the lowest and the highest target, found {list(ends)}.")
        return ends

    def texts(self, table: Any, column: str, completion_only: bool, reader: Any) -> Any:
        from teacherlm.training.regression import build_scored

        if not completion_only:
            raise UserError("loss_on: a regression has no loss on words, so there is nothing to choose; leave it out.")
        return build_scored(table, self.input, column, self.renormalise, reader)

    def known_words(self) -> Sequence[str]:
        return self.words

    def facts(self, column: str, templates: Sequence[str]) -> Mapping[str, Any]:
        """The task `regression` is told the words, the column and the range."""
        told = {"words": list(self.words), "input": self.input}
        return {"objective": self.name, "regression": {**told, **({"renormalise": list(self.renormalise)} if self.renormalise else {})}}


def build(settings: RegressionSettings, family: Any, tools: Any) -> Any:
    from teacherlm.training.regression import Regression, word_token

    no, yes = (word_token(tools.tokenizer, word, family.apart) for word in settings.words)
    if no == yes:
        raise UserError(f"objective.words: {settings.words[0]!r} and {settings.words[1]!r} are the same token.")
    return Regression(family, no, yes)


OBJECTIVE = Plugin(RegressionSettings, build)
