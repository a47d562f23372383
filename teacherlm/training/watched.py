"""What is looked at while a student trains: measurements, sampled texts, the best checkpoint (read without importing torch)."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from teacherlm.errors import UserError
from teacherlm.stage import Alias, Input, Runtime, Settings, Source

THEIRS: Mapping[str, str] = {"arc": "ai2_arc", "truthful_qa-generation": "truthfulqa_gen", "truthful_qa-multiple_choice": "truthfulqa_mc2"}
"""What the originals called tasks that lm-eval calls otherwise."""
OFTEN = re.compile(r"(\d+)(?: steps?)?|(?:(\d+) )?epochs?")


def parse_often(value: Any) -> Any:
    """`500`, `500 steps`, `epoch`, `2 epochs` -> `500 steps`, `1 epochs`, ... Raises: UserError for anything else."""
    if value is None:
        return None
    found = OFTEN.fullmatch(str(value).strip())
    if isinstance(value, bool) or not found or "0" in (found[1], found[2]):
        raise UserError(f"expected a number of steps or epochs, such as `500 steps` or `epoch`, found {value!r}.")
    return f"{int(found[1])} steps" if found[1] else f"{int(found[2] or 1)} epochs"


def is_due(often: str, step: int, epoch: float) -> bool:
    """Whether it is time after this step, at this many epochs."""
    count, unit = often.split()
    if unit == "steps":
        return step % int(count) == 0
    return abs(epoch - round(epoch)) < 1e-9 and round(epoch) % int(count) == 0


Often = Annotated[str | None, BeforeValidator(parse_often)]


def _by_our_names(tasks: dict[str, int]) -> dict[str, int]:
    return {THEIRS.get(name, name): shots for name, shots in tasks.items()}


class EvalSettings(Settings):
    """Tasks measured on the student in memory."""

    tasks: Annotated[dict[str, Annotated[int, Field(ge=0)]], AfterValidator(_by_our_names)] = {}
    """lm-eval tasks or groups, ours, yours or its own, each with its number of shots: {creak: 3, mmlu: 4}; a list has no shots."""
    every: Often = None
    """`500 steps`, `epoch`, `2 epochs`: measured then, and at every checkpoint; by default at checkpoints alone."""
    data: Annotated[dict[str, Path] | Path | None, Source("data")] = None
    """Local data for tasks that can read it: one path, or {task: path}."""
    split: str | None = None
    """The split of `data` that the tasks `questions` and `questions_letters` measure."""
    limit: Annotated[int | None, Field(ge=1)] = None
    """The first so many questions of each task only."""
    max_new_tokens: Annotated[int | None, Field(ge=1)] = None
    """Longest answer of tasks where the student writes; by default as the task says."""
    include_path: list[Input] = []
    """Folders with your own lm-eval task YAMLs."""
    allow_template_mismatch: bool = False
    """Measure even where a task's prompts follow another template than the student is taught."""
    seed: int = 1234
    """Draws the shots, as in `evaluate`."""
    batch_size: Annotated[Runtime[int], Field(ge=1)] = 32
    """Questions answered at once; does not change the result."""

    @model_validator(mode="before")
    @classmethod
    def _as_lists(cls, values: Any) -> Any:
        """`[arc,mmlu]` with the shots `[25,5]` beside it, and a strategy with its steps: as the originals' flags say it."""
        if not isinstance(values, Mapping):
            return values
        given = {key: value for key, value in values.items() if key not in ("shots", "strategy")}
        if not isinstance(given.get("tasks", {}), Mapping):
            given["tasks"] = _with_shots(_words(given["tasks"]), _words(values.get("shots", [])))
        elif values.get("shots") is not None:
            raise UserError("shots stand beside a list of tasks; in {task: shots} they are there already.")
        strategy = values.get("strategy")
        if strategy not in (None, "no", "steps", "epoch"):
            raise UserError(f"strategy: expected steps, epoch or no, found {strategy!r}.")
        return {**given, "every": "epoch"} if strategy == "epoch" else {"every": 500, **given} if strategy == "steps" else given


def _words(value: Any) -> list[str]:
    parts = value.strip().strip("[]").split(",") if isinstance(value, str) else value
    return [str(part).strip() for part in parts if str(part).strip()]


def _with_shots(names: list[str], shots: list[str]) -> dict[str, str]:
    if shots and len(shots) != len(names):
        raise UserError(f"tasks: {len(names)} tasks, but {len(shots)} numbers of shots; give as many.")
    return dict(zip(names, shots or ["0"] * len(names), strict=True))


class SamplesSettings(Settings):
    """Texts that the student writes for rows it is not trained on."""

    every: Often = None
    """`100 steps`, `epoch`: written then, and before training; by default as often as `eval`, else at checkpoints."""
    temperature: Annotated[float, Field(ge=0)] = 0.8
    """0 writes the likeliest token each time."""
    n: Annotated[int, Field(ge=1)] = 8
    """Texts for each prompt."""
    rows: Literal["held_out", "eval", "validation"] | None = None
    """held_out, or the input's split validation (eval is the same); by default the held-out rows where there are any."""
    max_new_tokens: Annotated[int, Field(ge=1)] = 512
    """Longest text in tokens."""
    limit: Annotated[int | None, Field(ge=1)] = None
    """The first so many rows only."""


class Watched(Settings):
    """What is looked at while a student trains."""

    eval: Annotated[
        EvalSettings | None,
        Alias("--evaluation_datasets", "tasks"),
        Alias("--evaluation_shots", "shots"),
        Alias("--eval_steps", "every"),
        Alias("--evaluation_strategy", "strategy"),
        Alias("--eval_strategy", "strategy"),
        Alias("--inference_batch_size", "batch_size"),
        Alias("--eval_batch_size", "batch_size"),
        Alias("--generation_max_length", "max_new_tokens"),
    ] = None
    """Measured while training, e.g. {tasks: {creak: 3, mmlu: 4}, every: 500 steps}; into metrics.jsonl, checkpoints and wandb."""
    samples: Annotated[SamplesSettings | None, Alias("--n_samples", "n"), Alias("--temperature", "temperature")] = None
    """Texts sampled while training, e.g. {every: 100 steps, temperature: 0.8, n: 8}; into samples/ of the output."""
    best: Annotated[str | None, Alias("--save_best_metric")] = None
    """held_out_loss or task/metric (creak/acc): best.json names the checkpoint that is best by it."""
    patience: Annotated[int | None, Field(ge=1)] = None
    """End the training after so many measurements of `best` without a better one."""
    no_train: Annotated[bool, Alias("--no_train")] = False
    """Train nothing: measure and sample the model as it is."""

    @model_validator(mode="after")
    def _fit_together(self) -> "Watched":
        if self.patience and not self.best:
            raise UserError("patience: of which measurement? Set best, such as `best: held_out_loss` or `best: creak/acc`.")
        if self.no_train and self.best:
            raise UserError("best: there is one model only with no_train; leave it out.")
        return self
