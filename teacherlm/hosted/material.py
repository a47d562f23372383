"""The rows of a training as the API reads them, in a file whose name is its content."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from teacherlm.errors import UserError
from teacherlm.exports.files import read_rows
from teacherlm.exports.taught import Taught, taught
from teacherlm.exports.training_files import OPENAI_LEAST
from teacherlm.log import say
from teacherlm.prompts import find_template
from teacherlm.store.files import writing

FILE = "training.jsonl"


@dataclass(frozen=True)
class Material:
    path: Path
    rows: int
    specs: tuple[str, ...]
    """Templates of the rows."""
    system: str
    """What the system says in every conversation; "" where it says nothing, or not the same in all."""
    digest: str

    @property
    def name(self) -> str:
        """Under which it is uploaded, and known again."""
        return f"teacherlm-{self.digest}.jsonl"


def write_material(source: Path, column: str, form: str, limit: int | None, output: Path) -> Material:
    """Raises: UserError naming a row that teaches nothing, and for templates that only ask."""
    path, content = output / FILE, hashlib.sha256()
    specs, systems, count = set[str](), set[str](), 0
    with writing(path) as file:
        for where, row in read_rows(source):
            if limit is not None and count >= limit:
                break
            spec = str(row.get("template") or "")
            line = orjson.dumps(_line(taught(row, column, where), form, _system(spec, where)), option=orjson.OPT_APPEND_NEWLINE)
            file.write(line)
            content.update(line)
            specs.add(spec)
            systems.add(_system(spec, where))
            count += 1
    if not count:
        raise UserError(f"{source}: the dataset has no rows.")
    if count < OPENAI_LEAST:
        say(f"warning: {count} rows; OpenAI asks for {OPENAI_LEAST} at least.")
    system = systems.pop() if len(systems) == 1 else ""
    return Material(path, count, tuple(sorted(filter(None, specs))), system, content.hexdigest()[:32])


def _system(spec: str, where: str) -> str:
    chosen = find_template(spec) if spec else None
    if chosen is not None and not chosen.taught:
        raise UserError(f"{where}: is of the template '{spec}', which only asks; prepare the rows with another.")
    return chosen.chat.system if chosen is not None and chosen.chat else ""


def _line(told: Taught, form: str, system: str) -> dict[str, Any]:
    if form == "prompt_completion":
        return {"prompt": told.prompt, "completion": told.completion}
    turns = told.messages
    begin = [{"role": "system", "content": system}] if system and turns[0]["role"] != "system" else []
    return {"messages": [*begin, *turns]}
