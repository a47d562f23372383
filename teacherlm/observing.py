"""A student in memory, while it trains: measured on tasks as `evaluate` measures checkpoints, and sampled from.

Above training and evaluation, which know nothing of each other.
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teacherlm.errors import UserError, unknown
from teacherlm.log import say
from teacherlm.store.files import write_json
from teacherlm.training.material import Training
from teacherlm.training.watched import EvalSettings, SamplesSettings

if TYPE_CHECKING:
    from teacherlm.evaluation.loading import LoadedTask
    from teacherlm.evaluation.measured import Metric
    from teacherlm.evaluation.students import Student
    from teacherlm.training.measuring import Watch
    from teacherlm.training.sampling_files import Sampled
    from teacherlm.training.texts import Reader, Table, Text

HELD_OUT = "held_out_loss"


@dataclass(frozen=True)
class TasksInMemory:
    """What a student is measured on while it trains."""

    student: "Student"
    tokenizer: Any
    tasks: "Mapping[str, Sequence[LoadedTask]]"
    """By the name that was asked for; a group has several."""
    batch_size: int
    output: Path
    """Of the training: scores of rows go into its folder `preds`."""

    def higher_is_better(self) -> dict[str, bool]:
        """By name of each measurement that may come (`creak/acc`), as far as the tasks tell."""
        return {
            f"{name}/{metric}": bool(better)
            for name, tasks in self.tasks.items()
            for task in tasks
            for metric, better in task.task.higher_is_better().items()
        }

    def __call__(self, model: Any, step: int) -> dict[str, float]:
        """{task/metric: value} after this step; of a group the mean over all its questions."""
        from teacherlm.engines.bodies.transformers import TransformersEngine
        from teacherlm.evaluation.harness import EngineLM
        from teacherlm.records import Load

        engine = TransformersEngine(model, copy.deepcopy(self.tokenizer), self.student.name, Load(rows=self.batch_size))
        asked = EngineLM(engine, self.batch_size)
        return {
            f"{name}/{metric}": value
            for name, tasks in self.tasks.items()
            for metric, value in _mean([self._measured(asked, task, step) for task in tasks]).items()
        }

    def _measured(self, asked: Any, task: "LoadedTask", step: int) -> "Sequence[Metric]":
        from teacherlm.evaluation.harness import ask
        from teacherlm.evaluation.preds import preds_file, scored
        from teacherlm.evaluation.scoring import score
        from teacherlm.evaluation.shots import whole_shots
        from teacherlm.evaluation.turns import chat_of, put_in_turns

        chat, prefix = chat_of(self.student, task), self.student.prefix
        with whole_shots(task, asked, prefix), put_in_turns(task, chat, asked, self.student.name, prefix):
            predictions, metrics = score(task, ask(asked, task), with_errors=False)
        if told := scored(task, predictions):
            file = preds_file(self.output, step, task.name, [one for tasks in self.tasks.values() for one in tasks])
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, told)
        return metrics


def _mean(several: "Sequence[Sequence[Metric]]") -> dict[str, float]:
    sums: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for metric in (metric for metrics in several for metric in metrics):
        sums[metric.name] += metric.value * metric.n
        counts[metric.name] += metric.n
    return {name: total / counts[name] for name, total in sums.items()}


def load_in_memory(settings: EvalSettings, tokenizer: Any, facts: Mapping[str, Any], output: Path) -> TasksInMemory:
    """`facts`: what checkpoints of this student say. Raises: UserError for tasks that cannot be loaded, or that ask in other words."""
    from teacherlm.evaluation.loading import TaskOptions, load_tasks
    from teacherlm.evaluation.students import Student, refuse_mismatch

    student = Student(output.name, output.name, "", facts=facts)
    if isinstance(settings.data, Mapping) and (strange := set(settings.data) - settings.tasks.keys()):
        raise UserError(f"eval.data.{min(strange)}: is not among the tasks measured ({', '.join(settings.tasks)}).")
    found = {}
    for task, shots in settings.tasks.items():
        data = settings.data.get(task) if isinstance(settings.data, Mapping) else settings.data
        options = TaskOptions(data, settings.split, shots, settings.limit, settings.max_new_tokens, settings.seed, student.taught)
        found[task] = load_tasks([task], settings.include_path, options)
        for loaded in found[task]:
            refuse_mismatch(student, loaded, settings.allow_template_mismatch)
    return TasksInMemory(student, tokenizer, found, settings.batch_size, output)


@dataclass(frozen=True)
class Observed:
    """The student of a training, and what it is trained on."""

    tokenizer: Any
    family: Any
    objective: Any
    facts: Mapping[str, Any]
    table: "Table"
    reader: "Reader"


def build_watch(config: Training, observed: Observed) -> "Watch":
    """Everything that is looked at while it trains.

    Raises: UserError for what cannot be looked at, before anything is trained.
    """
    from teacherlm.training.measuring import EVAL, Watch

    _require_whole_weights(config)
    settings = config.eval or EvalSettings()
    tasks = load_in_memory(settings, observed.tokenizer, observed.facts, config.output) if settings.tasks else None
    better = {**({HELD_OUT: False} if config.held_out else {}), **(tasks.higher_is_better() if tasks else {})}
    if config.best is not None and (config.best.partition(",")[0] if "/" in config.best else config.best) not in better:
        raise (
            unknown("measurement to be best by", config.best, better)
            if better
            else UserError(f"best: {config.best} is not measured; set held_out, or eval: {{tasks: ...}}.")
        )
    if config.no_train and not (tasks or config.samples or config.held_out):
        raise UserError("no_train: there is nothing to measure; set eval: {tasks: ...}, samples or held_out.")
    best = "" if config.best is None else config.best if config.best == HELD_OUT else EVAL + config.best
    return Watch(
        tasks=tasks,
        tasks_often=settings.every or "",
        sample=_sampler(config.samples, config, observed) if config.samples else None,
        samples_often=(config.samples.every if config.samples else None) or settings.every or "",
        best=best,
        higher=better.get((config.best or "").partition(",")[0], False),
        patience=config.patience,
    )


def _require_whole_weights(config: Training) -> None:
    """Raises: UserError where no process holds all weights."""
    if not (config.eval and config.eval.tasks) and not config.samples:
        return
    what = "eval" if config.eval and config.eval.tasks else "samples"
    if config.tensor_parallel > 1:
        raise UserError(f"{what}: with tensor_parallel no process holds the whole student; run `evaluate` on its checkpoints instead.")
    if config.ds_config:
        from teacherlm.training.ds_config import read_ds_config, zero_stage

        if zero_stage(read_ds_config(config.ds_config)) == 3:
            raise UserError(f"{what}: under ZeRO-3 no process holds the whole student; use zero2, or `evaluate` on its checkpoints.")


def _sampler(settings: SamplesSettings, config: Training, observed: Observed) -> Any:
    from teacherlm.training.sampling_files import FOLDER, write_samples

    rows = _rows_to_sample(settings, config, observed)
    say(f"samples: {settings.n} for each of {len(rows)} rows, into {config.output / FOLDER}.")

    def sample(model: Any, step: int) -> None:
        scores = None
        if hasattr(observed.objective, "yes"):
            from teacherlm.training.sampling_files import word_scores

            words = (observed.objective.no, observed.objective.yes)
            scores = word_scores(observed.objective, observed.tokenizer, observed.family, words, model.device)
        write_samples(model, observed.tokenizer, rows, settings, config.seed, config.output / FOLDER, step, scores)

    return sample


def _rows_to_sample(settings: SamplesSettings, config: Training, observed: Observed) -> "list[Sampled]":
    """Raises: UserError where there are none."""
    from teacherlm.training.sampling_files import Sampled
    from teacherlm.training.texts import read_split
    from teacherlm.training.tokens import texts_of

    table = observed.table
    if settings.rows == "held_out" or (settings.rows is None and config.held_out):
        if not config.held_out:
            raise UserError("samples.rows: held_out, but no rows are; set held_out, such as 0.1.")
        texts = texts_of(config, table, observed.reader)[1]
    else:
        found = read_split(config.input, "validation")
        if found is None:
            raise UserError(f"samples: {config.input} has no split validation to write for; set held_out, such as 0.1.")
        table = found
        texts = config.objective.texts(table, config.train_on, config.loss_on != "all", observed.reader)
    numbers = {table.place(i): i for i in range(len(table.rows))}
    kept = texts[: settings.limit]
    return [Sampled(text, table.rows[numbers[text.where]]) for text in kept]


def trained_texts(config: Training, table: "Table", reader: "Reader") -> "Callable[[], list[Text]]":
    """What gives the texts trained on, for messages; only then is the dataset read again."""

    def texts() -> "list[Text]":
        from teacherlm.training.tokens import texts_of

        return texts_of(config, table, reader)[0]

    return texts
