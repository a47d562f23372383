"""Measure every checkpoint on lm-eval tasks, by letters or by what it writes; nothing is measured twice."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from teacherlm.errors import UserError
from teacherlm.evaluation.measured import FOLDER, Measured, Result, measured
from teacherlm.evaluation.students import LoadOptions, Student, find_students, refuse_mismatch
from teacherlm.hosted.settings import ApiSettings
from teacherlm.log import say
from teacherlm.stage import Alias, Input, Model, Outcome, Runtime, Source, Stage, StageConfig
from teacherlm.store.files import write_jsonl
from teacherlm.store.manifest import read_manifest

if TYPE_CHECKING:
    from teacherlm.evaluation.harness import EngineLM, HostedLM
    from teacherlm.evaluation.loading import LoadedTask
    from teacherlm.prompts import Chat

VERSION = 1
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
    split: str | None = None
    """The split of `data` that the tasks `questions` and `questions_letters` measure."""
    checkpoints: Literal["all", "last", "best"] = "all"
    """Which checkpoints of a run are measured; best: the one that the run's best.json names (`best` of finetune)."""
    shots: Annotated[int | None, Alias("--num_fewshot"), Field(ge=0)] = None
    """Solved examples before each question; by default as the task says, else none."""
    limit: Annotated[int | None, Field(ge=1)] = None
    """Measure the first so many questions of each task only (for trying out)."""
    max_new_tokens: Annotated[int | None, Field(ge=1)] = None
    """Longest answer of tasks where the student writes; by default as the task says."""
    include_path: list[Input] = []
    """Folders with your own lm-eval task YAMLs."""
    allow_template_mismatch: bool = False
    """Measure even where a task's prompts follow another template than the student was taught."""
    revision: str = "main"
    """Revision of a hub model."""
    dtype: Literal["auto", "float32", "float16", "bfloat16", "int8", "nf4"] = "auto"
    """Precision of the weights; auto: as they were saved. int8 and nf4 quantise them while loading (extra `quantized`)."""
    seed: int = 1234
    """Draws the shots, and any sampling a task asks for; lm-eval's own default."""
    trust_remote_code: bool = False
    """Run code that comes with a hub model. Only for models you trust."""
    batch_size: Annotated[Runtime[int], Field(ge=1)] = 32
    """Questions answered at once; does not change the result."""
    device: Runtime[str] = "auto"
    """cpu, cuda, cuda:1, ...; auto: a GPU where there is one."""

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


def evaluate(config: EvaluateConfig) -> Outcome:
    from teacherlm.evaluation.loading import TaskOptions, load_tasks

    students = find_students(config.input, config.revision, config.checkpoints, config.api)
    options = TaskOptions(config.data, config.split, config.shots, config.limit, config.max_new_tokens, config.seed, students[0].taught)
    tasks = load_tasks(config.tasks, config.include_path, options)
    for student in students:
        for task in tasks:
            refuse_mismatch(student, task, config.allow_template_mismatch)
    cells = [_cell(config, student, task) for student in students for task in tasks]
    todo = [cell for cell in cells if cell.measured.read() is None]
    if len(cells) > len(todo):
        say(f"{len(cells) - len(todo)} of {len(cells)} measurements are already there.")
    for student in students:
        measure_all([cell for cell in todo if cell.student is student], config)
    rows = [row for cell in cells for row in result_rows(cell, config.output)]
    write_jsonl(config.output / "results.jsonl", rows)
    return Outcome(
        counts={"checkpoints": len(students), "tasks": len(tasks), "measured": len(todo), "already measured": len(cells) - len(todo)},
        metrics={f"{row['checkpoint']}.{row['task']}.{row['metric']}": row["value"] for row in rows},
        facts={"tokens": sum(found.tokens for cell in cells if (found := cell.measured.read())), **_overlap(config.input, tasks)},
    )


def _overlap(model: str, tasks: "Sequence[LoadedTask]") -> dict[str, Any]:
    """What the tasks' questions have in common with what the student was trained on; nothing where that is not at hand."""
    from teacherlm.contamination import overlap_with

    for run in (Path(model), Path(model).parent):  # one checkpoint of a run may have been named
        trained = read_manifest(run) if run.is_dir() else None
        if trained is not None and trained.stage == "finetune" and Path(str(trained.config["input"])).exists():
            where, column = Path(str(trained.config["input"])), str(trained.config.get("train_on", "cot_tail"))
            return {"overlap": {task.name: asdict(overlap_with(task, where, column)) for task in tasks}}
    return {}


