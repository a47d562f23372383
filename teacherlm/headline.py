"""What a file says of itself, read as text: listing a hundred files must not import one of them."""

from pathlib import Path


def docstring(path: Path) -> str:
    """The docstring of a Python file, stripped; "" where it has none."""
    parts = path.read_text(encoding="utf-8").split('"""', 2)
    return parts[1].strip() if len(parts) == 3 else ""


def first_line(path: Path) -> str:
    """The line that stands for the file in a list."""
    return next(iter(docstring(path).splitlines()), "")
