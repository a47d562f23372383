"""docs/originals.md: no option stands in its tables that does not exist, and what it says is taken as it is, is."""

import functools
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from teacherlm.catalog import find
from teacherlm.cli import SETTINGS, real_command
from teacherlm.commands import ORDER as COMMANDS
from teacherlm.errors import UserError
from teacherlm.options import stage_callback
from teacherlm.parsing import assign, parse_config
from teacherlm.pipeline import ABOUT_THE_STEP, read_pipeline, steps_of
from teacherlm.stage import Stage, StageConfig
from teacherlm.stages import ORDER as STAGES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/originals.md"
AS_IT_IS, NOT_DONE, NOTHING = "as it is", "not done, because ", "nothing to set"
NEEDED: Mapping[str, Mapping[str, Any]] = {
    "prepare": {"dataset": "prompt_completion", "output": "out"},
    "enhance": {"input": "in", "output": "out", "teacher": {"name": "transformers", "model": "teacher"}},
    "postprocess": {"input": ["in"], "output": "out"},
    "finetune": {"input": "in", "output": "out", "model": "student"},
    "evaluate": {"input": "in", "output": "out", "tasks": ["creak"]},
    "report": {"input": ["in"], "output": "out"},
}
"""What each stage cannot do without."""
CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Row:
    theirs: str
    ours: str
    stage: str
    """"" where the right column names none."""

    def __str__(self) -> str:
        return f"{self.theirs} -> {self.ours}"


def rows() -> list[Row]:
    found: list[Row] = []
    stage = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("| ") or line.startswith("|---"):
            continue
        theirs, ours = (cell.strip() for cell in line.strip("|").split(" | "))
        if theirs.startswith("their") and ours.startswith("ours"):
            stage = next(iter(CODE.findall(ours)), "")
        else:
            found.append(Row(theirs, ours, stage))
    return found


def given(stage: str, words: list[str], tmp_path: Path) -> StageConfig:
    """The config that the command line makes of these words. What a stage cannot do without comes from a file, over which words win."""
    needed = dict(NEEDED[stage])
    if any(word.startswith("--instruction") for word in words):
        del needed["dataset"]
    (tmp_path / "needed.yaml").write_text(yaml.safe_dump(needed))
    configs: list[StageConfig] = []

    def keep(name: str, stage: Stage, config: StageConfig, overwrite: bool = False) -> None:
        configs.append(config)

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(context_settings=SETTINGS)(stage_callback(stage, find("stages", stage), keep))
    typer.main.get_command(app).main(["--config", str(tmp_path / "needed.yaml"), *words], standalone_mode=False)
    return configs[0]


def meant(stage: str, settings: Mapping[str, Any]) -> StageConfig:
    """The config of settings as they stand in a pipeline file."""
    values: dict[str, Any] = yaml.safe_load(yaml.safe_dump(dict(NEEDED[stage])))
    if "mix" in settings:
        del values["dataset"]
    for key, value in settings.items():
        assign(values, key.split("."), value)
    found: StageConfig = parse_config(find("stages", stage).config, values)
    return found


def settings_in(cell: str) -> list[dict[str, Any]]:
    """Each `key: value` of a cell."""
    return [yaml.safe_load(code) for code in CODE.findall(cell) if re.match(r"[a-z_.]+: ", code)]


def check(code: str, stage: str, tmp_path: Path, beside: Sequence[Mapping[str, Any]] = ()) -> None:
    """Raises: whatever refuses a piece of code of the right column. `beside`: the settings of its cell, some of which need others."""
    if code.startswith("teacherlm "):
        check_command(shlex.split(code)[1:], tmp_path)
    elif code.startswith("--"):
        assert is_option(shlex.split(code)[0], stage), f"no option {code}"
    elif re.match(r"[a-z_.]+: ", code):
        [(key, value)] = yaml.safe_load(code).items()
        if key in STAGES:
            meant(key, value)
        elif key not in ABOUT_THE_STEP:
            try:
                meant(stage, {key: value})
            except UserError:
                meant(stage, {**{name: one for other in beside for name, one in other.items()}, key: value})
    elif "/" in code or "." in code:
        check_file(code)
    else:
        known = {*(find("stages", stage).config.model_fields if stage else ()), *STAGES, *COMMANDS}
        assert code in known, f"{code} is no setting of {stage}"


def is_option(flag: str, stage: str) -> bool:
    names = {name for option in real_command("stages", stage).params for name in option.opts}
    return flag.replace("_", "-") in {name.replace("_", "-") for name in names}


def check_command(words: list[str], tmp_path: Path) -> None:
    name = words[0].replace("-", "_")
    if name in STAGES:
        given(name, words[1:], tmp_path)
    else:
        assert name in COMMANDS
        real_command("commands", name).make_context(name, words[1:])


