"""Your own prompts and completions, learned byte for byte: JSON of lists by split, or lines.

    {"train": [{"prompt": "1 9", "completion": "2 0"}], "eval": [{"prompt": "3 4", "completion": "3 5", "difficulty": 1}]}
    {"prompt": "1 9", "completion": "2 0"}

`eval` becomes the split `validation`. Every other key is kept, a prompt may stand there more than once. Nothing is put between the two:
where the data itself has no blank there, `1 9` and `2 0` become `1 92 0`, and `--template '{name: verbatim, delimiter: "\\n"}'` is meant.
Licence: that of your data.
"""

from collections.abc import Mapping
from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import Dataset, Splits, read_questions
from teacherlm.datasets._documents import by_split
from teacherlm.datasets._texts import as_text
from teacherlm.errors import UserError
from teacherlm.records import Question
from teacherlm.store.sources import Origin, require


class PromptCompletionSettings(ChosenSettings):
    name: Literal["prompt_completion"] = "prompt_completion"
    data_name: str = ""
    """Of several files in a folder, the one called `{data_name}.json`."""
    leave_out: list[str] = []
    """Columns of the file not to keep, such as one whose values share no type."""


def read(settings: PromptCompletionSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    tables = by_split(origin, "prompt", settings.data_name)
    return {split: read_questions(table, lambda row, where: _question(row, settings, where)) for split, table in tables.items()}


def _question(row: Mapping[str, Any], settings: PromptCompletionSettings, where: str) -> Question:
    texts = {name: require(row, name, where) for name in ("prompt", "completion")}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise UserError(f"{where}: column '{name}' must be text, found {value!r:.80}.")
        if not value.strip():
            raise UserError(f"{where}: the {name} is empty.")
    return Question(
        question=texts["prompt"],
        answer=texts["completion"],
        answer_rule="text",
        source_id=as_text(row.get("id")),
        raw={name: value for name, value in row.items() if name not in settings.leave_out},
        where=where,
    )


DATASET = Dataset(PromptCompletionSettings, read, template="verbatim")
