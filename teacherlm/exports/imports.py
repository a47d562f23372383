"""Files of other systems as rows of ours, by the name of the system."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from teacherlm.answers import rule
from teacherlm.errors import UserError, unknown
from teacherlm.exports.files import Row, write_once
from teacherlm.exports.finetune_cot import Sample, read_completions
from teacherlm.exports.generated import SYSTEMS, Columns, generated_rows
from teacherlm.exports.rationales import rationale_row, rationale_rows
from teacherlm.exports.zero_shot_cot import METHODS, Head, LoggedAnswer, read_log

KNOWN = ("finetune_cot", "zero_shot_cot", *SYSTEMS)


def import_file(
    what: str, file: Path, output: Path, dataset_key: str | None = None, overwrite: bool = False, columns: Columns | None = None
) -> int:
    """Writes JSON lines; returns how many. Raises: UserError for an unknown system, and for a file that is none of its."""
    name = what.replace("-", "_")
    if name not in KNOWN:
        raise unknown("import", what, KNOWN)
    if output.suffix != ".jsonl":
        raise UserError(f"--output {output}: expected the name of a .jsonl file.")
    if name == "finetune_cot" and dataset_key is not None:
        raise UserError("--dataset-key belongs to zero_shot_cot; a completion file names its dataset itself.")
    if name in SYSTEMS and dataset_key is not None:
        raise UserError(f"--dataset-key belongs to zero_shot_cot, not to {name}.")
    if name not in SYSTEMS and columns not in (None, Columns()):
        raise UserError(f"the options that name columns, and --questions, belong to {' and '.join(SYSTEMS)}, not to {name}.")
    if name in SYSTEMS:
        rows = generated_rows(name, file, columns or Columns())
    else:
        rows = rationale_rows(read_completions(file), str(file)) if name == "finetune_cot" else log_rows(file, dataset_key)
    counted = Counter[str]()
    write_once(output, _lines(rows, counted), overwrite)
    return counted["rows"]


def log_rows(log: Path, dataset_key: str | None = None) -> Iterator[Row]:
    """The answers of a log, as completions of the same shape."""
    given = rule(dataset_key).name if dataset_key else ""
    for head, answer in read_log(log):
        yield _log_row(head, answer, given)


def _log_row(head: Head, answer: LoggedAnswer, given: str) -> Row:
    dataset = given or head.dataset
    if not dataset:
        raise UserError(f"{answer.where}: the log does not name its dataset; give it with --dataset-key.")
    template = METHODS.get(head.method, "zs_cot" if answer.reasoning_completion else "zs")
    metadata: dict[str, Any] = {
        "base_model": head.model or None,
        "dataset_key": dataset,
        "completion_key": template,
        "finetune_key": None,
        "train_key": None,
        "epoch": None,
        "prediction_template": template,
    }
    return {**rationale_row(_sample(answer, template), metadata, answer.where), "prediction_template": template}


def _sample(answer: LoggedAnswer, template: str) -> Sample:
    """A log does not say how a text ended; so neither does the sample."""
    thoughts = {"reasoning_prompt": answer.reasoning_prompt, "reasoning_completion": answer.reasoning_completion}
    return {
        "sample_index": answer.number - 1,
        "completion_index": answer.sample,
        "question": answer.question,
        "answer": answer.gold,
        **(thoughts if template == "zs_cot" else {}),
        "prompt": answer.prompt,
        "completion": answer.completion,
    }


def _lines(rows: Iterator[Row], counted: Counter[str]) -> Iterator[bytes]:
    for row in rows:
        counted["rows"] += 1
        yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