@dataclass(frozen=True)
class Cell:
    """One student on one task."""

    student: Student
    task: "LoadedTask"
    chat: "Chat | None"
    """How it is asked in turns; None where the text just goes on."""
    measured: Measured


def _cell(config: EvaluateConfig, student: Student, task: "LoadedTask") -> Cell:
    from teacherlm.evaluation.loading import require_generation
    from teacherlm.evaluation.turns import chat_of

    if student.api:
        require_generation(task, student.name)
    chat = None if student.api else chat_of(student, task)  # there the server puts the turns
    settings: dict[str, Any] = {"dtype": config.dtype, "seed": config.seed, "version": VERSION, **({"chat": asdict(chat)} if chat else {})}
    if student.is_encoder_decoder:
        settings["letters_begin_in"] = "decoder"
    if student.prefix:
        settings["prefix"] = student.prefix
    if task.shots:
        settings["shots"] = "whole"
    return Cell(student, task, chat, measured(config.output, student.content, task.content, settings))


def measure_all(cells: list[Cell], config: EvaluateConfig) -> None:
    """One student, loaded once, on the tasks it was not measured on yet."""
    if not cells:
        return
    from teacherlm.evaluation.harness import build_student

    options = LoadOptions(config.revision, config.dtype, config.device, config.batch_size, config.seed, config.trust_remote_code)
    student = build_student(cells[0].student, options)
    for cell in cells:
        measure(student, cell)


def measure(student: "EngineLM | HostedLM", cell: Cell) -> None:
    from teacherlm.evaluation.harness import ask
    from teacherlm.evaluation.scoring import predicted_examples, score

    started = time.monotonic()
    with _as_taught(cell, student):
        predictions, metrics = score(cell.task, ask(student, cell.task))
    seconds = time.monotonic() - started
    begun = next((row["begun"] for row in predictions if row.get("begun")), "")
    result = Result(metrics, sum(row["tokens"] for row in predictions), seconds, begun)
    cell.measured.write(predictions, predicted_examples(cell.task, predictions), result)
    first = metrics[0]
    spread = f" ± {first.stderr:.3f}" if first.stderr is not None else ""
    say(f"{cell.student.name} {cell.task.name}: {first.name} {first.value:.3f}{spread} on {first.n} questions, {seconds:.1f} s")


@contextmanager
def _as_taught(cell: Cell, student: "EngineLM | HostedLM") -> Iterator[None]:
    """Behind an API the server puts the turns, and nobody here knows how long its context is."""
    from teacherlm.evaluation.harness import EngineLM
    from teacherlm.evaluation.shots import whole_shots
    from teacherlm.evaluation.turns import put_in_turns

    if not isinstance(student, EngineLM):
        yield
        return
    prefix = cell.student.prefix
    with whole_shots(cell.task, student, prefix), put_in_turns(cell.task, cell.chat, student, cell.student.path, prefix):
        yield


def result_rows(cell: Cell, output: Path) -> Iterator[dict[str, Any]]:
    """Rows of results.jsonl. `template` is null where the task or the student declares none."""
    found = cell.measured.read()
    assert found is not None
    student, task = cell.student, cell.task
    for metric in found.metrics:
        yield {
            "checkpoint": student.name,
            "step": student.step,
            "epoch": student.epoch,
            "task": task.name,
            "metric": metric.name,
            "value": metric.value,
            "stderr": metric.stderr,
            "n": metric.n,
            "shots": task.shots,
            "template": task.template if student.template and task.template else None,
            "task_template": task.template,
            "student_template": student.template,
            "task_hash": task.content,
            "predictions": str(cell.measured.predictions.relative_to(output)),
            "tokens": found.tokens,
            "seconds": found.seconds,
            **({"begun": found.begun} if found.begun else {}),
        }


STAGE = Stage(evaluate, EvaluateConfig, version=VERSION, keeps=(FOLDER,), words=("input", "tasks", "output"))
