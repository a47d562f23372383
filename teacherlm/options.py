"""Command-line options of a stage, derived from its config: Typer receives words, pydantic alone reads types."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
import yaml
from pydantic.fields import FieldInfo

from teacherlm.catalog import ChosenSettings
from teacherlm.parsing import assign, parse_assignment, parse_config, read_yaml
from teacherlm.stage import Alias, Positional, Settings, Stage, StageConfig

KEYWORD = inspect.Parameter.KEYWORD_ONLY


def stage_callback(name: str, stage: Stage, perform: Callable[..., Any]) -> Callable[..., None]:
    """A function whose signature carries one option per field; it builds the config and hands it to `perform`."""

    def run(**given: Any) -> None:
        values, overwrite = given_values(stage, given), given["overwrite"]
        perform(name, stage, parse_config(stage.config, values), overwrite=overwrite)

    parameters = [*_common(), *_of_fields(stage.config), *_of_words(stage)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def given_values(stage: Stage, given: dict[str, Any]) -> dict[str, Any]:
    """What the user gave: the config file, over it plain words, over them the options, over them `--set`."""
    values: dict[str, Any] = read_yaml(Path(given["config_file"])) if given["config_file"] else {}
    fields = stage.config.model_fields
    plain = {key: given[_word_name(number)] for number, key in enumerate(stage.words)}
    values.update({key: word for key, word in plain.items() if word is not None and key.partition(".")[0] not in fields})
    for name, field in fields.items():
        for path, word in _words_of(name, field, given, plain):
            if word not in (None, []):
                assign(values, path, _value(field, word) if path == [name] else word)
    for assignment in given["assignments"] or []:
        path, value = parse_assignment(assignment)
        assign(values, path, value)
    return values


def _words_of(name: str, field: FieldInfo, given: dict[str, Any], plain: dict[str, str | None]) -> Iterator[tuple[list[str], Any]]:
    """(key path, word) of a field: its own option before what lies inside it, so that `--teacher vllm --name X` gives both."""
    if (word := plain.get(name)) is not None:
        yield [name], [word] if _kind(field.annotation) == list[str] else word
    yield [name], given[name]
    yield [name], given.get(_positional_name(name))
    yield from ((key.split("."), word) for key, word in plain.items() if key.startswith(f"{name}."))
    for number, alias in enumerate(_aliases(field)):
        word = given[_alias_name(name, number)]
        yield [name, *filter(None, alias.key.split("."))], (alias.value if word else None) if alias.value else word


def _value(field: FieldInfo, word: Any) -> Any:
    """A word is text; `{...}` and `[...]` are YAML; a list option may be repeated, or hold commas."""
    if isinstance(word, list):
        return [part for one in word for part in _parts(one)]
    if isinstance(word, str) and word[:1] in "{[" and not _is_text(field):
        return yaml.safe_load(word)
    return word


def _parts(word: str) -> list[Any]:
    if word.startswith("[") and word.endswith("]"):
        return list(yaml.safe_load(word))
    return [part for part in word.split(",") if part]


def _common() -> list[inspect.Parameter]:
    config = typer.Option("--config", "-c", help="YAML with any of the options below; options given here win.", metavar="FILE")
    assign_ = typer.Option("--set", "-s", help="Any key of the config, nested ones too: teacher.dtype=bfloat16.", metavar="KEY=VALUE")
    over = typer.Option("--overwrite", help="Redo an output made otherwise; it moves to .stale/, kept answers are not asked again.")
    plugins = typer.Option("--plugins", help="Folder laid out like the rooms (datasets/, engines/, ...), searched too.", metavar="FOLDER")
    return [
        inspect.Parameter("config_file", KEYWORD, default=None, annotation=Annotated[str | None, config]),
        inspect.Parameter("assignments", KEYWORD, default=None, annotation=Annotated[list[str] | None, assign_]),
        inspect.Parameter("overwrite", KEYWORD, default=False, annotation=Annotated[bool, over]),
        inspect.Parameter("plugins", KEYWORD, default=None, annotation=Annotated[list[str] | None, plugins]),
    ]


def _of_fields(config: type[StageConfig]) -> Iterator[inspect.Parameter]:
    for name, field in config.model_fields.items():
        kind = _kind(field.annotation)
        flag = f"--{name.replace('_', '-')}"
        declared = f"{flag}/--no-{flag[2:]}" if kind is bool else flag
        option = typer.Option(declared, help=field.description, show_default=_default(field), metavar=_metavar(field))
        yield inspect.Parameter(name, KEYWORD, default=None, annotation=Annotated[kind | None, option])
        if any(isinstance(mark, Positional) for mark in field.metadata):
            word = typer.Argument(help=field.description, show_default=False, metavar=name.upper())
            yield inspect.Parameter(_positional_name(name), KEYWORD, default=None, annotation=Annotated[kind | None, word])
        for number, alias in enumerate(_aliases(field)):
            hidden = typer.Option(alias.flag, hidden=True)
            alias_kind = bool if alias.value else str if alias.key else kind
            yield inspect.Parameter(_alias_name(name, number), KEYWORD, default=None, annotation=Annotated[alias_kind | None, hidden])


def _of_words(stage: Stage) -> Iterator[inspect.Parameter]:
    """The plain words of the originals' scripts."""
    for number, key in enumerate(stage.words):
        word = typer.Argument(hidden=True, show_default=False, metavar=key.upper())
        yield inspect.Parameter(_word_name(number), KEYWORD, default=None, annotation=Annotated[str | None, word])


