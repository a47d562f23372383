"""Look at a data file, propose how its columns are read and a pipeline for it, and write that as YAML; asks on a terminal."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def init(
    data: Annotated[str, typer.Argument(help="A file (.jsonl, .json, .csv, .parquet), a folder of them, or a hub name.")] = "",
    output: Annotated[Path, typer.Option("--output", "-o", help="The pipeline file to write.")] = Path("pipeline.yaml"),
    question: Annotated[str, typer.Option("--question", help="Column of the question.", metavar="COL")] = "",
    answer: Annotated[str, typer.Option("--answer", help="Column of the right answer.", metavar="COL")] = "",
    choices: Annotated[str, typer.Option("--choices", help="Column of the choices, or several: A,B,C,D; - for none.", metavar="COL")] = "",
    rationale: Annotated[str, typer.Option("--rationale", help="Column of an explanation that is there already.", metavar="COL")] = "",
    id_: Annotated[str, typer.Option("--id", help="Column of the id.", metavar="COL")] = "",
    dataset: Annotated[str, typer.Option("--dataset", help="Dataset that reads it, where it is not recognised.", metavar="NAME")] = "",
    teacher: Annotated[str, typer.Option("--teacher", help="Who explains: a folder, or a hub id.", metavar="MODEL")] = "",
    student: Annotated[str, typer.Option("--student", help="Who learns: a folder, or a hub id.", metavar="MODEL")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; what is proposed is right.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that is there already.")] = False,
    plugins: Annotated[list[str] | None, typer.Option("--plugins", help="Folder laid out like the rooms.", metavar="FOLDER")] = None,
) -> None:
    from teacherlm.log import quiet_libraries
    from teacherlm.proposing.asking import Given, init

    quiet_libraries()
    given = {"question": question, "answer": answer, "choices": choices, "explanation": rationale, "id": id_}
    columns = {role: words for role, words in given.items() if words}
    asks = not yes and sys.stdin.isatty() and sys.stdout.isatty()
    init(Given(data, output, columns, dataset, teacher, student, overwrite), asks)


COMMAND = init
