"""Show what the jobs of a step said: one in full, several by their last lines."""

from pathlib import Path
from typing import Annotated

import typer

LAST = 5


def logs(
    run: Annotated[Path, typer.Argument(help="Folder of a run (run_dir of its pipeline).")],
    step: Annotated[str, typer.Argument(help="A step: enhance, or round-2/enhance.")],
    job: Annotated[str, typer.Argument(help="One of its jobs: 1b3-cot_tail-0, or shard 3-of-16.")] = "",
    lines: Annotated[int | None, typer.Option("--lines", help="Only the last lines.", min=1)] = None,
) -> None:
    from teacherlm.launch.logs import choose_jobs, find_logs, read_tail, require_log

    chosen = choose_jobs(run, step, job)
    found = find_logs(run, {planned.label for planned in chosen})
    if len(chosen) == 1:
        path = require_log(run, chosen[0].label, found)
        typer.echo("\n".join(read_tail(path, lines)) if lines else path.read_text(errors="replace"))
        return
    for planned in chosen:
        typer.echo(f"== {planned.label}: {found.get(planned.label, 'not started')}")
        if planned.label in found:
            typer.echo("\n".join(read_tail(found[planned.label], lines or LAST)))


COMMAND = logs
