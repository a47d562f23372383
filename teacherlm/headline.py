"""What a file says of itself, read as text: listing a hundred files must not import one of them."""

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path


def docstring(path: Path) -> str:
    """The docstring of a Python file, stripped; "" where it has none."""
    parts = path.read_text(encoding="utf-8").split('"""', 2)
    return parts[1].strip() if len(parts) == 3 else ""


def first_line(path: Path) -> str:
    """The line that stands for the file in a list."""
    return next(iter(docstring(path).splitlines()), "")


@cache
def field_docstrings(file: str | None) -> dict[str, dict[str, str]]:
    """Qualified name of each class in a Python file -> the docstring under each of its fields; nothing where there is no file."""
    if file is None or not file.endswith(".py"):
        return {}
    return dict(_classes(ast.parse(Path(file).read_bytes()), ""))


def _classes(within: ast.AST, prefix: str) -> Iterator[tuple[str, dict[str, str]]]:
    for node in getattr(within, "body", []):
        if isinstance(node, ast.ClassDef):
            yield prefix + node.name, dict(_told(node))
            yield from _classes(node, f"{prefix}{node.name}.")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _classes(node, f"{prefix}{node.name}.<locals>.")


def _told(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(node.body):
        text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, str):
            yield field.target.id, inspect.cleandoc(text)
