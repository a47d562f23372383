r"""Zero-shot, as Fine-tune-CoT asks: `Q: {question}\n\nA:`. It only asks; the same words are taught by ft_natural."""

from typing import Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.prompts import Template, spec_of
from teacherlm.stage import Plugin
from teacherlm.templates._fine_tune_cot import ModelType, words

PROMPT = {"decoder": "Q: {question}\n\nA:", "encoder_decoder": "question: {question}"}


class ZsSettings(ChosenSettings):
    name: Literal["zs"] = "zs"
    model_type: ModelType = "decoder"
    """What an encoder-decoder reads is `question: ...`."""


def build(settings: ZsSettings) -> Template:
    space = " " if settings.model_type == "decoder" else ""
    return words("zs", spec_of(settings), prompt=PROMPT[settings.model_type], statement=space, taught=False)


TEMPLATE = Plugin(ZsSettings, build)
