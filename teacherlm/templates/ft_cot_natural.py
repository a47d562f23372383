r"""Fine-tune-CoT in natural words: `Q: ...\n\nA: Let's think step by step.\n\n`, then ` {rationale}\n\nTherefore the answer is {answer}`.

For decoders alone, as there. The original taught the sentence without a comma and looked for it with one; here both are found.
"""

from typing import Literal

from teacherlm.prompts import SUFFIX, Template, spec_of
from teacherlm.stage import Plugin
from teacherlm.templates._fine_tune_cot import DecoderSettings, words


class FtCotNaturalSettings(DecoderSettings):
    name: Literal["ft_cot_natural"] = "ft_cot_natural"


def build(settings: FtCotNaturalSettings) -> Template:
    return words(
        "ft_cot_natural",
        spec_of(settings),
        prompt=f"Q: {{question}}\n\nA:{SUFFIX['cot']}\n\n",
        statement="\n\nTherefore the answer is ",
        stop=settings.stop,
    )


TEMPLATE = Plugin(FtCotNaturalSettings, build)
