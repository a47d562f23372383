"""A proposal shown to a person, and what the person changes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import typer

from teacherlm.catalog import files
from teacherlm.errors import UserError
from teacherlm.headline import first_line
from teacherlm.proposing.columns import Look
from teacherlm.proposing.mapping import FLAGS, ROLES, require_complete, with_given
from teacherlm.proposing.pipeline_file import STUDENT, TEACHER, Models, pipeline_text, planned, refuse_existing, write_pipeline
from teacherlm.proposing.proposal import Proposal, mapped, propose
from teacherlm.visible import visible

SAMPLES = 3
WIDTH = 60
FLAGS_OF_INIT = "DATA, --question, --answer, --choices, --rationale, --id, --dataset, --teacher, --student, --output"


@dataclass(frozen=True)
class Given:
    """What the command line says; "" for what it does not."""

    data: str = ""
    output: Path = Path("pipeline.yaml")
    columns: Mapping[str, str] = field(default_factory=dict)
    dataset: str = ""
    teacher: str = ""
    student: str = ""
    overwrite: bool = False


def init(given: Given, asks: bool) -> None:
    """Writes the file. `asks`: somebody is there to answer.

    Raises: UserError for data that cannot be read, columns that cannot be told, and an output that is there already.
    """
    if not given.data and not asks:
        raise UserError(f"init: DATA is missing, and there is no terminal to ask on; give {FLAGS_OF_INIT}.")
    refuse_existing(given.output, given.overwrite)
    proposal, look = _proposed(given) if given.data else _asked_for_data(given)
    _show(proposal, look)
    if asks:
        proposal = _confirmed(proposal, look)
    models = _models(given, asks)
    text = pipeline_text(proposal, models, given.output)
    jobs = planned(text, given.output)
    write_pipeline(text, given.output, given.overwrite)
    typer.echo(f"{given.output}: written, {len(jobs)} jobs. Next: teacherlm run {given.output} --dry-run")


def _proposed(given: Given) -> tuple[Proposal, Look | None]:
    return propose(given.data, given.dataset, given.columns)


def _asked_for_data(given: Given) -> tuple[Proposal, Look | None]:
    while True:
        data = typer.prompt("Data file or folder").strip()
        try:
            return _proposed(replace(given, data=data))
        except UserError as error:
            typer.echo(str(error))


def _show(proposal: Proposal, look: Look | None) -> None:
    for note in proposal.notes:
        typer.echo(note)
    if proposal.columns is None:
        typer.echo(f"{proposal.source}: {proposal.name}. {first_line(files('datasets')[proposal.name])}")
    elif look is not None:
        _show_columns(proposal, look)
    if len(proposal.splits) == 1:
        typer.echo(f"It has one split; {proposal.held_out:.0%} of its rows will be measured and not taught.")
    if bad := proposal.tried.dropped:
        typer.echo(f"{len(bad)} of the first rows are no questions, for instance: {_safe(str(bad[0]['reason']))}")
    typer.echo("As they would be asked:")
    for row in proposal.tried.all[:SAMPLES]:
        typer.echo(f"  {_cut(row['text'], 4 * WIDTH)}")


def _show_columns(proposal: Proposal, look: Look) -> None:
    assert proposal.columns is not None
    typer.echo(f"{look.place}: {look.rows} rows looked at.")
    roles = {name: role for role in ROLES for name in proposal.columns.said(role).split(", ") if name}
    width = max(len(_safe(column.name)) for column in look.columns)
    for column in look.columns:
        empty = f", {column.empty:.0%} empty" if column.empty else ""
        what = f"{column.kind}, {column.distinct} different{empty}"
        role = roles.get(column.name, "")
        typer.echo(f"  {_safe(column.name):<{width}}  {role:<11} {what:<32} {_cut(column.example)}")
    if proposal.others:
        typer.echo(f"Other datasets that would read it: {', '.join(proposal.others)} (--dataset NAME).")


def _confirmed(proposal: Proposal, look: Look | None) -> Proposal:
    """Asks until it is right. A dataset that was recognised has no columns to choose."""
    while not typer.confirm("Is this right?", default=True):
        if look is None or proposal.columns is None:
            proposal, look = _another_dataset(proposal)
        else:
            proposal = _other_columns(proposal, look)
        _show(proposal, look)
    return proposal


def _another_dataset(proposal: Proposal) -> tuple[Proposal, Look | None]:
    while True:
        name = typer.prompt("Dataset (jsonl, csv or parquet to choose columns)", default=proposal.name).strip()
        try:
            return propose(proposal.source, name, {})
        except UserError as error:
            typer.echo(str(error))


def _other_columns(proposal: Proposal, look: Look) -> Proposal:
    assert proposal.columns is not None
    while True:
        found = proposal.columns
        try:
            for role in ROLES:
                shown = f"Column of the {FLAGS.get(role, role)} (- for none)"
                said = typer.prompt(shown, default=found.said(role) or "-").strip()
                if said != (found.said(role) or "-"):
                    found = with_given(found, {role: said}, look)
            return mapped(proposal.source, proposal.name, require_complete(found, look), look, proposal.others)
        except UserError as error:
            typer.echo(str(error))


def _models(given: Given, asks: bool) -> Models:
    teacher, student = given.teacher, given.student
    if asks:
        teacher = teacher or typer.prompt("Teacher (a folder or hub id)", default=TEACHER).strip()
        student = student or typer.prompt("Student (a folder or hub id)", default=STUDENT).strip()
    return Models(teacher or TEACHER, student or STUDENT)


def _safe(text: str) -> str:
    return visible(" ".join(text.split()))


def _cut(text: str, width: int = WIDTH) -> str:
    line = _safe(text)
    return line if len(line) <= width else f"{line[: width // 2 - 2]} ... {line[3 - width // 2 :]}"
