"""Words and YAML -> configs; refusals say which key and what would be right."""

from pathlib import Path

import pytest

from teacherlm.catalog import EngineChoice
from teacherlm.errors import UserError
from teacherlm.parsing import assign, parse_assignment, parse_config, read_yaml
from teacherlm.stage import Settings


class Inner(Settings):
    depth: int = 1
    """Deep."""


class Outer(Settings):
    inner: Inner = Inner()
    """Nested."""
    count: int
    """A number."""
    teacher: EngineChoice | None = None
    """Chosen by name."""


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"count": 1, "iner": {}}, "f.yaml: iner: unknown key. Did you mean 'inner'? Known: count, inner, teacher."),
        ({"count": 1, "inner": {"dept": 2}}, "f.yaml: inner.dept: unknown key. Did you mean 'depth'? Known: depth."),
        ({}, "f.yaml: count: is required."),
        ({"count": "x"}, "f.yaml: count: input should be a valid integer, unable to parse string as an integer, found 'x'."),
        ({"count": 1, "teacher": {"name": "scriptd"}}, "f.yaml: teacher: No engine named 'scriptd'. Did you mean 'scripted'?"),
        ({"count": 1, "teacher": {"name": "scripted", "modle": 1}}, "f.yaml: teacher.modle: unknown key."),
        ({"count": 1, "teacher": 7}, "f.yaml: teacher: expected a name, or {name: ..., and its settings}"),
    ],
)
def test_a_refusal_is_one_line_with_the_key_and_what_would_be_right(values: dict, line: str) -> None:
    with pytest.raises(UserError) as refused:
        parse_config(Outer, values, "f.yaml")
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)


def test_each_bad_key_has_its_own_line() -> None:
    with pytest.raises(UserError) as refused:
        parse_config(Outer, {"inner": {"depth": "x"}})
    assert len(str(refused.value).splitlines()) == 2


def test_an_assignment_reads_its_value_as_yaml_and_opens_nested_keys() -> None:
    values: dict = {"teacher": "vllm"}
    for word in ("count=3", "teacher.model=a/b", "inner.list=[1, x]"):
        assign(values, *parse_assignment(word))
    assert values == {"teacher": {"name": "vllm", "model": "a/b"}, "count": 3, "inner": {"list": [1, "x"]}}


@pytest.mark.parametrize("word", ["count", "=3", "a=[1"])
def test_a_broken_assignment_is_refused(word: str) -> None:
    with pytest.raises(UserError, match="--set"):
        parse_assignment(word)


def test_broken_yaml_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\nb: [1, 2\nc: 3\n")
    with pytest.raises(UserError, match=r"x\.yaml:3: not valid YAML"):
        read_yaml(path)
    path.write_text("- 1\n")
    with pytest.raises(UserError, match="expected keys and values, found list"):
        read_yaml(path)


def test_yaml_builds_no_python_objects(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(UserError, match="not valid YAML"):
        read_yaml(path)
