"""Say how far a run is, here or on Slurm: per step done, running, queued, failed, to do, and why something failed."""

from pathlib import Path
from typing import Annotated

import typer

MOST_PROBLEMS = 20
"""Lines about what failed; `logs` shows the others."""


def status(run: Annotated[Path, typer.Argument(help="Folder of a run (run_dir of its pipeline).")]) -> None:
    from rich.console import Console
    from rich.table import Table

    from teacherlm.launch.status import read_status
    from teacherlm.log import duration

    rows, problems = read_status(run)
    table = Table(box=None)
    table.add_column("step", min_width=max(len(row.step) for row in rows))
    for column in ("jobs", "done", "running", "queued", "stopped", "failed", "to do", "rows", "seconds", "left"):
        table.add_column(column, justify="right")
    for row in rows:
        numbers = (row.jobs, row.done, row.running, row.queued, row.stopped, row.failed, row.to_do, row.rows, row.seconds)
        table.add_row(row.step, *(str(n or "") for n in numbers), "" if row.left is None else duration(row.left))
    console = Console()
    console.print(table)
    for label, problem in list(problems.items())[:MOST_PROBLEMS]:
        console.print(f"{label}: {problem}", markup=False, highlight=False, soft_wrap=True)
    if len(problems) > MOST_PROBLEMS:
        console.print(f"... and {len(problems) - MOST_PROBLEMS} more.", markup=False, highlight=False)


COMMAND = status
