"""Which student is meant, and how a question is put to it: as it was taught."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from teacherlm.errors import UserError
from teacherlm.evaluation.students import Student, find_students
from teacherlm.prompts import ANY, Chat, Template, find_template, short_name
from teacherlm.records import Question

Turn = dict[str, str]


@dataclass(frozen=True)
class Wording:
    """What stands around a bare question."""

    template: Template | None = None
    """None: questions are put as they stand."""
    prefix: str = ""
    """Before every prompt, where the student was taught several tasks: `predict: `."""

    @property
    def chat(self) -> Chat | None:
        return self.template.chat if self.template else None

    @property
    def stops(self) -> tuple[str, ...]:
        return self.template.stops if self.template else ()

    def prompt(self, question: str, choices: Sequence[str] = ()) -> str:
        """A question with its choices; of a chat the user's turn. Raises: UserError for choices that nothing says how to put."""
        if self.template is None:
            if choices:
                raise UserError("choices: nothing says how this model reads them; name a template (--template teacherlm).")
            return question
        return f"{self.prefix}{self.template.prompt(Question(question, '', tuple(choices)))}"


def find_student(model: str, revision: str = "main") -> Student:
    """The last checkpoint of a `finetune` output, one checkpoint, a model folder, or a hub id.

    Raises: UserError for a folder without a model, a torn checkpoint, and a run that is not finished.
    """
    return find_students(model, revision, "last")[-1]


def wording_of(student: Student, raw: bool = False, template: str = "") -> Wording:
    """How the student was taught, or by the template named; a model that nobody taught here is asked as it stands.

    Raises: UserError for an unknown template, and for a student of several templates where none is named.
    """
    if raw:
        return Wording()
    if template:
        return Wording(_require(template), student.prefix)
    taught = [spec.removesuffix(ANY) for spec in student.templates]
    if len(taught) > 1:
        raise UserError(f"{student.path}: was taught by several templates ({', '.join(map(short_name, taught))}); name one: --template.")
    return Wording(find_template(taught[0]) if taught else None, student.prefix)


def _require(spec: str) -> Template:
    from teacherlm.prompts import template

    return template(spec)


def require_same_wording(student: Student, spec: str, where: str) -> None:
    """Raises: UserError for a row that was prepared for students taught otherwise."""
    from teacherlm.prompts import covers

    if student.templates and spec and not covers(student.templates, [spec]):
        raise UserError(
            f"{where}: was prepared by the template '{short_name(spec)}', {student.name} was taught by '{student.template}'; "
            "--raw asks it so all the same."
        )


def build_engine(student: Student, name: str, given: dict[str, Any], chat: Chat | None, seed: int) -> Any:
    """`given`: settings of the engine. Raises: UserError for settings that it does not have, and a model that it cannot load."""
    from teacherlm.catalog import find
    from teacherlm.parsing import parse_config

    if student.api:
        values = {**student.api.model_dump(exclude_unset=True), **given, "name": "openai"}
        return find("engines", "openai").build(parse_config(find("engines", "openai").settings, values), seed)
    plugin = find("engines", name)
    values = {"model": student.path, **given, "name": name}
    if chat and name != "transformers":  # there the turns are put here, with what was said before
        values |= {"chat": True, **({"system": chat.system} if chat.system else {})}
    engine = plugin.build(parse_config(plugin.settings, values), seed)
    return getattr(engine, "loaded", engine)
