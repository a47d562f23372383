"""Your own questions in tables: any .csv or .tsv file with a header, or a folder of them, one for each split.

    question,A,B,answer,explanation
    Where do fish live?,in trees,in water,B,"They have gills,
    which need water."

`columns: {choices: [A, B]}` says which columns are the choices; without it the answer is free text. Every cell is text: the choice
`true` stays `true`, and `007` is not 7. So an answer such as `1` may be the text of one choice and the index of another: then
`answer_is` has to say which. Line breaks inside a quoted cell are kept. An explanation such as "n/a" counts as none.
"""

from dataclasses import replace
from typing import Literal

from pydantic import field_validator

from teacherlm.dataset import Dataset, Splits
from teacherlm.datasets._columns import ColumnSettings, read_columns
from teacherlm.errors import UserError
from teacherlm.store.readers import CSV
from teacherlm.store.sources import Origin

NAMED = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}


class CsvSettings(ColumnSettings):
    name: Literal["csv"] = "csv"
    delimiter: str = ""
    """Between two cells: one character, or tab, semicolon, pipe; by default a comma, and in a .tsv a tab."""

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, delimiter: str) -> str:
        found = NAMED.get(delimiter, delimiter)
        if len(found) > 1 or found in ('"', "\n", "\r"):
            raise UserError(f"delimiter: expected one character, or {', '.join(NAMED)}, found {delimiter!r}.")
        return found


def read(settings: CsvSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    return read_columns(settings, replace(origin, delimiter=settings.delimiter), seed, CSV, typed=False)


DATASET = Dataset(CsvSettings, read)
