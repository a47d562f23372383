"""Score completions against right answers: accuracy, contains_answer, correct_format, complete; of a folder a paper's table."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def score(
    file: Annotated[
        Path,
        typer.Argument(
            help="JSON lines of {completion, answer}, a completion file of Fine-tune-CoT, a log of zero-shot-CoT, or a folder of those "
            "and of outputs of evaluate."
        ),
    ],
    rule: Annotated[
        str | None, typer.Option(help="How the answer is found: letter, number, yes_no, exact, hashes, or a dataset's key.")
    ] = None,
    prefix: Annotated[str | None, typer.Option(help="What must stand before the answer, such as '-->'.", metavar="TEXT")] = None,
    template: Annotated[str | None, typer.Option(help="Template of prediction that brings its prefix: ft_cot_token, ...")] = None,
    completion_key: Annotated[str, typer.Option("--completion-key", help="Key of the model's text.")] = "completion",
    gold_key: Annotated[str, typer.Option("--gold-key", help="Key of the right answer.")] = "answer",
    form: Annotated[
        Literal["files", "table", "markdown", "csv"] | None,
        typer.Option(
            "--format",
            help="files: the four measures of each file. table, markdown, csv: a row for each method, a column for each dataset. "
            "By default the table of a folder whose files say whose they are, else files.",
        ),
    ] = None,
    epoch: Annotated[
        Literal["last", "best"],
        typer.Option(help="Of several epochs the one in the table; the best one is marked, it was chosen by these very questions."),
    ] = "last",
    as_json: Annotated[bool, typer.Option("--json", help="The measures of each file as one JSON object.")] = False,
) -> None:
    """Where neither `--rule` nor `--template` is given, each file's metadata or rows say it."""
    import json

    from teacherlm.errors import UserError
    from teacherlm.exports.completions import Reading, prefix_of, report, score_path, table
    from teacherlm.exports.results_table import build_table, is_in_a_table, written

    if prefix is not None and template is not None:
        raise UserError("--prefix and --template say the same thing; give one of them.")
    if as_json and form not in (None, "files"):
        raise UserError("--json is for the measures of each file; for a table choose --format csv.")
    wanted = prefix_of(template) if template is not None else None if prefix is None else (prefix,) if prefix else ()
    scored = score_path(file, Reading(rule, wanted, completion_key, gold_key))
    chosen = form or ("table" if file.is_dir() and not as_json and is_in_a_table(scored) else "files")
    if chosen != "files":
        print(written(build_table(scored, file, epoch), chosen))
    else:
        print(json.dumps(report(scored)) if as_json else table(scored))


COMMAND = score