def check_file(name: str) -> None:
    """It is here, is of the user (`my/...`), or is written by us."""
    if not (ROOT / name).exists() and not name.startswith("my/"):
        assert "/" not in name, f"no file {name}"
        assert name in written(), f"nothing writes {name}"


@functools.cache
def written() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "teacherlm").rglob("*.py"))


WORDS = {"`32`", "`16-mixed`", "`bf16-mixed`", "`16-true`", "`64-true`"}
GLUE = {"`cola`", "`mnli`", "`mrpc`", "`qnli`", "`qqp`", "`rte`", "`wnli`"}
"""Values that stand alone; that they exist is shown below."""


@pytest.mark.parametrize("row", rows(), ids=str)
def test_what_a_row_names_exists(row: Row, tmp_path: Path) -> None:
    codes = [code for code in CODE.findall(row.ours) if f"`{code}`" not in WORDS | GLUE]
    for code in codes:
        check(code, row.stage, tmp_path, settings_in(row.ours))
    said = row.ours.startswith((AS_IT_IS, NOT_DONE, NOTHING, "as in "))
    assert codes or said, "the right cell says nothing that can be checked"


@pytest.mark.parametrize("row", [row for row in rows() if row.ours.startswith(AS_IT_IS)], ids=str)
def test_a_flag_that_is_taken_as_it_is_means_the_settings_beside_it(row: Row, tmp_path: Path) -> None:
    words = [word for code in CODE.findall(row.theirs) for word in shlex.split(code)]
    first = row.ours.split(";")[0]
    wanted = {key: value for setting in settings_in(first) for key, value in setting.items()}
    assert wanted or NOTHING in first
    assert given(row.stage, words, tmp_path).model_dump() == meant(row.stage, wanted).model_dump()


def test_flags_of_theirs_that_are_taken_are_called_so() -> None:
    """A flag that the command line learned since then would otherwise stand there as if it had another name."""
    late = [row for row in rows() if row.stage and row.theirs.startswith("`--") and not row.ours.startswith((AS_IT_IS, NOT_DONE, "as in "))]
    flags = [(row, code.split()[0].split("=")[0]) for row in late for code in CODE.findall(row.theirs)]
    assert [f"{flag} in: {row}" for row, flag in flags if flag not in row.ours and is_option(flag, row.stage)] == []
    assert late


@pytest.mark.parametrize("name", [word.strip("`") for word in sorted(WORDS)])
def test_names_of_precisions_are_understood(name: str, tmp_path: Path) -> None:
    assert given("finetune", ["--precision", name], tmp_path).model_dump() == meant("finetune", {"precision": name}).model_dump()


def tasks_named() -> Iterator[str]:
    for row in rows():
        for found in settings_in(row.ours):
            tasks = found.get("tasks") or (found["eval"].get("tasks", {}) if "eval" in found else [])
            yield from [tasks] if isinstance(tasks, str) else tasks
            if str(found.get("dataset")).startswith("lm_eval:"):
                yield str(found["dataset"]).partition(":")[2]
    yield from (word.strip("`") for word in GLUE)


@pytest.mark.slow
def test_tasks_that_are_named_exist() -> None:
    from teacherlm.shipped import TASKS
    from teacherlm.training.watched import THEIRS

    spec = find_spec("lm_eval")
    assert spec is not None and spec.origin is not None
    files = [*TASKS.glob("*.yaml"), *(Path(spec.origin).parent / "tasks").rglob("*.yaml")]
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
    there = set(re.findall(r"^\s*(?:- )?(?:(?:task|group|tag): *)?[\"']?([\w.-]+)[\"']?$", text, re.MULTILINE))
    named = {THEIRS.get(name, name) for name in tasks_named()}
    assert {name for name in named if "*" not in name} <= there
    assert {"sst2", "wnli", "regression"} <= named


def test_the_pipeline_that_stands_for_a_meta_config_is_one(tmp_path: Path) -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "essai.yaml").write_text(text)
    steps = steps_of(read_pipeline(tmp_path / "essai.yaml", []), "essai.yaml")
    assert [step.stage for step in steps] == ["prepare", "finetune", "evaluate"]
    for step in steps:
        meant(step.stage, step.settings)


def test_a_row_that_names_what_is_not_there_is_found(tmp_path: Path) -> None:
    for code in ("epoks: 3", "adapter: {name: lora, rang: 4}", "teacherlm finetune --epoks 3", "nowhere.jsonl", "docs/none.md", "epoks"):
        with pytest.raises(Exception, match=r"epoks|rang|nowhere|none\.md"):
            check(code, "finetune", tmp_path)
