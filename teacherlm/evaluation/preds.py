"""The scores that a student gave to the rows of a task, in a file of their own: [{orig_d, pred_score}], or the scores alone.

`checkpoint-{step}-preds.json` for each checkpoint, `preds.json` for a model that is none. A task whose metadata say `pred_score: METRIC`
has such scores: that metric of each row.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teacherlm.errors import UserError
from teacherlm.store.files import read_jsonl, write_json

if TYPE_CHECKING:
    from teacherlm.evaluation.cells import Cell
    from teacherlm.evaluation.loading import LoadedTask

FOLDER = "preds"


def preds_file(output: Path, step: int | None, task: str, among: "Iterable[LoadedTask]") -> Path:
    """Of a model that was not trained here `step` is None or 0. Where several of the tasks score rows, each has a folder."""
    several = len({one.name for one in among if one.pred_score is not None}) > 1
    name = f"checkpoint-{step}-preds.json" if step else "preds.json"
    return output / FOLDER / (task if several else "") / name


def scored(loaded: "LoadedTask", predictions: Sequence[Mapping[str, Any]], scores_only: bool = False) -> list[Any]:
    """`orig_d` is the row as it stands in the data; nothing of a task without scores."""
    if loaded.pred_score is None:
        return []
    scores = [row["correct"][loaded.pred_score] for row in predictions]
    if scores_only:
        return scores
    docs = {instance.doc_id: instance.doc for instance in loaded.task.instances}
    rows = [json.loads(docs[row["doc_id"]]["orig_d"]) for row in predictions]
    return [{"orig_d": row, "pred_score": score} for row, score in zip(rows, scores, strict=True)]


def require_one(cells: "Sequence[Cell]", place: Path) -> None:
    """Raises: UserError for a place that nothing, or more than one measurement would be written to."""
    count = sum(cell.task.pred_score is not None for cell in cells)
    if count != 1:
        many = f"{count} measurements would be written there" if count else "no task measured here scores its rows"
        raise UserError(f"pred_save_path: {place} is for the scores of one student on one task, but {many}; leave it out.")


def write_preds(cells: "Sequence[Cell]", output: Path, place: Path | None, scores_only: bool) -> None:
    """`place`: a file instead of those in the folder `preds` of the output."""
    cells = [cell for cell in cells if cell.task.pred_score is not None and cell.measured.read() is not None]
    for cell in cells:
        path = place or preds_file(output, cell.student.step, cell.task.name, [cell.task for cell in cells])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, scored(cell.task, [row for _, row in read_jsonl(cell.measured.predictions)], scores_only))
