"""Texts of a student for one prompt, for a file, or in a talk: each question put as the student was taught."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from teacherlm import interrupt
from teacherlm.errors import Stopped, UserError
from teacherlm.log import progress, say
from teacherlm.records import Completion
from teacherlm.store.files import write_jsonl
from teacherlm.using.questions import Asked, read_questions
from teacherlm.using.student import Turn, build_engine, find_student, wording_of
from teacherlm.using.writing import Manner, Writer, to_stdout

INTERRUPTED = 130
NEW = "/new"
"""Typed in a talk: what was said before is forgotten."""


@dataclass(frozen=True)
class Wanted:
    """What was asked for on the command line; exactly one of prompt, input and neither (a talk, or what is piped in)."""

    model: str
    prompt: str | None = None
    input: Path | None = None
    output: Path | None = None
    split: str = ""
    choices: Sequence[str] = ()
    raw: bool = False
    template: str = ""
    engine: str = "transformers"
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the engine."""
    manner: Manner = field(default_factory=Manner)
    seed: int = 0


def generate(wanted: Wanted) -> None:
    """Writes to stdout, or for a file into its output. Raises: UserError, Stopped."""
    _require_sense(wanted)
    prompt = wanted.prompt
    if prompt is None and wanted.input is None and not sys.stdin.isatty():
        prompt = sys.stdin.read().rstrip("\n")
    if prompt is not None and not prompt.strip():
        raise UserError("there is nothing to ask: the prompt is empty.")
    student = find_student(wanted.model, str(wanted.settings.get("revision", "main")))
    wording = wording_of(student, wanted.raw, wanted.template)
    asked = read_questions(wanted.input, wanted.split, student, wording, wanted.raw) if wanted.input else []
    first = wording.prompt(prompt, wanted.choices) if prompt is not None else ""
    writer = Writer(build_engine(student, wanted.engine, wanted.settings, wording.chat, wanted.seed), student.name, wording, wanted.manner)
    try:
        if asked:
            _answer_file(writer, asked, wanted.output)
        elif prompt is not None:
            _answer_one(writer, first)
        else:
            _talk(writer, student.name)
    except KeyboardInterrupt:
        to_stdout("\n")
        raise Stopped("generate was ended by SIGINT.", INTERRUPTED) from None


def _require_sense(wanted: Wanted) -> None:
    if wanted.prompt is not None and wanted.input is not None:
        raise UserError("--prompt and --input: give one of them.")
    if wanted.output is not None and wanted.input is None:
        raise UserError("--output: is for the texts of a file (--input); a single text goes to stdout.")
    if wanted.choices and wanted.input is not None:
        raise UserError("--choices: of a file each row has its own `choices`.")
    if wanted.raw and (wanted.template or wanted.choices):
        raise UserError(f"--raw: asks the text as it stands; leave --{'template' if wanted.template else 'choices'} out.")
    if wanted.manner.samples > 1 and not wanted.manner.temperature:
        raise UserError("--samples: without --temperature all texts would be the same one.")


def _answer_one(writer: Writer, question: str) -> None:
    """Each sample behind the other, with an empty line between."""
    prompt = writer.prompt([{"role": "user", "content": question}])
    for number, request in enumerate(writer.requests(prompt)):
        to_stdout("\n" if number else "")
        told = writer.write_aloud(request, _without_first_space())
        to_stdout("\n" if told.finish != "error" else "")
        if told.finish == "error":
            raise UserError(f"{told.error}.")
        say(_about(told))


def _about(told: Completion) -> str:
    return f"{told.prompt_tokens} tokens read, {told.tokens} written{', cut off at the limit' if told.finish == 'length' else ''}."


def _without_first_space() -> Callable[[str], None]:
    """Most texts begin with the space behind their prompt."""
    begun = False

    def tell(piece: str) -> None:
        nonlocal begun
        piece = piece if begun else piece.lstrip()
        begun = begun or bool(piece)
        to_stdout(piece)

    return tell


def _answer_file(writer: Writer, asked: Sequence[Asked], output: Path | None) -> None:
    """A row for each question and sample, in the order of the file. Raises: Stopped, when a signal came, with what is done written."""
    prompts = [writer.prompt(one.turns) for one in asked]
    told: dict[tuple[str, int], Completion] = {}
    total = len(set(prompts)) * writer.manner.samples
    with interrupt.interruptible(), progress("generate", total, "texts") as bar:
        for request, completion in writer.write(prompts):
            told[request.prompt, request.sample] = completion
            bar.advance()
        reason = interrupt.wanted()
    rows = list(_rows(asked, prompts, told, writer.manner.samples))
    if output is not None:
        write_jsonl(output, rows)
    else:
        to_stdout("".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE).decode() for row in rows))
    failed = [row for row in rows if row["finish"] == "error"]
    if failed:
        say(f"{len(failed)} of {len(rows)} texts could not be written (id {failed[0]['id']}: {failed[0]['error']}).")
    if len(rows) < len(asked) * writer.manner.samples:
        raise Stopped(f"generate was ended by {reason}: {len(rows)} texts are written.", interrupt.exit_code(reason))


def _rows(
    asked: Sequence[Asked], prompts: Sequence[str], told: dict[tuple[str, int], Completion], samples: int
) -> Iterator[dict[str, Any]]:
    for one, prompt in zip(asked, prompts, strict=True):
        for sample in range(samples):
            completion = told.get((prompt, sample))
            if completion is None:
                continue
            row = {"id": one.id, "prompt": prompt, "text": completion.text, "tokens": completion.tokens, "finish": completion.finish}
            yield {**row, **({"sample": sample} if samples > 1 else {}), **({"error": completion.error} if completion.error else {})}


def _talk(writer: Writer, name: str) -> None:
    """Line by line until Ctrl-D. Ctrl-C ends the text that is being written, and between two texts the talk."""
    import readline  # noqa: F401  gives `input` a history and keys to move by

    kept = "it remembers the talk until /new" if writer.keeps_turns else "each question stands for itself"
    say(f"{name}: ask, {kept}; Ctrl-D ends.")
    turns: list[Turn] = []
    while (line := _typed()) is not None:
        if line == NEW or not writer.keeps_turns:
            turns = []
        if not line or line == NEW:
            continue
        turns.append({"role": "user", "content": writer.wording.prompt(line)})
        answer = _answer_aloud(writer, turns)
        if answer is None:
            turns.pop()
        else:
            turns.append({"role": "assistant", "content": answer.strip()})


def _typed() -> str | None:
    """None at the end."""
    try:
        return input("> ").strip()
    except EOFError:
        to_stdout("\n")
        return None


def _answer_aloud(writer: Writer, turns: Sequence[Turn]) -> str | None:
    """None where nothing was said."""
    try:
        told = writer.write_aloud(writer.requests(writer.prompt(turns))[0], _without_first_space())
    except KeyboardInterrupt:
        to_stdout(" ...\n")
        return None
    to_stdout("\n")
    if told.finish == "error":
        say(f"{told.error}.")
        return None
    return told.text
