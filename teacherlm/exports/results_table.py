"""The table of a paper from what is stored: a row for each method, a column for each dataset, accuracies in percent.

A method is who wrote the completions (base model), how it was asked (completion key) and what it was trained on (train key). Rows of
`evaluate` stand in the same table, of each checkpoint by its epoch.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from teacherlm.errors import UserError
from teacherlm.exports.completions import RESULTS, Scored, evaluated_folders
from teacherlm.shots import with_shots
from teacherlm.store.files import read_jsonl

HEADINGS: Mapping[str, str] = {
    "single_eq": "Single",
    "addsub": "Add",
    "multiarith": "Multi",
    "gsm8k": "GSM8K",
    "aqua": "AQUA",
    "svamp": "SVAMP",
    "date_understanding": "Date",
    "tracking_shuffled_objects": "Shuffled",
    "last_letter_concatenation": "LastLetter",
    "coin_flip": "Coin",
    "commonsense_qa": "CSQA",
    "strategy_qa": "StrategyQA",
}
"""The columns of Fine-tune-CoT's table, in its order; other datasets follow under their own names."""
OF_TASK = "ft_cot_"
"""Begins the names of the tasks that measure these datasets."""
WHO = ("base model", "completions", "trained on")
CHANCE = ("random", "", "")
EpochChoice = Literal["last", "best"]
Method = tuple[str, str, str]
"""(base_model, completion_key, train_key); "" for what there is none of."""


@dataclass(frozen=True)
class Entry:
    """One accuracy that is stored."""

    method: Method
    dataset: str
    epoch: float | None
    accuracy: float
    n: int
    place: str


@dataclass(frozen=True)
class Table:
    """Method -> dataset -> what was chosen of its epochs."""

    rows: Mapping[Method, Mapping[str, Entry]]
    chosen: frozenset[Entry]
    """The best of several epochs: what no one could have chosen without the answers."""
    chance: Mapping[str, float]

    @property
    def datasets(self) -> list[str]:
        found = {dataset for row in self.rows.values() for dataset in row}
        return [*(name for name in HEADINGS if name in found), *sorted(found - set(HEADINGS))]


def is_in_a_table(scored: Sequence[Scored]) -> bool:
    """Whether every file says whose completions it has, on which dataset."""
    return all(one.metadata.get("dataset_key") and one.metadata.get("completion_key") for one in scored)


def build_table(scored: Sequence[Scored], folder: Path, epoch: EpochChoice) -> Table:
    """`folder`: whose outputs of `evaluate` stand in the table too.

    Raises: UserError for a file that does not say whose it is, and for two of the same method, dataset and epoch.
    """
    found: dict[tuple[Method, str], list[Entry]] = {}
    for entry in (*map(_entry, scored), *(entry for output in evaluated_folders(folder) for entry in _evaluated(output, folder))):
        same = found.setdefault((entry.method, entry.dataset), [])
        twin = next((one for one in same if one.epoch == entry.epoch), None)
        if twin is not None:
            raise UserError(f"{entry.place} and {twin.place} are both {_named(entry)}; leave one of them out.")
        same.append(entry)
    rows: dict[Method, dict[str, Entry]] = {}
    for (method, dataset), several in found.items():
        rows.setdefault(method, {})[dataset] = max(several, key=_accuracy if epoch == "best" else _epoch)
    chosen = (rows[method][dataset] for (method, dataset), several in found.items() if epoch == "best" and len(several) > 1)
    return Table(rows, frozenset(chosen), _chances(scored))


def _accuracy(entry: Entry) -> tuple[float, float]:
    """Of equal ones the earlier."""
    return entry.accuracy, -_epoch(entry)


def _epoch(entry: Entry) -> float:
    """A file without an epoch is what was left in the end."""
    return float("inf") if entry.epoch is None else entry.epoch


