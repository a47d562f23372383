"""Names and one line each of everything that can be chosen by name; nothing is imported for it."""

from pathlib import Path

from teacherlm.catalog import HERE, ROOMS, files
from teacherlm.errors import unknown
from teacherlm.headline import first_line
from teacherlm.shipped import shipped_folder


def listed(what: str) -> dict[str, str]:
    """Name -> first line of its file's docstring (of a YAML: of its comment).

    Raises: UserError for a word that names no kind of thing.
    """
    if what in ROOMS:
        return {name: first_line(path) for name, path in files(what).items()}
    if what == "tasks":
        return {path.stem: _first_comment(path) for path in sorted((HERE / "evaluation" / "tasks").glob("[!_]*.yaml"))}
    if what == "pipelines":
        return {path.stem: _first_comment(path) for path in sorted(shipped_folder("pipelines").glob("*.yaml"))}
    raise unknown("list", what, [*ROOMS, "tasks", "pipelines"])


def _first_comment(path: Path) -> str:
    line = path.read_text(encoding="utf-8").splitlines()[0]
    return line.lstrip("# ").strip() if line.startswith("#") else ""
