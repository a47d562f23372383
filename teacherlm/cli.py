"""`teacherlm <command>`: names and help lines are read off the files; a file is imported only when its command is called."""

import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from teacherlm.commands import ORDER as COMMANDS
from teacherlm.headline import docstring, first_line
from teacherlm.stages import ORDER as STAGES

HERE = Path(__file__).parent
ALSO_SPELLED = {"eval": "evaluate"}
SETTINGS = {"help_option_names": ["-h", "--help"], "token_normalize_func": lambda word: word.replace("_", "-")}


def lazy(room: str) -> type[TyperCommand]:
    class Lazy(TyperCommand):
        """One line of help; parsing its arguments imports and builds the real command."""

        def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
            command = real_command(room, str(self.name))
            return command.make_context(info_name, switched(command, args), parent, **extra)

    return Lazy


def switched(command: Any, words: list[str]) -> list[str]:
    """`--gradient_checkpointing true` and `=false`, as the originals' switches were given, as `--gradient_checkpointing` and `--no-...`.

    A hidden spelling has no opposite: switched off it is left out.
    """
    switches = {flag.replace("_", "-"): option for option in command.params if getattr(option, "is_flag", False) for flag in option.opts}
    told: list[str] = []
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        flag, equals, value = word.partition("=")
        switch = switches.get(flag.replace("_", "-"))
        given = value if equals else waiting[0] if waiting else ""
        if switch is None or given.lower() not in ("true", "false"):
            told.append(word)
            continue
        if not equals:
            waiting.pop(0)
        told += [flag] if given.lower() == "true" else switch.secondary_opts[:1]
    return told


def real_command(room: str, name: str) -> Any:
    """The command that Typer makes of a stage's config or of a command's function."""
    from teacherlm.catalog import files, find

    name = ALSO_SPELLED.get(name, name).replace("-", "_")
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    found = find(room, name)
    if room == "stages":
        from teacherlm.options import stage_callback

        found = stage_callback(name, found, _perform)
    single.command(name, help=docstring(files(room)[name.replace("-", "_")]), context_settings=SETTINGS)(found)
    return typer.main.get_command(single)


def _perform(*given: Any, **named: Any) -> None:
    from teacherlm.launch.by_hand import perform_by_hand  # not for a `--help`

    perform_by_hand(*given, **named)


def plugin_arguments(words: list[str]) -> list[Path]:
    """Folders given with `--plugins`: they are needed before the command line can be parsed, since they may hold the command."""
    given = [value for flag, value in pairwise(words) if flag == "--plugins"]
    given += [word.partition("=")[2] for word in words if word.startswith("--plugins=")]
    given += os.environ.get("TEACHERLM_PLUGINS", "").split(os.pathsep)
    return [Path(folder) for folder in given if folder]


def build_app(plugins: list[Path]) -> typer.Typer:
    """All commands as names and lines of help."""
    app = typer.Typer(
        name="teacherlm",
        help="From a labelled dataset and a large teacher to a small student that reasons better, and the proof of it.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings=SETTINGS,
    )
    named = [("stages", name, HERE / "stages" / f"{name}.py") for name in STAGES]
    named += [("commands", name, HERE / "commands" / f"{name}.py") for name in COMMANDS]
    named += [
        (room, path.stem, path)
        for folder in plugins
        for room in ("stages", "commands")
        for path in sorted((folder / room).glob("[!_]*.py"))
        if path.stem not in (STAGES if room == "stages" else COMMANDS)
    ]
    for room, name, path in named:
        app.command(name.replace("_", "-"), cls=lazy(room), help=first_line(path))(_never_called)
    for other, name in ALSO_SPELLED.items():
        app.command(other, cls=lazy("stages"), hidden=True, help=f"The same as {name}.")(_never_called)
    return app


def _never_called() -> None:
    """Stands where Typer wants a function; `Lazy` puts the real one in its place."""


def main() -> None:
    """Entry point. What the user caused is one line and exit code 2, after a signal 128 + its number; a bug keeps its traceback."""
    plugins = plugin_arguments(sys.argv[1:])
    try:
        if plugins:
            from teacherlm.catalog import use_plugins

            use_plugins(plugins)
        build_app(plugins)()
    except Exception as error:
        from teacherlm.launch.ending import end_code

        code = end_code(error)
        if code is None:
            raise
        sys.exit(code)


if __name__ == "__main__":
    main()
