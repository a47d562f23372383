from pathlib import Path
from typing import Any

import pytest

from teacherlm.asking import Terms
from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.records import Completion, Sampling
from teacherlm.ways.template import WAY

TERMS = Terms("T", ("cot", "error"), 128, Sampling())
ROW = {"id": "1", "prompt": "Q: Is it? A:", "answer": "yes", "cot_text": "unused"}


def prompts(path: Path, row: dict[str, Any] | None = None) -> tuple[list[str], Any]:
    way = WAY.build(parse_config(WAY.settings, {"file": str(path)}))
    conversation = way(row or ROW, TERMS, "T.jsonl:7", 0)
    requests = next(conversation)
    try:
        conversation.send([Completion("k", f" text {number}") for number in range(len(requests))])
    except StopIteration as end:
        return [request.prompt for request in requests], end.value
    raise AssertionError


def test_columns_kind_and_suffix_may_stand_in_a_template(tmp_path: Path):
    (tmp_path / "t.j2").write_text("{{ prompt }} ({{ answer|upper }}) [{{ kind }}]{{ suffix }}")
    asked, row = prompts(tmp_path / "t.j2")
    assert asked == ["Q: Is it? A: (YES) [cot] Let's think step by step.", "Q: Is it? A: (YES) [error] The common mistakes are:"]
    assert (row["cot"], row["error"], row["all"]) == (" text 0", " text 1", asked[0] + " text 0")


def test_html_in_a_question_is_not_escaped(tmp_path: Path):
    (tmp_path / "t.j2").write_text("{{ prompt }}{{ suffix }}")
    assert prompts(tmp_path / "t.j2", {**ROW, "prompt": "Q: a < b & c? A:"})[0][0].startswith("Q: a < b & c? A:")


def test_a_missing_column_is_named_with_the_file_and_the_row(tmp_path: Path):
    (tmp_path / "t.j2").write_text("{{ promt }}")
    with pytest.raises(UserError, match=r"t\.j2: 'promt' is undefined; T\.jsonl:7 has the columns id, prompt, answer, cot_text\."):
        prompts(tmp_path / "t.j2")


def test_a_damaged_template_is_named_with_its_line(tmp_path: Path):
    (tmp_path / "t.j2").write_text("fine\n{% if %}")
    with pytest.raises(UserError, match=r"t\.j2:2: not a jinja2 template"):
        prompts(tmp_path / "t.j2")


def test_a_template_cannot_reach_what_is_not_its_own(tmp_path: Path):
    (tmp_path / "t.j2").write_text("{{ prompt.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(UserError, match=r"t\.j2: "):
        prompts(tmp_path / "t.j2")


def test_a_missing_file_is_one_line(tmp_path: Path):
    with pytest.raises(UserError, match=r"t\.j2: no such file\."):
        prompts(tmp_path / "t.j2")
