"""Examples as files that other trainers read: TRL, chat messages, alpaca, LLaMA-Factory, Axolotl, OpenAI, parquet.

trl            {"prompt": "Q: ... A:", "completion": " The answer is (B)."}; of a conversation lists of turns
messages       {"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}]}; Axolotl and OpenAI the same
alpaca         {"instruction": ..., "input": "", "output": ...}
llama_factory  messages, and dataset_info.json beside them, which says so
parquet        every column of every row
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import yaml

from teacherlm.errors import UserError
from teacherlm.exports.files import Row, read_rows, write_once, writing_once
from teacherlm.exports.taught import Taught, taught
from teacherlm.log import say
from teacherlm.store.files import read_json, write_json
from teacherlm.store.manifest import require_finished

DATASET_INFO = "dataset_info.json"
OPENAI_LEAST = 10
"""Rows that a finetuning job of OpenAI needs at least."""
PARQUET = "train.parquet"


@dataclass(frozen=True)
class TrainingFile:
    """How one system wants to be told."""

    line: Callable[[Taught], Row]
    beside: Callable[[Path, str, bool], None] = lambda data, name, overwrite: None
    """(data file, name of the dataset, overwrite): writes what the system wants beside the data. Raises: UserError, as `write_once`."""
    least: int = 1
    """Fewer rows are warned of."""


def _trl(told: Taught) -> Row:
    if not told.conversation:
        return {"prompt": told.prompt, "completion": told.completion}
    return {"prompt": told.messages[:-1], "completion": told.messages[-1:]}


def _messages(told: Taught) -> Row:
    return {"messages": told.messages}


def _alpaca(told: Taught) -> Row:
    if len(told.messages) > 2:
        raise UserError(f"{told.where}: has {len(told.messages)} turns, alpaca has no place for more than two; export `messages`.")
    asked, answered = told.messages
    return {"instruction": asked["content"], "input": "", "output": answered["content"]}


def _alternating(told: Taught) -> Row:
    """LLaMA-Factory leaves out every other conversation, with no more than a line in its log."""
    turns = [turn["role"] for turn in told.messages]
    spoken = turns[1:] if turns[0] == "system" else turns
    if len(spoken) % 2 or any(role != ("user", "assistant")[place % 2] for place, role in enumerate(spoken)):
        raise UserError(f"{told.where}: LLaMA-Factory wants user and assistant in turn behind a system prompt, found {', '.join(turns)}.")
    return _messages(told)


def _dataset_info(data: Path, name: str, overwrite: bool) -> None:
    """Adds the dataset to those that the file names already."""
    path = data.parent / DATASET_INFO
    known = read_json(path) if path.exists() else {}
    if not isinstance(known, dict):
        raise UserError(f"{path}: expected {{name: description}} as LLaMA-Factory reads it, found a {type(known).__name__}.")
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}
    entry = {"file_name": data.name, "formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": tags}
    if known.get(name, entry) != entry and not overwrite:
        raise UserError(f"{path}: has another dataset named '{name}'; give this one another --name, or replace it with --overwrite.")
    if known.get(name) != entry:
        write_json(path, {**known, name: entry})


def _axolotl_config(data: Path, name: str, overwrite: bool) -> None:
    """Path as seen from the folder of the data; the answers alone carry loss."""
    dataset = {
        "path": data.name,
        "ds_type": "json",
        "type": "chat_template",
        "field_messages": "messages",
        "message_property_mappings": {"role": "role", "content": "content"},
        "roles_to_train": ["assistant"],
        "train_on_eos": "turn",
    }
    snippet = "# Goes into the configuration of a run; `path` is seen from where Axolotl is started.\n"
    snippet += yaml.safe_dump({"chat_template": "tokenizer_default", "datasets": [dataset]}, sort_keys=False)
    write_once(data.with_suffix(".yaml"), [snippet.encode()], overwrite)


TRAINING_FILES: Mapping[str, TrainingFile] = {
    "trl": TrainingFile(_trl),
    "messages": TrainingFile(_messages),
    "alpaca": TrainingFile(_alpaca),
    "llama_factory": TrainingFile(_alternating, _dataset_info),
    "axolotl": TrainingFile(_messages, _axolotl_config),
    "openai": TrainingFile(_messages, least=OPENAI_LEAST),
}


def write_training_file(what: str, source: Path, output: Path, column: str, name: str = "", overwrite: bool = False) -> tuple[int, Path]:
    """How many rows, and where: `output` itself if it is a .jsonl, else `<column>.jsonl` (of LLaMA-Factory `<name>.jsonl`) in it.

    Raises: UserError for a row that teaches nothing, and where other content lies there.
    """
    form = TRAINING_FILES[what]
    known = name or f"{source.stem}_{column}"
    if "/" in known or "\\" in known:
        raise UserError(f"--name {known!r} names a file; it may hold no slash.")
    path = output if output.suffix == ".jsonl" else output / f"{known if what == 'llama_factory' else column}.jsonl"
    counted = Counter[str]()
    write_once(path, _lines(form, source, column, counted), overwrite)
    form.beside(path, known, overwrite)
    if counted["rows"] < form.least:
        say(f"export: warning: {path.name} has {counted['rows']} rows; {what} asks for {form.least} at least.")
    return counted["rows"], path


def _lines(form: TrainingFile, source: Path, column: str, counted: Counter[str]) -> Iterator[bytes]:
    """Raises: UserError where some rows are conversations and others are not, which no loader reads as one column."""
    first: Taught | None = None
    for where, row in read_rows(source):
        told = taught(row, column, where)
        first = first or told
        if bool(told.conversation) != bool(first.conversation) and form.line is _trl:
            lacking, other = (first, told) if told.conversation else (told, first)
            raise UserError(f"{lacking.where}: there are no `messages`, {other.where} has some; export each kind of rows by itself.")
        counted["rows"] += 1
        yield orjson.dumps(form.line(told), option=orjson.OPT_APPEND_NEWLINE)


def write_parquet(source: Path, output: Path, overwrite: bool = False) -> tuple[int, Path]:
    """All columns of all rows, as they are."""
    from teacherlm.store.hf import DICT_FILE, is_dataset_folder, write_dataset

    path = output if output.suffix == ".parquet" else output / PARQUET
    if is_dataset_folder(source) and not (source / DICT_FILE).exists():
        require_finished(source)
        return _copy(source, path, overwrite), path
    with TemporaryDirectory() as folder:
        write_dataset(Path(folder), (row for _, row in read_rows(source)), origin=str(source))
        return _copy(Path(folder), path, overwrite), path


def _copy(dataset: Path, path: Path, overwrite: bool) -> int:
    from datasets import disable_progress_bars, load_from_disk

    disable_progress_bars()
    rows: Any = load_from_disk(str(dataset))
    with writing_once(path, overwrite) as file:
        rows.to_parquet(file)
    return len(rows)