def _word_name(number: int) -> str:
    return f"plain_word_{number}"


def _aliases(field: FieldInfo) -> list[Alias]:
    return [mark for mark in field.metadata if isinstance(mark, Alias)]


def _alias_name(name: str, number: int) -> str:
    return f"{name}_alias_{number}"


def _positional_name(name: str) -> str:
    return f"{name}_word"


def _kind(annotation: Any) -> Any:
    """What Typer should collect for a type: a switch, several words, or one word."""
    kinds = {annotation, get_origin(annotation), *get_args(annotation), *map(get_origin, get_args(annotation))}
    if bool in kinds:
        return bool
    return list[str] if list in kinds or tuple in kinds else str


def _is_text(field: FieldInfo) -> bool:
    return field.annotation is str


def _default(field: FieldInfo) -> str | bool:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Settings):
        return str(getattr(value, "name", "")) or False
    return (
        False
        if value in (None, "", [], {}, ())
        else ",".join(map(_spelled, value))
        if isinstance(value, (list, tuple))
        else _spelled(value)
    )


def _spelled(value: Any) -> str:
    if isinstance(value, ChosenSettings):
        return value.name
    return repr(value) if isinstance(value, str) and not value.isprintable() else str(value)


WORDS: dict[Any, str] = {Path: "PATH", int: "INT", float: "FLOAT", str: "TEXT"}


def _metavar(field: FieldInfo) -> str | None:
    """What kind of word is expected, short enough for a column of the help."""
    types = list(_types(field.annotation))
    if bool in types:
        return None
    if any(issubclass(one, ChosenSettings) for one in types if isinstance(one, type)):
        return "NAME"
    if any(one is dict or (isinstance(one, type) and issubclass(one, Settings)) for one in types):
        return "YAML"
    choices = [str(choice) for choice in types if not isinstance(choice, type)]
    return "|".join(choices) or next((word for kind, word in WORDS.items() if kind in types), "TEXT")


def _types(annotation: Any) -> Iterator[Any]:
    """The types (and literal values) an annotation is made of."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif get_origin(annotation) is Annotated:
        yield from _types(get_args(annotation)[0])
    elif get_args(annotation):
        if isinstance(get_origin(annotation), type):
            yield get_origin(annotation)
        for part in get_args(annotation):
            yield from _types(part)
    else:
        yield annotation
