"""A Jinja file that defines macros, compiled once and in a sandbox; what is wrong with it is told by file and line."""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from teacherlm.errors import UserError
from teacherlm.prompts import short_name

_origins: dict[str, str] = {}
"""Text -> the file it was read from in this process, for messages; elsewhere a text is named by its content."""


@dataclass(frozen=True)
class Page:
    page: Any
    macros: Mapping[str, Any]
    settings: Mapping[str, Any]
    """What the file sets outside of macros."""
    place: str
    """The file's path, or a name for its content."""

    def call(self, name: str, given: Mapping[str, Any]) -> str:
        """What a macro writes, given those of the values that it asks for by name.

        Raises: UserError for anything that it asks for and that is not there, with the line.
        """
        from jinja2 import TemplateError

        macro = self.macros[name]
        asked = {word: given[word] for word in macro.arguments if word in given}
        try:
            return str(macro(**asked))
        except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:
            raise UserError(f"{self.place}{_line(self.page, error)}: {_said(error)}; `{name}` may ask for {', '.join(given)}.") from None


def read_file(values: Any) -> Any:
    """Settings in which the text of `file` has taken its place. Raises: UserError for a missing file, or one that is not UTF-8."""
    if not isinstance(values, dict) or values.get("text"):
        return {name: value for name, value in values.items() if name != "file"} if isinstance(values, dict) else values
    if not values.get("file"):
        return values
    path = Path(values["file"])
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        raise UserError(f"file: {path}: no such file.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"file: {path}: not UTF-8 (byte {error.start}).") from None
    if not text.strip():
        raise UserError(f"file: {path}: the file is empty.")
    _origins[text] = str(path)
    return {**{name: value for name, value in values.items() if name != "file"}, "text": text}


def place_of(text: str) -> str:
    return _origins.get(text) or short_name(f"jinja{orjson.dumps({'text': text}).decode()}")


@lru_cache(maxsize=64)
def compiled(text: str) -> Page:
    """Raises: UserError for what is not Jinja, with file and line."""
    from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
    from jinja2.runtime import Macro
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    place = place_of(text)
    try:
        page = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False).from_string(text)
    except TemplateSyntaxError as error:
        raise UserError(f"{place}:{error.lineno}: not a Jinja template ({error.message}).") from None
    try:
        public = {name: value for name, value in vars(page.module).items() if not name.startswith("_") and name != "name"}
    except (TemplateError, TypeError) as error:
        raise UserError(f"{place}{_line(page, error)}: {_said(error)}.") from None
    macros = {name: value for name, value in public.items() if isinstance(value, Macro)}
    return Page(page, macros, {name: value for name, value in public.items() if name not in macros}, place)


def _line(page: Any, error: BaseException) -> str:
    """`:7`, the line of the file in which it went wrong."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>" and frame.lineno]
    return f":{page.get_corresponding_lineno(lines[-1])}" if lines else ""


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")
