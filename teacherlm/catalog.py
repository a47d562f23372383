"""Finds the one public object of a file by the file's name: ("datasets", "creak") -> `DATASET` in `datasets/creak.py`.

Plugin folders are laid out like the rooms (`my_plugins/datasets/x.py`) and are searched after them.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from teacherlm.errors import UserError, unknown
from teacherlm.parsing import parse_config
from teacherlm.stage import Settings

HERE = Path(__file__).parent
ROOMS = {
    "datasets": ("dataset", "DATASET", "datasets"),
    "templates": ("template", "TEMPLATE", "templates"),
    "engines": ("engine", "ENGINE", "engines"),
    "objectives": ("objective", "OBJECTIVE", "training/objectives"),
    "adapters": ("adapter", "ADAPTER", "training/adapters"),
    "ways": ("way of asking", "WAY", "ways"),
    "gates": ("gate", "GATE", "gates"),
    "stages": ("stage", "STAGE", "stages"),
    "commands": ("command", "COMMAND", "commands"),
}
PLUGIN_MODULES = "teacherlm_plugins."
"""Modules of plugin folders are imported under this name."""
_plugin_folders: list[Path] = []


def use_plugins(folders: list[Path]) -> None:
    """Search these folders too, from now on, in this process."""
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such plugins folder.")
        if folder.resolve() not in _plugin_folders:
            _plugin_folders.append(folder.resolve())


def plugin_folders() -> list[Path]:
    return list(_plugin_folders)


def files(room: str) -> dict[str, Path]:
    """Name -> file of everything in a room. The package's own files win over a plugin of the same name."""
    _, _, inside = ROOMS[room]
    folders = [HERE / inside, *(folder / room for folder in _plugin_folders)]
    found = {path.stem: path for folder in reversed(folders) for path in folder.glob("*.py") if not path.stem.startswith("_")}
    return dict(sorted(found.items()))


def find(room: str, name: str) -> Any:
    """The public constant of the file `name` in `room`.

    Raises: UserError naming what is known when there is no such file, or the file lacks its constant.
    """
    noun, constant, _ = ROOMS[room]
    known = files(room)
    stem = name.replace("-", "_")
    if stem not in known:
        raise unknown(noun, name, known)
    module = _import(room, known[stem])
    if not hasattr(module, constant):
        raise UserError(f"{known[stem]}: a {noun} file must define {constant}.")
    return getattr(module, constant)


def _import(room: str, path: Path) -> ModuleType:
    if path.is_relative_to(HERE):
        return importlib.import_module(".".join(("teacherlm", *path.relative_to(HERE).with_suffix("").parts)))
    name = f"{PLUGIN_MODULES}{room}.{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # before it runs: pydantic resolves annotations through sys.modules
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def _just_named(word: str) -> Mapping[str, Any]:
    return {"name": word}


def chosen(room: str, default: str = "", spelled: Callable[[str], Mapping[str, Any]] = _just_named) -> Callable[[Any], Any]:
    """Validator of a setting `{name: x, ...}` (or just `x`): the settings class declared by the file `x` of that room.

    `default` is the name where a mapping gives none; `spelled` says what a single word stands for.
    """

    def choose(value: Any) -> Any:
        if isinstance(value, Settings):
            return value
        given = spelled(value) if isinstance(value, str) else value
        if isinstance(given, Mapping) and isinstance(given.get("name"), str):
            given = {**given, **spelled(given["name"])}
        if isinstance(given, Mapping) and default:
            given = {"name": default, **given}
        if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
            raise UserError(f"expected a name, or {{name: ..., and its settings}}; known: {', '.join(files(room))}.")
        return parse_config(find(room, given["name"]).settings, given)

    return choose


def _template_spelled(word: str) -> Mapping[str, Any]:
    """A name, or a Jinja file of one's own."""
    return {"name": "jinja", "file": word} if word.endswith((".jinja", ".jinja2", ".j2")) else {"name": word}


class ChosenSettings(Settings):
    """Settings of a file chosen by name; each such file declares its own subclass."""

    name: str
    """A file in the room (see `teacherlm list`)."""


EngineChoice = Annotated[SerializeAsAny[ChosenSettings], BeforeValidator(chosen("engines", default="transformers"))]
TemplateChoice = Annotated[SerializeAsAny[ChosenSettings], BeforeValidator(chosen("templates", spelled=_template_spelled))]
WayChoice = Annotated[SerializeAsAny[ChosenSettings], BeforeValidator(chosen("ways", default="rationalise"))]
GateChoice = Annotated[SerializeAsAny[ChosenSettings], BeforeValidator(chosen("gates"))]
