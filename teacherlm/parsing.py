"""Words from the command line and values from YAML -> a config; every refusal says which key, what is wrong, what would be right."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from teacherlm.errors import UserError

C = TypeVar("C", bound=BaseModel)


class BadKeys(UserError):
    """A UserError whose every line starts with a key; inside another config the outer key goes before it."""


def parse_config(model: type[C], values: Mapping[str, Any], where: str = "") -> C:
    """A validated config.

    Raises: UserError with one line per bad key, each starting with `where` and the key's path.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        lines = [_line(model, dict(detail), where) for detail in error.errors()]
        raise BadKeys("\n".join(dict.fromkeys(lines))) from None


def _line(model: type[BaseModel], detail: dict[str, Any], where: str) -> str:
    location = [str(part) for part in detail["loc"] if not _is_validator_name(str(part))]
    key = ".".join(location)
    start = f"{where}: " if where else ""
    if detail["type"] == "extra_forbidden":
        known = _fields_at(model, location[:-1])
        close = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        return f"{start}{key}: unknown key.{hint} Known: {', '.join(sorted(known))}."
    if detail["type"] == "missing":
        return f"{start}{key}: is required."
    if detail["type"] in ("value_error", "assertion_error"):
        inner = detail.get("ctx", {}).get("error", detail["msg"])
        between = "." if isinstance(inner, BadKeys) else ": "
        return "\n".join(f"{start}{key}{between if key else ''}{line}" for line in str(inner).splitlines())
    return f"{start}{key}: {detail['msg'][0].lower()}{detail['msg'][1:]}, found {detail['input']!r}."


def _is_validator_name(part: str) -> bool:
    """pydantic puts the names of union branches and validators into a location; they mean nothing to a user."""
    return part.startswith(("function-", "lax-or-strict", "json-or-python", "tagged-union")) or part in ("str", "path", "list[str]")


def _fields_at(model: type[BaseModel], location: list[str]) -> list[str]:
    """Keys that would have been right: those of the settings class the location leads to."""
    current: Any = model
    for part in location:
        field = current.model_fields.get(part) if isinstance(current, type) and issubclass(current, BaseModel) else None
        if field is None:
            return []
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        current = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML (or JSON) file that holds a mapping.

    Raises: UserError naming the file, and the line where YAML knows it.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not valid YAML ({getattr(error, 'problem', None) or error}).") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected keys and values, found {type(value).__name__}.")
    return value


def parse_assignment(word: str) -> tuple[list[str], Any]:
    """`a.b=1` -> (["a", "b"], 1); the value is read as YAML.

    Raises: UserError when there is no `=`, or the value is not YAML.
    """
    key, equals, text = word.partition("=")
    if not equals or not key:
        raise UserError(f"--set {word}: expected key=value, such as teacher.temperature=0.7.")
    try:
        return key.split("."), yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set {word}: the value is not valid YAML.") from None


def assign(values: dict[str, Any], path: list[str], value: Any) -> None:
    """Set a nested key in place; a plain name on the way becomes `{name: ...}`."""
    for part in path[:-1]:
        inner = values.get(part)
        if isinstance(inner, str):
            inner = {"name": inner}
        values[part] = dict(inner) if isinstance(inner, Mapping) else {}
        values = values[part]
    values[path[-1]] = value
