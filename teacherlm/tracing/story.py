"""One question from its source row to each student's answer, as far as outputs on disk tell of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError, unknown
from teacherlm.prompts import KINDS, TEXTS
from teacherlm.records import OUR_COLUMNS
from teacherlm.store.files import DROPPED, REJECTED, read_jsonl, work_folder
from teacherlm.tracing.asked import exchanges
from teacherlm.tracing.outputs import Output, find_outputs
from teacherlm.tracing.rows import Row, lines_of, nearest, rows_of

Chapter = dict[str, Any]
LAYOUTS = ("tail", "head", "think")
LAID_OUT = tuple(f"{kind}_{how}" for kind in (*KINDS, "explanation") for how in LAYOUTS)


def follow(name: str, places: Sequence[Path]) -> list[Chapter]:
    """What each output knows of the question `name`, in the order in which they were made; each has `stage`, `output`, `where`.

    Raises: UserError where none of them knows it, naming ids that are like it.
    """
    if any("\ud800" <= character <= "\udfff" for character in name):  # bytes of a command line that were no UTF-8
        raise UserError(f"{name.encode(errors='backslashreplace').decode()}: is not UTF-8, as every id is.")
    outputs = find_outputs(places)
    story = [chapter for output in outputs for chapter in _chapters(output, name)]
    if all(chapter["stage"] == "finetune" for chapter in story):
        prepared = [output.path for output in outputs if output.manifest.stage == "prepare"]
        raise unknown("question", name, nearest(prepared, name)) if prepared else UserError(f"no output here knows a question '{name}'.")
    return story


def _chapters(output: Output, name: str) -> Iterator[Chapter]:
    read = {"prepare": _prepared, "enhance": _asked, "postprocess": _judged, "finetune": _taught, "evaluate": _answered}
    if output.manifest.stage in read:
        for chapter in read[output.manifest.stage](output, name):
            yield {"stage": output.manifest.stage, "output": str(output.path), **chapter}


def _prepared(output: Output, name: str) -> Iterator[Chapter]:
    for where, row in rows_of(output.path, name):
        ours = (*TEXTS, *OUR_COLUMNS, *LAID_OUT)
        source = {column: value for column, value in row.items() if column not in ours}
        yield {"where": where, "source": source, **{column: row.get(column) for column in ("prompt", "choices", "answer", "template")}}
    for where, row in lines_of(work_folder(output.path) / DROPPED, "id", name):
        yield {"where": where, "dropped": row.get("reason")}


def _asked(output: Output, name: str) -> Iterator[Chapter]:
    """The conversation once; then each row that came of it, or why none did."""
    kinds = [kind for kind in KINDS if kind in output.manifest.config.get("kinds", KINDS)]
    for source in map(Path, output.manifest.inputs):
        for where, row in rows_of(source, name)[:1] if source.exists() else []:
            if told := exchanges(output.path, output.manifest, row, where):
                teacher = str(output.manifest.facts.get("engine", ""))
                yield {"where": str(work_folder(output.path)), "teacher": teacher, "exchanges": [asdict(one) for one in told]}
    for where, row in rows_of(output.path, name):
        yield {"where": where, "kept": {kind: row[kind] for kind in kinds if kind in row}}
    for where, row in lines_of(work_folder(output.path) / DROPPED, "id", name):
        yield {"where": where, "dropped": row.get("reason")}


def _judged(output: Output, name: str) -> Iterator[Chapter]:
    for where, row in rows_of(output.path, name):
        texts = {column: row[column] for column in LAID_OUT if row.get(column)}
        yield {"where": where, "verdicts": _verdicts(row), "examples": texts}
    for where, row in lines_of(work_folder(output.path) / REJECTED, "id", name):
        yield {"where": where, "verdicts": _verdicts(row), "rejected": row.get("reason")}


def _verdicts(row: Row) -> Mapping[str, Any]:
    """What the gates have written beside each kind."""
    about = {f"{kind}_{how}" for kind in KINDS for how in (*LAYOUTS, "text", "finish")}
    return {
        column: value
        for column, value in row.items()
        if column.startswith(tuple(f"{kind}_" for kind in KINDS)) and column not in about and value not in (None, "")
    }


def _taught(output: Output, name: str) -> Iterator[Chapter]:
    """The row as this student reads it; nothing where it is not in the student's data."""
    from teacherlm.training.columns import columns_of

    config = output.manifest.config
    source, train_on = Path(str(config.get("input"))), str(config.get("train_on"))
    for where, row in rows_of(source, name) if source.exists() else []:
        columns = [column for column in columns_of(train_on, tuple(row), source) if row.get(column)]
        if columns:
            part = {key: config[key] for key in ("subsample", "held_out", "limit") if config.get(key) not in (None, "all", 0, 0.0)}
            yield {"where": where, "student": output.label, "train_on": train_on, "texts": {c: row[c] for c in columns}, "only": part}


def _answered(output: Output, name: str) -> Iterator[Chapter]:
    """Each checkpoint's answer on each task, once."""
    results = output.path / "results.jsonl"
    seen = set()
    for _, result in read_jsonl(results) if results.is_file() else []:
        file = output.path / str(result["predictions"])
        if file in seen:
            continue
        seen.add(file)
        for where, row in lines_of(file, "item", name):
            told = {key: row.get(key) for key in ("prompt", "gold", "answer", "output", "correct", "tokens")}
            yield {"where": where, "student": output.label, "checkpoint": result["checkpoint"], "task": result["task"], **told}
