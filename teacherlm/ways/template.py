"""Prompts from a jinja2 file of one's own, rendered for each kind; the row's columns, `kind` and `suffix` may stand in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from teacherlm.asking import Conversation, Drop, Row, Terms, Way
from teacherlm.catalog import ChosenSettings
from teacherlm.errors import UserError
from teacherlm.prompts import KINDS, SUFFIX
from teacherlm.stage import Plugin, Source
from teacherlm.ways.rationalise import explained, refuse_kinds_there


class TemplateSettings(ChosenSettings):
    name: Literal["template"] = "template"
    kinds: ClassVar[tuple[str, ...]] = KINDS
    file: Annotated[Path, Source("data")]
    """The jinja2 file, such as `{{ prompt }} The answer is {{ answer }}.{{ suffix }}`. It runs in a sandbox."""


def build(settings: TemplateSettings) -> Way:
    """Raises: UserError for a file that is missing or is not a template."""
    from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError
    from jinja2.sandbox import SandboxedEnvironment

    path = settings.file
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    try:
        page = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False).from_string(path.read_text(encoding="utf-8"))
    except TemplateSyntaxError as error:
        raise UserError(f"{path}:{error.lineno}: not a jinja2 template ({error.message}).") from None

    def rendered(row: Mapping[str, Any], kind: str, where: str) -> str:
        try:
            return page.render({**row, "kind": kind, "suffix": SUFFIX[kind]})
        except UndefinedError as error:
            raise UserError(f"{path}: {error.message}; {where} has the columns {', '.join(row)}.") from None
        except TemplateError as error:
            raise UserError(f"{path}: cannot be filled in for {where} ({error}).") from None

    def ask(row: Mapping[str, Any], terms: Terms, where: str, sample: int) -> Conversation[Row | Drop]:
        refuse_kinds_there(row, terms.kinds, where)
        return (yield from explained(row, {kind: rendered(row, kind, where) for kind in terms.kinds}, terms, where, sample))

    return ask


WAY = Plugin(TemplateSettings, build)
