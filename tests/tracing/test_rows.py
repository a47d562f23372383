"""An id is found however the JSON of a file spells it."""

import json
from pathlib import Path

import orjson
import pytest

from teacherlm.errors import UserError
from teacherlm.tracing.rows import rows_of
from teacherlm.tracing.story import follow

NAME = 'café/1 "😀"'


@pytest.mark.parametrize(
    "spelled",
    [
        orjson.dumps(NAME).decode(),
        json.dumps(NAME),
        json.dumps(NAME).upper().replace("CAF\\U00E9", "caf\\u00E9").replace("\\UD83D\\UDE00", "\\uD83D\\uDE00"),
        orjson.dumps(NAME).decode().replace("/", "\\/"),
    ],
    ids=["UTF-8", "escaped", "escaped in capitals", "with an escaped slash"],
)
def test_a_row_is_found_however_its_id_is_spelled(tmp_path: Path, spelled: str) -> None:
    assert json.loads(spelled) == NAME
    (tmp_path / "rows.jsonl").write_text('{"id": "a\\u0062"}\n{"id": ' + spelled + ', "question": "Why?"}\n{"question": ' + spelled + "}\n")
    assert rows_of(tmp_path, NAME) == [(f"{tmp_path / 'rows.jsonl'}:2", {"id": NAME, "question": "Why?"})]
    assert len(rows_of(tmp_path / "rows.jsonl", "ab")) == 1


def test_an_id_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^caf\\udce9: is not UTF-8, as every id is"):
        follow("caf\udce9", [tmp_path])
