"""TeacherLM: `Q: Is it so? (A) True (B) False A: The answer is (B). Let's think step by step. ...`"""

from typing import Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.prompts import PlainTemplate, Template, spec_of
from teacherlm.stage import Plugin


class TeacherlmSettings(ChosenSettings):
    name: Literal["teacherlm"] = "teacherlm"


def build(settings: TeacherlmSettings) -> Template:
    return PlainTemplate(spec_of(settings))


TEMPLATE = Plugin(TeacherlmSettings, build)
