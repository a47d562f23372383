"""Upload a run's examples and students to a hub, each with its card."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class What(str, Enum):
    dataset = "dataset"
    models = "models"
    all = "all"


def push(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or of one output of `postprocess` or `finetune`.")],
    to: Annotated[str, typer.Option("--to", help="owner/name of the dataset; a student's repository is called owner/name-<labels>.")],
    what: Annotated[What, typer.Option(help="What is uploaded; of each student the last checkpoint.")] = What.all,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show every file and card; needs no network and no token.")] = False,
    public: Annotated[bool, typer.Option("--public", help="Make new repositories public; one that is there stays as it is.")] = False,
) -> None:
    """The token is that of HF_TOKEN or of `hf auth login`."""
    from teacherlm.reporting.hub import described, plan_uploads
    from teacherlm.reporting.hub import push as upload

    uploads = plan_uploads(run, to, what.value)
    if dry_run:
        for line in described(uploads, not public):
            print(line)
        return
    upload(uploads, private=not public)


COMMAND = push
