r"""Zero-shot chain of thought, its first step: `Q: {question}\nA: Let's think step by step.` It only asks.

The way of asking `solve` takes the second step, `\nTherefore, the answer is`, too.
"""

from typing import Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.prompts import SUFFIX, Template, spec_of
from teacherlm.stage import Plugin
from teacherlm.templates._fine_tune_cot import words


class ZsCotSettings(ChosenSettings):
    name: Literal["zs_cot"] = "zs_cot"


def build(settings: ZsCotSettings) -> Template:
    first = f"Q: {{question}}\nA:{SUFFIX['cot']}"
    return words("zs_cot", spec_of(settings), prompt=first, statement="\nTherefore, the answer is ", taught=False)


TEMPLATE = Plugin(ZsCotSettings, build)
