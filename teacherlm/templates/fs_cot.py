r"""Few-shot chain of thought: worked examples, then `\nQ: {question}\nA:`. It only asks; no student is trained on it."""

from dataclasses import replace
from typing import Any, Literal

from pydantic import model_validator

from teacherlm.catalog import ChosenSettings
from teacherlm.errors import UserError
from teacherlm.prompts import Template, spec_of
from teacherlm.shots import ShotsFile, read_shots
from teacherlm.stage import Plugin
from teacherlm.templates._fine_tune_cot import words


class FsCotSettings(ChosenSettings):
    name: Literal["fs_cot"] = "fs_cot"
    shots: ShotsFile | None = None
    """A text file with the examples (`Q: ...` and `A: ...` in turn), or a JSON {key: {prompt: ...}} as few_shot_cot_prompts.json."""
    key: str = ""
    """Which of the file's prompts; needed where it has several."""
    block: str = ""
    """The examples themselves; read from `shots`."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, values: Any) -> Any:
        """The examples take the file's place, so that a row's spec needs no file."""
        if not isinstance(values, dict) or values.get("block"):
            return values
        if not values.get("shots"):
            raise UserError("shots: is required, a file with the examples.")
        try:
            block = read_shots(values["shots"], str(values.get("key", "")))
        except UserError as error:
            raise UserError(f"shots: {error}") from None
        others = {name: value for name, value in values.items() if name not in ("shots", "key", "block")}
        return {**others, "block": block}


def build(settings: FsCotSettings) -> Template:
    asked = words("fs_cot", spec_of(settings), prompt="\nQ: {question}\nA:", statement=" The answer is ", taught=False)
    return replace(asked, opening=settings.block + asked.opening)


TEMPLATE = Plugin(FsCotSettings, build)
