"""Super-NaturalInstructions: 1,616 tasks, each a definition, worked examples and instances (Apache-2.0; Wang et al. 2022).

    {"Categories": ["Program Execution"], "Definition": ["This task evaluates for the ability to follow basic ..."],
     "Positive Examples": [{"input": "Repeat 5 times hello world", "output": "hello world hello world ...", "explanation": "Here ..."}],
     "Negative Examples": [{"input": "Repeat 5 times hello world", "output": "hello world", "explanation": "Here ..."}],
     "Instances": [{"id": "task062-e5fc6974", "input": "Say hungry three times, then ...", "output": ["hungry hungry hungry ..."]}]}

Published as `tasks/<name>.json` with `splits/<track>/{train,dev,test}_tasks.txt`; a folder of task files or a single one is all
`train`. In the early schema the definition is a text and instances have no id. The hub's copy has a row for each instance
(`task_name, definition, inputs, targets, id`) and no examples. One of the right outputs is the target, drawn by the seed; all of them
stand in `references`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from teacherlm.dataset import BadRow, Dataset, Splits, read_questions
from teacherlm.datasets._ni_encoding import EncodingSettings, build_question, kept_instances, lengths, task_questions
from teacherlm.datasets._ni_layout import find_tasks
from teacherlm.datasets._ni_tasks import Task, parse_instance, read_task
from teacherlm.errors import UserError
from teacherlm.records import Question
from teacherlm.stage import Source
from teacherlm.store.hf import is_dataset_folder
from teacherlm.store.sources import Origin, Table, require


class NaturalInstructionsSettings(EncodingSettings):
    name: Literal["natural_instructions"] = "natural_instructions"
    track: str = "default"
    """Which lists of `splits/` say what is trained on: default (English), xlingual, ..."""
    tasks: list[str] = []
    """Only these."""
    task_dir: Annotated[str, Source("data")] | None = None
    """Folder of the task files, where the source is a folder of split lists that lies elsewhere."""


def read(settings: NaturalInstructionsSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    place = Path(origin.place)
    if place.exists() and not is_dataset_folder(place):
        found = find_tasks(place, settings.track, settings.task_dir or "", settings.tasks)
        if found is not None:
            return {split: _of_files(files, split, settings, origin.encoding, seed) for split, files in found.items()}
    return {split: _of_rows(table, split, settings, seed) for split, table in origin.tables().items()}


def _of_files(
    files: Mapping[str, Path], split: str, settings: NaturalInstructionsSettings, encoding: str, seed: int
) -> Iterator[Question | BadRow]:
    for name, path in files.items():
        try:
            task = read_task(name, path, encoding)
        except UserError as error:
            yield BadRow(str(path), str(error))
        else:
            yield from task_questions(task, split, settings, seed)


def _of_rows(table: Table, split: str, settings: NaturalInstructionsSettings, seed: int) -> Iterator[Question | BadRow]:
    """The hub's copy, where every row brings its task."""
    limits, kept, numbers = lengths(settings), _kept_of_each(table, split, settings, seed), Counter[str]()

    def wanted(row: Mapping[str, Any]) -> bool:
        name = str(row.get("task_name"))
        numbers[name] += 1
        return (not settings.tasks or name in settings.tasks) and (kept is None or numbers[name] - 1 in kept[name])

    def build(row: Mapping[str, Any], where: str) -> Question:
        task = Task(str(require(row, "task_name", where)), str(require(row, "definition", where)).strip())
        given = {"input": require(row, "inputs", where), "output": require(row, "targets", where), "id": row.get("id")}
        return build_question(task, parse_instance(given, where), numbers[task.name] - 1, settings, seed, where, limits)

    def rows() -> Iterator[tuple[str, dict[str, Any] | UserError]]:
        return ((where, row) for where, row in table.rows_or_errors() if isinstance(row, UserError) or wanted(row))

    yield from read_questions(Table(table.place, rows), build)


def _kept_of_each(table: Table, split: str, settings: NaturalInstructionsSettings, seed: int) -> Mapping[str, set[int]] | None:
    """Task -> numbers of its rows that are kept; None where all are. Counting them takes a pass of its own."""
    limit = settings.max_num_instances_per_task if split == "train" else settings.max_num_instances_per_eval_task
    if limit is None:
        return None
    counts = Counter(str(row.get("task_name")) for _, row in table.rows_or_errors() if not isinstance(row, UserError))
    return {name: set(kept_instances(count, split, name, settings, seed)) for name, count in counts.items()}


DATASET = Dataset(
    NaturalInstructionsSettings,
    read,
    title="natural_instructions",
    hub="Muennighoff/natural-instructions",
    template="tk_instruct",
    licence="apache-2.0",
)
