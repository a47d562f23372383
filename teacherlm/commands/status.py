"""Say how far a run is: per step done, running, failed, to do."""

from pathlib import Path
from typing import Annotated

import typer


def status(run: Annotated[Path, typer.Argument(help="Folder of a run (run_dir of its pipeline).")]) -> None:
    from rich.console import Console
    from rich.table import Table

    from teacherlm.launch.status import read_status

    rows, problems = read_status(run)
    table = Table(box=None)
    table.add_column("step", min_width=max(len(row.step) for row in rows))
    for column in ("jobs", "done", "running", "stopped", "failed", "to do", "rows", "seconds"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row.step, *(str(n or "") for n in (row.jobs, row.done, row.running, row.stopped, row.failed, row.to_do, row.rows, row.seconds))
        )
    console = Console()
    console.print(table)
    for label, problem in problems.items():
        console.print(f"{label}: {problem}", markup=False, highlight=False)


COMMAND = status
