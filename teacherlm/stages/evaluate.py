"""Measure every checkpoint on lm-eval tasks, by letters or by what it writes; nothing is measured twice."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from teacherlm import interrupt
from teacherlm.engines.vllm import VllmOptions, name_of, require_installed
from teacherlm.errors import UserError
from teacherlm.evaluation.cells import Cell, Manner, build_cell, metrics_of, result_rows
from teacherlm.evaluation.failures import Failures
from teacherlm.evaluation.groups import group_cells
from teacherlm.evaluation.measured import FOLDER
from teacherlm.evaluation.measuring import Measuring, forget_answers
from teacherlm.evaluation.permuting import permuted
from teacherlm.evaluation.preds import require_one, write_preds
from teacherlm.evaluation.students import LoadOptions, Protocol, Student, damaged_checkpoints, find_students, refuse_mismatch
from teacherlm.evaluation.watching import arriving
from teacherlm.hosted.settings import ApiSettings
from teacherlm.log import say
from teacherlm.stage import Alias, Input, Model, Outcome, Runtime, Source, Stage, StageConfig
from teacherlm.store.files import write_jsonl
from teacherlm.store.manifest import read_manifest

if TYPE_CHECKING:
    from teacherlm.evaluation.loading import LoadedTask

VERSION = 1
Number = Annotated[int, Field(ge=0)]
MODEL_ARGS = {"pretrained": "input", "revision": "revision", "dtype": "dtype", "trust_remote_code": "trust_remote_code"}
"""What the original's `--model_args a=b,c=d` may hold, and our settings for it."""


def parse_names(value: Any) -> Any:
    """`creak,ecqa` is two names, alone or inside a list."""
    words = [value] if isinstance(value, str) else value
    return [part.strip() for word in words for part in str(word).split(",") if part.strip()] if isinstance(words, (list, tuple)) else value


def parse_model_args(words: str) -> dict[str, Any]:
    """`pretrained=PATH,revision=x` -> our settings. Raises: UserError for a key that is not known."""
    found: dict[str, Any] = {}
    for word in words.split(","):
        key, _, value = word.partition("=")
        if key.strip() not in MODEL_ARGS:
            raise UserError(f"--model_args: '{key.strip()}' is not known; known: {', '.join(MODEL_ARGS)}.")
        found[MODEL_ARGS[key.strip()]] = value.strip()
    return found


