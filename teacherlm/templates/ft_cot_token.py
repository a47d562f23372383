"""Fine-tune-CoT's own: `{question} ###`, completion ` {rationale} --> {answer}`; with stop END, as its models of OpenAI were taught."""

from typing import Literal

from teacherlm.prompts import Template, spec_of
from teacherlm.stage import Plugin
from teacherlm.templates._fine_tune_cot import FineTuneCotSettings, words

PROMPT = {"decoder": "{question} ###", "encoder_decoder": "{question}"}


class FtCotTokenSettings(FineTuneCotSettings):
    name: Literal["ft_cot_token"] = "ft_cot_token"


def build(settings: FtCotTokenSettings) -> Template:
    return words(
        "ft_cot_token",
        spec_of(settings),
        prompt=PROMPT[settings.model_type],
        statement=" --> ",
        stop=settings.stop,
        space=settings.space,
    )


TEMPLATE = Plugin(FtCotTokenSettings, build)
