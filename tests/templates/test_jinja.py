"""Words from a Jinja file of one's own: composed as TeacherLM does where it says nothing, errors with file and line."""

from pathlib import Path
from typing import Any

import pytest

from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.prompts import SHORT, said_answer, short_name, spec_of, template
from teacherlm.records import Question
from teacherlm.stages.prepare import PrepareConfig

LETTERED = Question("Which gas?", "B", ("oxygen", "carbon dioxide"), raw={"topic": "plants"})
PROMPT = "{% macro prompt(question, choices, letters) -%}\nQuestion: {{ question }}\nAnswer:\n{%- endmacro %}\n"


def made(tmp_path: Path, text: str) -> Any:
    (tmp_path / "my.jinja").write_text(text, encoding="utf-8")
    config = parse_config(
        PrepareConfig, {"dataset": "jsonl", "source": "x", "output": tmp_path / "out", "template": str(tmp_path / "my.jinja")}
    )
    assert config.template is not None
    return template(spec_of(config.template))


def test_a_word_that_ends_in_jinja_is_a_file_and_its_text_is_all_that_rows_need(tmp_path: Path) -> None:
    one = made(tmp_path, PROMPT)
    (tmp_path / "my.jinja").unlink()
    template.cache_clear()
    again = template(one.spec)
    assert again.prompt(LETTERED) == "Question: Which gas?\nAnswer:"
    assert str(tmp_path) not in one.spec
    assert short_name(one.spec).startswith("jinja ") and len(short_name(one.spec)) < SHORT


def test_what_the_file_leaves_out_is_teacherlms(tmp_path: Path) -> None:
    one, plain = made(tmp_path, PROMPT), template("teacherlm")
    prompt, answer = one.prompt(LETTERED), one.answer("B", LETTERED.choices)
    assert (answer, one.letter_prefix, one.statement) == (" The answer is (B).", " The answer is (", " The answer is ")
    assert one.head(prompt, answer, "cot", " Why.") == f"{prompt} Let's think step by step. Why. The answer is (B)."
    assert one.tail(prompt, answer, "error", " Why.") == f"{prompt} The answer is (B). The common mistakes are: Why."
    assert one.objective_prefix("label") == plain.objective_prefix("label")
    assert one.question_of(prompt) == "Which gas?"
    assert said_answer(" So. The answer is (B).", one.spec, "letter") == "B"


def test_macros_take_the_place_of_teacherlms_and_may_ask_for_the_rows_own_columns(tmp_path: Path) -> None:
    one = made(
        tmp_path,
        "{% macro prompt(question, raw) %}{{ raw.topic }}: {{ question }}{% endmacro %}"
        "{% macro answer(gold, choices) %} => {{ gold }}{% endmacro %}"
        "{% macro lead(kind) %} [{{ kind }}]{% endmacro %}"
        "{% macro head(prompt, lead, rationale, answer) %}{{ prompt }}{{ lead }} {{ rationale }}{{ answer }} #{% endmacro %}"
        "{% macro objective_prefix(part) %}<{{ part }}> {% endmacro %}"
        "{% set stops = ['#'] %}",
    )
    prompt = one.prompt(LETTERED)
    assert prompt == "plants: Which gas?"
    assert one.head(prompt, one.answer("B", LETTERED.choices), "cot", " Why. ") == "plants: Which gas? [cot] Why. => B #"
    assert (one.letter_prefix, one.stops, one.answer_prefixes) == (" => ", ("#",), ("=>",))
    assert one.objective_prefix("label") == "<label> "
    assert said_answer(" A or B? I say A. => B # => A", one.spec, "letter") == "B"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "my.jinja: the file is empty"),
        ("one\n{% macro prompt(question) %}{{ question\n", "my.jinja:2: not a Jinja template"),
        ("Q: {{ x }}", "my.jinja:1: 'x' is undefined"),
        ("{% macro promt(question) %}{% endmacro %}", "my.jinja: defines no macro `prompt(question, choices)` (found promt)"),
    ],
)
def test_a_file_that_is_none_is_one_line_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        made(tmp_path, text)
    assert message in str(caught.value) and "\n" not in str(caught.value) and str(caught.value).startswith("template.file: ")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "(question) %}\n{{ question }}\n{{ topic }}",
            "my.jinja:3: 'topic' is undefined; `prompt` may ask for question, choices, ",
        ),
        ("(question, topic) %}\n{{ topic }}", "my.jinja:2: parameter 'topic' was not provided"),
        ("(raw) %}{{ raw.nothing }}", "my.jinja:1: 'dict object' has no attribute 'nothing'"),
        ("(question) %}{{ question.__class__.__mro__ }}", "my.jinja:1: access to attribute '__class__' of 'str' object is unsafe"),
        ("(question) %}\n\n{{ question + 1 }}", "my.jinja:3: "),
    ],
)
def test_what_a_macro_cannot_do_is_told_with_its_line(body: str, message: str, tmp_path: Path) -> None:
    one = made(tmp_path, f"{{% macro prompt{body}{{% endmacro %}}")
    with pytest.raises(UserError) as caught:
        one.prompt(LETTERED)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"template.file: nowhere.jinja: no such file"):
        parse_config(PrepareConfig, {"dataset": "jsonl", "source": "x", "output": tmp_path, "template": "nowhere.jinja"})
    with pytest.raises(UserError, match=r"template.file: is required"):
        parse_config(PrepareConfig, {"dataset": "jsonl", "source": "x", "output": tmp_path, "template": "jinja"})
