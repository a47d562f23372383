"""Tasks of Super-NaturalInstructions: what a task file holds, in the released schema and in the early one, read and written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.records import Demonstration
from teacherlm.store.files import write_json
from teacherlm.store.readers_json import read_document
from teacherlm.store.sources import require

POSITIVE, NEGATIVE = "Positive Examples", "Negative Examples"


@dataclass(frozen=True, slots=True)
class Instance:
    """One input of a task."""

    input: str
    references: tuple[str, ...]
    """All right outputs."""
    id: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What else its file says of it."""


@dataclass(frozen=True)
class Task:
    """A definition, worked examples, and inputs to which it applies."""

    name: str
    definition: str
    category: str = ""
    demonstrations: tuple[Demonstration, ...] = ()
    """The right ones first."""
    instances: Sequence[Any] = ()
    """As the file has them: one that is broken is not the whole task's fault."""
    place: str = ""


def read_task(name: str, path: Path, encoding: str = "utf-8") -> Task:
    """Raises: UserError that names the task, for a file that is no task."""
    try:
        return parse_task(name, read_document(path, encoding), str(path))
    except UserError as error:
        raise UserError(f"task {name}: {error}") from None


def parse_task(name: str, content: Any, place: str) -> Task:
    if not isinstance(content, dict):
        raise UserError(f"{place}: expected one JSON object with Definition and Instances, found {_kind(content)}.")
    instances = require(content, "Instances", place)
    if not isinstance(instances, list):
        raise UserError(f"{place}: 'Instances' must be a list of {{input, output}}, found {_kind(instances)}.")
    return Task(
        name=name,
        definition=_first_text(require(content, "Definition", place), "Definition", place).strip(),
        category=_first_text(content.get("Categories") or "", "Categories", place),
        demonstrations=(*_demonstrations(content, POSITIVE, place), *_demonstrations(content, NEGATIVE, place)),
        instances=instances,
        place=place,
    )


def parse_instance(row: Any, where: str) -> Instance:
    """Raises: UserError for an instance without input or outputs."""
    if not isinstance(row, dict):
        raise UserError(f"{where}: expected {{input, output}}, found {_kind(row)}.")
    asked, outputs = require(row, "input", where), require(row, "output", where)
    references = [outputs] if isinstance(outputs, str) else outputs
    if not isinstance(asked, str):
        raise UserError(f"{where}: 'input' must be text, found {_kind(asked)}.")
    if not isinstance(references, list) or not all(isinstance(one, str) for one in references):
        raise UserError(f"{where}: 'output' must be a list of texts, found {outputs!r}.")
    if not any(one.strip() for one in references):
        raise UserError(f"{where}: 'output' holds no text, so there is nothing to learn.")
    notes = {name: value for name, value in row.items() if name not in ("id", "input", "output") and isinstance(value, str)}
    return Instance(asked, tuple(one for one in references if one.strip()), str(row.get("id") or ""), notes)


def write_task(folder: Path, task: Task) -> None:
    """`<name>.json` in the released schema."""
    write_json(
        folder / f"{task.name}.json",
        {
            "Categories": [task.category],
            "Definition": [task.definition],
            POSITIVE: [_example(one) for one in task.demonstrations if one.positive],
            NEGATIVE: [_example(one) for one in task.demonstrations if not one.positive],
            "Instances": list(task.instances),
        },
    )


def _example(shown: Demonstration) -> dict[str, str]:
    return {"input": shown.input, "output": shown.output, "explanation": shown.explanation}


def _demonstrations(content: Mapping[str, Any], key: str, place: str) -> list[Demonstration]:
    """Files without examples have none, an empty list, or a dash."""
    given = content.get(key) or []
    if given in ("-", ["-"]):
        return []
    if not isinstance(given, list):
        raise UserError(f"{place}: '{key}' must be a list of {{input, output, explanation}}, found {_kind(given)}.")
    return [_demonstration(example, key, f"{place}: {key} {number}") for number, example in enumerate(given, start=1)]


def _demonstration(example: Any, key: str, where: str) -> Demonstration:
    if not isinstance(example, dict):
        raise UserError(f"{where}: expected {{input, output, explanation}}, found {_kind(example)}.")
    return Demonstration(
        input=_first_text(require(example, "input", where), "input", where),
        output=_first_text(require(example, "output", where), "output", where),
        explanation=_first_text(example.get("explanation") or "", "explanation", where),
        positive=key == POSITIVE,
    )


def _first_text(value: Any, key: str, where: str) -> str:
    """A text, or the first of a list of texts."""
    first = value[0] if isinstance(value, list) and value else value
    if not isinstance(first, str):
        raise UserError(f"{where}: '{key}' must be text or a list of texts, found {value!r}.")
    return first


def _kind(value: Any) -> str:
    return {"NoneType": "nothing", "str": "text", "dict": "an object", "list": "a list"}.get(type(value).__name__, repr(value))