class EvaluateConfig(StageConfig):
    output: Annotated[Runtime[Path], Alias("--output_path")]
    """Folder to write: results.jsonl, and measured/ with the answer to every question. Of a plain call evaluated/<model>-<tasks>."""
    input: Annotated[Model, Alias("--model_args")]
    """What to measure: the output of `finetune` (each of its checkpoints), a model folder, a hub id, or `openai:MODEL` of a server."""
    api: ApiSettings | None = None
    """How a student behind an API is asked, as settings of the engine openai: {base_url: ..., endpoint: chat}. Of an output of finetune
    it is known. Such a student is measured by what it writes."""
    tasks: Annotated[list[str], BeforeValidator(parse_names), Field(min_length=1)]
    """lm-eval tasks or groups by name, ours, yours or its own; `mmlu_*` matches names."""
    data: Annotated[dict[str, Path] | Path | None, Source("data")] = None
    """Local data for tasks that can read it: one path, or {task: path}."""
    split: dict[str, str] | str | None = None
    """What is measured of the data of tasks of ours, such as `test`, or {task: split}; by default as the task says."""
    metadata: dict[str, Any] = {}
    """What else the tasks are told, as by lm-eval's --metadata: {lists: template}, {track: xlingual, gpt2: path}."""
    checkpoints: Literal["all", "last", "best"] = "all"
    """Which checkpoints of a run are measured; best: the one that the run's best.json names (`best` of finetune)."""
    shots: Annotated[Number | Sequence[Number] | Mapping[str, Number | Sequence[Number]] | None, Alias("--num_fewshot")] = None
    """Solved examples before each question: 5, or each of 0,5, or by task {creak: 0, mmlu: [0, 5]}. By default as the task says, else
    none."""
    limit: Annotated[int | None, Field(ge=1)] = None
    """Measure the first so many questions of each task only (for trying out)."""
    max_new_tokens: Annotated[int | None, Field(ge=1)] = None
    """Longest answer of tasks where the student writes; by default as the task says."""
    permute_options: bool = False
    """Ask every question once more under each order that comes of rotating its options, letters in their places: accuracy over all of
    them, how far they lie apart, and how often the same option is chosen. For tasks of ours with choices."""
    protocol: Protocol = "lm_eval"
    """How a question and a letter weighed behind it become tokens: lm_eval together, with the BOS that the tokenizer adds, as plain lm_eval
    does; teacherlm apart and without a BOS, as TeacherLM's own evaluation did."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """What writes the answers: transformers, or vllm where it is installed (whole models, and tasks that generate)."""
    vllm: VllmOptions = VllmOptions()
    """How vLLM runs a student, as settings of the engine vllm: {gpu_memory: 0.5, tensor_parallel: 2, engine_args: {...}}."""
    include_path: list[Input] = []
    """Folders with your own lm-eval task YAMLs."""
    allow_template_mismatch: bool = False
    """Measure even where a task's prompts follow another template than the student was taught."""
    revision: str = "main"
    """Revision of a hub model."""
    dtype: Literal["auto", "float32", "float16", "bfloat16", "int8", "nf4"] = "auto"
    """Precision of the weights; auto: as they were saved. int8 and nf4 quantise them while loading (extra `quantized`)."""
    pred_save_path: Path | None = None
    """File for the scores that one student gives to the rows of a task (regression), instead of preds/checkpoint-<step>-preds.json."""
    scores_only: bool = False
    """The scores alone in these files, instead of {orig_d, pred_score} for each row."""
    seed: int = 1234
    """Draws the shots, and any sampling a task asks for; lm-eval's own default."""
    trust_remote_code: bool = False
    """Run code that comes with a hub model. Only for models you trust."""
    watch: Runtime[bool] = False
    """Measure the checkpoints of a training as it writes them; ends when the training has and all are measured."""
    batch_size: Annotated[Runtime[int], Field(ge=1)] = 32
    """Questions answered at once; does not change the result."""
    device: Runtime[str] = "auto"
    """cpu, cuda, cuda:1, ...; auto: a GPU where there is one."""

    @field_validator("shots", mode="before")
    @classmethod
    def _read_shots(cls, value: Any) -> Any:
        """`0,5` is two numbers, and a list of one is that one."""
        numbers = value.split(",") if isinstance(value, str) else value
        for given in numbers.values() if isinstance(numbers, Mapping) else [numbers]:
            named = given if isinstance(given, (list, tuple)) else [given]
            if not named:
                raise UserError("an empty list names no number; leave it out, or give 0.")
            for one in named:
                if one is not None and not re.fullmatch(r"\s*\d+\s*", str(one)):
                    raise UserError(f"expected a number from 0 on, several (0,5), or {{task: number}}, found {one!r}.")
        return numbers[0] if isinstance(numbers, (list, tuple)) and len(numbers) == 1 else numbers

    @model_validator(mode="before")
    @classmethod
    def _read_model_args(cls, values: Any) -> Any:
        given = values.get("input") if isinstance(values, Mapping) else None
        if isinstance(given, str) and given.startswith(tuple(f"{key}=" for key in MODEL_ARGS)):
            return {**values, **parse_model_args(given)}
        return values

    @model_validator(mode="before")
    @classmethod
    def _has_a_place(cls, values: Any) -> Any:
        """The original printed its results and asked for no folder."""
        if not isinstance(values, Mapping) or "output" in values or not {"input", "tasks"} <= values.keys():
            return values
        names = parse_names(values["tasks"])
        tasks = "+".join(map(str, names)) if isinstance(names, list) else ""
        return {**values, "output": Path("evaluated", re.sub(r"[^\w.+-]+", "_", f"{Path(str(values['input'])).name}-{tasks}")[:120])}

    @model_validator(mode="after")
    def _watches_all(self) -> "EvaluateConfig":
        if self.watch and self.checkpoints != "all":
            raise UserError(f"watch: which checkpoint is the {self.checkpoints} is known when the training is finished; evaluate it then.")
        return self

    @model_validator(mode="after")
    def _is_whole_in_vllm(self) -> "EvaluateConfig":
        if self.engine == "vllm" and self.dtype in ("int8", "nf4"):
            raise UserError(f"engine vllm: does not read dtype {self.dtype}; engine transformers does.")
        if self.engine != "vllm" and self.vllm != VllmOptions():
            raise UserError(f"vllm: says how vLLM runs a student, and the engine is {self.engine}; set engine: vllm too.")
        return self


