"""Follow one question from its source row through prompts, raw answers and verdicts to each student's answer."""

from pathlib import Path
from typing import Annotated

import typer


def trace(
    id_: Annotated[str, typer.Argument(help="The question's id, as `teacherlm show` tells it.", metavar="ID")],
    run: Annotated[
        list[Path],
        typer.Option("--run", help="A run's folder, or the output of a stage; with all that it was made from. Several may be given."),
    ],
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")] = False,
    plugins: Annotated[list[str] | None, typer.Option("--plugins", help="Folder laid out like the rooms.", metavar="FOLDER")] = None,
) -> None:
    import orjson

    from teacherlm.log import quiet_libraries
    from teacherlm.tracing.story import follow
    from teacherlm.tracing.telling import lines_of_story

    quiet_libraries()
    story = follow(id_, run)
    for line in (orjson.dumps(chapter, default=str).decode() for chapter in story) if json_ else lines_of_story(id_, story):
        typer.echo(line)


COMMAND = trace
