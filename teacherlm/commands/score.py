"""Score completions against right answers: accuracy, contains_answer, correct_format, complete."""

from pathlib import Path
from typing import Annotated

import typer


def score(
    file: Annotated[
        Path, typer.Argument(help="JSON lines of {completion, answer}, a completion file of Fine-tune-CoT, or a folder of those.")
    ],
    rule: Annotated[
        str | None, typer.Option(help="How the answer is found: letter, number, yes_no, exact, hashes, or a dataset's key.")
    ] = None,
    prefix: Annotated[str | None, typer.Option(help="What must stand before the answer, such as '-->'.", metavar="TEXT")] = None,
    template: Annotated[str | None, typer.Option(help="Template of prediction that brings its prefix: ft_cot_token, ...")] = None,
    completion_key: Annotated[str, typer.Option("--completion-key", help="Key of the model's text.")] = "completion",
    gold_key: Annotated[str, typer.Option("--gold-key", help="Key of the right answer.")] = "answer",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Where neither `--rule` nor `--template` is given, each file's metadata or rows say it."""
    import json

    from teacherlm.errors import UserError
    from teacherlm.exports.completions import Reading, prefix_of, report, score_path, table

    if prefix is not None and template is not None:
        raise UserError("--prefix and --template say the same thing; give one of them.")
    wanted = prefix_of(template) if template is not None else None if prefix is None else (prefix,) if prefix else ()
    scored = score_path(file, Reading(rule, wanted, completion_key, gold_key))
    print(json.dumps(report(scored)) if as_json else table(scored))


COMMAND = score
