"""Let a student write: for one prompt, for a file of questions, or in a talk; asked as it was taught."""

from pathlib import Path
from typing import Annotated

import typer


def generate(
    model: Annotated[
        str, typer.Option("--model", help="A finetune output (its last checkpoint), a checkpoint, a model folder, a hub id.", metavar="DIR")
    ],
    prompt: Annotated[str | None, typer.Option("--prompt", help="One question; else what is piped in; on a terminal a talk.")] = None,
    input_: Annotated[
        Path | None,
        typer.Option("--input", help="An output of prepare, or a file of rows with `question` (and `choices`), `messages` or `prompt`."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="File for the rows of --input: id, prompt, text, tokens, finish.")] = None,
    split: Annotated[str, typer.Option("--split", help="Of several splits of --input; by default test, else validation.")] = "",
    choices: Annotated[list[str] | None, typer.Option("--choices", help="Choices of --prompt: --choices a b c.")] = None,
    more_choices: Annotated[list[str] | None, typer.Argument(hidden=True, metavar="")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="The text as it stands, without the words that the student was taught with.")] = False,
    template: Annotated[str, typer.Option("--template", help="Ask by this template; by default the one it was taught by.")] = "",
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Longest text.")] = 256,
    temperature: Annotated[float, typer.Option("--temperature", min=0, help="0 is greedy.")] = 0.0,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Texts for each question.")] = 1,
    seed: Annotated[int, typer.Option("--seed", help="Decides what is drawn at a temperature.")] = 0,
    engine: Annotated[str, typer.Option("--engine", help="transformers or vllm; a student behind an API has its own.")] = "transformers",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="A setting of the engine: dtype=bfloat16, device=cpu.", metavar="KEY=VALUE")
    ] = None,
    plugins: Annotated[list[str] | None, typer.Option("--plugins", help="Folder laid out like the rooms.", metavar="FOLDER")] = None,
) -> None:
    """Texts go to stdout as they are written, all else to stderr. `--input` is the same rows in the same order."""
    from teacherlm.errors import UserError
    from teacherlm.log import quiet_libraries
    from teacherlm.parsing import assign, parse_assignment
    from teacherlm.using.generate import Wanted, generate
    from teacherlm.using.writing import Manner

    quiet_libraries()
    if more_choices and not choices:
        raise UserError(f"'{more_choices[0]}': is no option; give the question with --prompt, choices with --choices.")
    settings: dict[str, object] = {}
    for word in assignments or []:
        assign(settings, *parse_assignment(word))
    manner = Manner(max_new_tokens, temperature, samples)
    all_choices = [*(choices or []), *(more_choices or [])]
    generate(Wanted(model, prompt, input_, output, split, all_choices, raw, template, engine, settings, manner, seed))


COMMAND = generate