def evaluate(config: EvaluateConfig) -> Outcome:
    failures = Failures()
    measuring = _measuring(config, failures)
    cells: list[Cell] = []
    tasks: Sequence[LoadedTask] | None = None
    groups: list[Cell] = []
    measured = 0
    with interrupt.interruptible():
        for students in _students(config):
            tasks = _load(config, students[0], failures) if tasks is None else tasks
            new = _cells(config, students, tasks)
            cells += new
            measured += _measure(new, measuring)
            groups = group_cells(cells, config.output)
            _write(cells, groups, config)
    for folder in damaged_checkpoints(config.input):
        failures.mistakes.append(f"{folder} is torn: remove it, or train it again")  # a warning has been said
    done = len([cell for cell in cells if cell.measured.read()])
    failures.end(f"measured and kept in {config.output}: {done}; the same command does the rest")
    return Outcome(
        counts={
            "checkpoints": len({cell.student.path for cell in cells}),
            "tasks": len([task for task in tasks or () if not task.turns]),
            "measured": measured,
            "already measured": len(cells) - measured,
        },
        metrics=metrics_of([*cells, *groups]),
        facts={"tokens": sum(found.tokens for cell in cells if (found := cell.measured.read())), **_overlap(config.input, tasks or ())},
    )


def _students(config: EvaluateConfig) -> Iterator[list[Student]]:
    """Those that are measured together; while a training is watched each as it comes."""
    if config.watch:
        yield from ([student] for student in arriving(config.input))
    else:
        yield find_students(config.input, config.revision, config.checkpoints, config.api)


def _load(config: EvaluateConfig, student: Student, failures: Failures) -> "list[LoadedTask]":
    from teacherlm.evaluation.loading import TaskOptions, load_tasks

    size = (config.shots, config.limit, config.max_new_tokens)
    options = TaskOptions(config.data, config.split, *size, config.seed, student.taught, config.metadata)
    tasks = load_tasks(config.tasks, config.include_path, options, failures)
    return [*tasks, *map(permuted, tasks)] if config.permute_options else tasks


def _cells(config: EvaluateConfig, students: Sequence[Student], tasks: "Sequence[LoadedTask]") -> list[Cell]:
    """Each student on each task. Raises: UserError where a student was taught by another template."""
    for student in students:
        for task in tasks:
            refuse_mismatch(student, task, config.allow_template_mismatch)
    engine = name_of(config.vllm) if config.engine == "vllm" else config.engine
    manner = Manner(config.dtype, config.seed, VERSION, config.protocol, engine)
    cells = [build_cell(student, task, manner, config.output) for student in students for task in tasks]
    if config.pred_save_path is not None:
        require_one(cells, config.pred_save_path)
    return cells


def _measuring(config: EvaluateConfig, failures: Failures) -> Measuring:
    c = config
    if c.engine == "vllm":
        require_installed()
    vllm = c.vllm if c.engine == "vllm" else None
    options = LoadOptions(c.revision, c.dtype, c.device, c.batch_size, c.seed, c.trust_remote_code, c.protocol, vllm)
    return Measuring(options, failures)


def _measure(cells: Sequence[Cell], measuring: Measuring) -> int:
    """Returns: how many were not measured before."""
    todo = []
    for cell in cells:
        if cell.measured.read() is None:
            todo.append(cell)
        else:
            forget_answers(cell)  # a process may have been killed just before it did
    if len(cells) > len(todo):
        say(f"{len(cells) - len(todo)} of {len(cells)} measurements are already there.")
    measuring.measure_all(todo)
    return len(todo)


def _write(cells: Sequence[Cell], groups: Sequence[Cell], config: EvaluateConfig) -> None:
    write_preds(cells, config.output, config.pred_save_path, config.scores_only)
    if rows := [row for cell in (*cells, *groups) for row in result_rows(cell, config.output)]:
        write_jsonl(config.output / "results.jsonl", rows)


def _overlap(model: str, tasks: "Sequence[LoadedTask]") -> dict[str, Any]:
    """What the tasks' questions have in common with what the student was trained on; nothing where that is not at hand."""
    from teacherlm.contamination import overlap_with

    for run in (Path(model), Path(model).parent):  # one checkpoint of a run may have been named
        trained = read_manifest(run) if run.is_dir() else None
        if trained is not None and trained.stage == "finetune" and Path(str(trained.config["input"])).exists():
            where, column = Path(str(trained.config["input"])), str(trained.config.get("train_on", "cot_tail"))
            return {"overlap": {task.name: asdict(overlap_with(task, where, column)) for task in tasks if not task.turns}}
    return {}


STAGE = Stage(evaluate, EvaluateConfig, version=VERSION, keeps=(FOLDER,), words=("input", "tasks", "output"))
