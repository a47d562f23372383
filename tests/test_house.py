"""The house: imports point down, rooms do not import each other, light files stay light, names match files."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from teacherlm.catalog import ROOMS, files, find

PACKAGE = Path(__file__).resolve().parent.parent / "teacherlm"
LAYERS = (
    ("errors", "log", "live", "shipped", "headline", "interrupt", "allocation", "together"),
    ("stage", "records"),
    ("parsing",),
    ("catalog",),
    ("store", "prompts", "answers", "choices"),
    ("dataset", "shots", "mixing"),
    ("templates", "asking", "verify", "overlap", "splitting", "layout", "rows", "exports", "datasets", "engines"),
    ("inquiry", "ways", "gates", "attempts", "budget", "hosted"),
    ("questioning", "screening"),
    ("interview",),
    ("evaluation", "training", "reporting"),
    ("contamination", "observing"),
    ("stages",),
    ("resources", "recognition", "visible"),
    ("pipeline",),
    ("plan",),
    ("launch", "showing", "tracing", "proposing", "using"),
    ("options",),
    ("commands",),
    ("cli",),
)
MAY_USE_EACH_OTHER = {
    "errors",
    "log",
    "live",
    "shipped",
    "headline",
    "interrupt",
    "allocation",
    "together",
    "stage",
    "records",
    "catalog",
    "store",
    "prompts",
    "answers",
}
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
HEAVY = ("torch", "transformers", "datasets", "lm_eval", "deepspeed", "matplotlib", "sklearn", "scipy")
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if name.startswith("teacherlm."):
                yield name.split(".")[1]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    assert room in LEVEL, f"{room} has no place in the house"
    for other in imported_rooms(path):
        if other == room:
            assert room != "stages", f"{path.name} imports another stage"
            continue
        same_level_is_fine = other in MAY_USE_EACH_OTHER and room in MAY_USE_EACH_OTHER
        assert LEVEL[other] < LEVEL[room] or (LEVEL[other] == LEVEL[room] and same_level_is_fine), f"{path} imports {other}"


def light_modules() -> list[str]:
    light = [path for path in MODULES if path.parent == PACKAGE]
    for room in (
        "stages",
        "commands",
        "datasets",
        "templates",
        "engines",
        "ways",
        "gates",
        "training/objectives",
        "training/adapters",
        "store",
        "launch",
    ):
        light += sorted((PACKAGE / room).glob("*.py"))
    return [".".join(("teacherlm", *p.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__") for p in light]


def test_light_files_import_nothing_heavy() -> None:
    imports = f"import sys, importlib\nfor m in {light_modules()!r}: importlib.import_module(m)"
    program = f"{imports}\nprint([h for h in {HEAVY!r} if h in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_command_list_needs_no_pydantic_models_and_no_room() -> None:
    program = (
        "import sys\nfrom teacherlm.cli import build_app\nbuild_app([])\n"
        "print([m for m in sys.modules if m.startswith('teacherlm.') and m.count('.') > 1 or m in ('teacherlm.stage', 'yaml', 'orjson')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def own_files(room: str) -> dict[str, Path]:
    """Those of the package: another test may have added a folder of plugins."""
    return {name: path for name, path in files(room).items() if path.is_relative_to(PACKAGE)}


@pytest.mark.parametrize("room", ["stages", "commands"])
def test_the_order_of_the_help_names_every_file_of_the_folder(room: str) -> None:
    namespace: dict[str, tuple[str, ...]] = {}
    exec((PACKAGE / room / "__init__.py").read_text(), namespace)
    assert sorted(name.replace("-", "_") for name in namespace["ORDER"]) == sorted(own_files(room))


@pytest.mark.parametrize("room", list(ROOMS))
def test_every_file_of_a_room_has_its_constant_and_a_line_of_help(room: str) -> None:
    for name, path in own_files(room).items():
        assert find(room, name) is not None
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_can_be_read_in_a_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None:
            assert node.end_lineno - node.lineno < 60, f"{path.name}: {node.name} is too long"


def test_no_two_test_files_share_a_name() -> None:
    """pytest imports them by their bare names, and would not start."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
