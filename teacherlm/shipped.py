"""Folders that come with the package: inside an installed wheel, or at the top of a checkout."""

from pathlib import Path

from teacherlm.errors import UserError

HERE = Path(__file__).parent
TASKS = HERE / "evaluation" / "tasks"
"""Our own lm-eval tasks."""


def shipped_folder(name: str) -> Path:
    """`pipelines`, `ds_configs` or `slurm`.

    Raises: UserError when the installation lacks it.
    """
    for folder in (HERE / name, HERE.parent / name):
        if folder.is_dir():
            return folder
    raise UserError(f"This installation has no folder '{name}': install the package again.")
