"""List what there is: datasets, engines, ways, gates, objectives, adapters, tasks, stages, pipelines."""

from typing import Annotated

import typer


def list_(
    what: Annotated[str, typer.Argument(help="datasets, engines, ways, gates, objectives, adapters, tasks, stages, pipelines, ...")],
    plugins: Annotated[list[str] | None, typer.Option("--plugins", help="Folder laid out like the rooms.", metavar="FOLDER")] = None,
) -> None:
    from teacherlm.launch.listing import listed

    found = listed(what)
    width = max((len(name) for name in found), default=0)
    for name, line in found.items():
        print(f"{name:<{width}}  {line}")


COMMAND = list_
