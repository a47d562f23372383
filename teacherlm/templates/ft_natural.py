r"""Fine-tune-CoT's plain finetuning in natural words: `Q: {question}\n\nA:`, completion ` {answer}`."""

from typing import Literal

from teacherlm.prompts import Template, spec_of
from teacherlm.stage import Plugin
from teacherlm.templates._fine_tune_cot import FineTuneCotSettings, words

PROMPT = {"decoder": "Q: {question}\n\nA:", "encoder_decoder": "Q: {question}"}


class FtNaturalSettings(FineTuneCotSettings):
    name: Literal["ft_natural"] = "ft_natural"


def build(settings: FtNaturalSettings) -> Template:
    return words("ft_natural", spec_of(settings), prompt=PROMPT[settings.model_type], statement=settings.space, stop=settings.stop)


TEMPLATE = Plugin(FtNaturalSettings, build)