def _entry(one: Scored) -> Entry:
    said = one.metadata
    for key in ("dataset_key", "completion_key"):
        if not said.get(key):
            raise UserError(f"{one.path}: does not say its {key}, so it has no place in a table; use --format files.")
    method = (str(said.get("base_model") or ""), str(said["completion_key"]), str(said.get("train_key") or said.get("finetune_key") or ""))
    epoch = said.get("epoch")
    return Entry(method, str(said["dataset_key"]), epoch, one.summary.accuracy, one.summary.n, str(one.path))


def _evaluated(output: Path, folder: Path) -> Iterator[Entry]:
    name = output.name if output == folder else str(output.relative_to(folder))
    for number, row in read_jsonl(output / RESULTS):
        try:
            if row["metric"] == "acc":
                epoch = None if row["epoch"] is None else float(row["epoch"])
                dataset = with_shots(str(row["task"]).removeprefix(OF_TASK), row.get("shots"))
                method = (name, str(row.get("student_template") or ""), "")
                yield Entry(method, dataset, epoch, float(row["value"]), int(row["n"]), f"{output / RESULTS}:{number}")
        except KeyError as missing:
            raise UserError(f"{output / RESULTS}:{number}: key {missing} is missing (found: {', '.join(row)}).") from None


def _named(entry: Entry) -> str:
    epoch = "" if entry.epoch is None else f", epoch {entry.epoch:g}"
    return f"{' '.join(filter(None, entry.method))} on {entry.dataset}{epoch}"


def _chances(scored: Iterable[Scored]) -> dict[str, float]:
    return {str(one.metadata.get("dataset_key")): one.chance for one in scored if one.chance is not None}


def as_lines(table: Table) -> list[tuple[str, ...]]:
    """The head, what answering at random would score, and a line for each method."""
    columns = table.datasets
    lines: list[tuple[str, ...]] = [(*WHO, *(HEADINGS.get(name, name) for name in columns))]
    if table.chance:
        lines.append((*CHANCE, *(_percent(table.chance.get(name)) for name in columns)))
    for method, row in table.rows.items():
        lines.append((*method, *(_cell(row.get(name), table) for name in columns)))
    return lines


def _cell(entry: Entry | None, table: Table) -> str:
    if entry is None:
        return _percent(None)
    return _percent(entry.accuracy) + ("*" if entry in table.chosen else "")


def notes(table: Table) -> list[str]:
    """What a reader has to know to compare the numbers."""
    found = ["* the best of several epochs on these very questions: an upper bound."] if table.chosen else []
    for name in table.datasets:
        sizes = sorted({row[name].n for row in table.rows.values() if name in row})
        if len(sizes) > 1:
            found.append(f"{HEADINGS.get(name, name)}: the rows were scored on {' and '.join(map(str, sizes))} completions.")
    return found


def written(table: Table, form: str) -> str:
    return {"table": as_text, "markdown": as_markdown, "csv": as_csv}[form](table)


def as_text(table: Table) -> str:
    lines = as_lines(table)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rows = ("  ".join(_placed(cell, widths[at], at) for at, cell in enumerate(line)).rstrip() for line in lines)
    return "\n".join((*rows, *notes(table)))


def _placed(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column < len(WHO) else cell.rjust(width)


def as_markdown(table: Table) -> str:
    head, *rows = as_lines(table)
    rule = ["---" if column < len(WHO) else "---:" for column in range(len(head))]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in (head, rule, *rows)]
    said = notes(table)
    return "\n".join([*lines, "", *said] if said else lines)


def as_csv(table: Table) -> str:
    """Accuracies as they are, with the epoch and the number of completions: one line a cell."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((*WHO, "dataset", "accuracy", "n", "epoch"))
    for method, row in table.rows.items():
        for name in table.datasets:
            if name in row:
                epoch: Any = "" if row[name].epoch is None else f"{row[name].epoch:g}"
                writer.writerow((*method, name, row[name].accuracy, row[name].n, epoch))
    return file.getvalue().removesuffix("\n")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"
