"""Read another system's file into rows that `postprocess` takes: distilabel, curator, finetune_cot, zero_shot_cot."""

from pathlib import Path
from typing import Annotated

import typer


def import_(
    what: Annotated[
        str,
        typer.Argument(
            help="distilabel or curator (a saved dataset, parquet, .arrow or .jsonl), finetune_cot (a completion file), "
            "zero_shot_cot (a log).",
            metavar="FORMAT",
        ),
    ],
    file: Annotated[Path, typer.Argument(help="The file or folder to read.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .jsonl to write.")],
    dataset_key: Annotated[
        str | None, typer.Option("--dataset-key", help="zero_shot_cot: the dataset, where a log has lost its head: multiarith, ...")
    ] = None,
    questions: Annotated[
        Path | None, typer.Option(help="distilabel, curator: prepared questions with the right answers, found by text or id.")
    ] = None,
    answer_column: Annotated[str, typer.Option("--answer-column", help="Or the column with the right answer.")] = "",
    choices_column: Annotated[str, typer.Option("--choices-column", help="Column with the choices, where there are any.")] = "",
    question_column: Annotated[
        str, typer.Option("--question-column", help="Column with what the teacher read: instruction, prompt or messages by default.")
    ] = "",
    rationale_column: Annotated[
        str, typer.Option("--rationale-column", help="Column with what it wrote: generation or response by default.")
    ] = "",
    teacher_column: Annotated[str, typer.Option("--teacher-column", help="Column with its name; model_name by default.")] = "",
    id_column: Annotated[str, typer.Option("--id-column", help="Column with the question's id.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output with other content.")] = False,
) -> None:
    from teacherlm.exports.generated import Columns
    from teacherlm.exports.imports import import_file
    from teacherlm.log import say

    columns = Columns(question_column, answer_column, choices_column, rationale_column, teacher_column, id_column, questions)
    count = import_file(what, file, output, dataset_key, overwrite, columns)
    say(f"import: {count} rows written into {output}.")


COMMAND = import_
