"""Fine-tune-CoT's plain finetuning with a special token: `{question} ###`, completion ` {answer}`."""

from typing import Literal

from teacherlm.prompts import Template, spec_of
from teacherlm.stage import Plugin
from teacherlm.templates._fine_tune_cot import FineTuneCotSettings, words

PROMPT = {"decoder": "{question} ###", "encoder_decoder": "{question}"}


class FtTokenSettings(FineTuneCotSettings):
    name: Literal["ft_token"] = "ft_token"


def build(settings: FtTokenSettings) -> Template:
    return words("ft_token", spec_of(settings), prompt=PROMPT[settings.model_type], statement=settings.space, stop=settings.stop)


TEMPLATE = Plugin(FtTokenSettings, build)
