"""Finetune files of Fine-tune-CoT: lines of {"prompt", "completion"} in one of its templates."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from teacherlm.errors import UserError, unknown
from teacherlm.exports.files import Row, read_rows, write_once
from teacherlm.exports.rationales import question_of
from teacherlm.prompts import template
from teacherlm.records import Question
from teacherlm.store.sources import require

STOP = "END"
"""Ends a completion for models that learn when to stop; it is their stop sequence too."""


TAUGHT: Mapping[str, tuple[str, ...]] = {
    "decoder": ("ft_natural", "ft_token", "ft_cot_token", "ft_cot_natural"),
    "encoder_decoder": ("ft_natural", "ft_token", "ft_cot_token"),
}
"""By type of model, the templates that teach it something; their words are in `templates/`."""
EXPLAINED = ("ft_cot_token", "ft_cot_natural")
"""Those that need a rationale."""


def prompt_completion(name: str, model_type: str, question: str, answer: str, rationale: str = "", stop: str = STOP) -> dict[str, str]:
    """One line. Raises: UserError for a template that is unknown, teaches nothing, or is not made for that type of model."""
    if model_type not in TAUGHT:
        raise unknown("model type", model_type, TAUGHT)
    if name not in TAUGHT[model_type]:
        raise unknown(f"template for a {model_type}", name, TAUGHT[model_type])
    settings = {"stop": stop, **({} if model_type == "decoder" else {"model_type": model_type})}
    words = template(name + json.dumps(settings))
    prompt, stated = words.prompt(Question(question, answer)), words.answer(answer, ())
    text = words.head(prompt, stated, "cot", rationale) if name in EXPLAINED else prompt + stated
    return {"prompt": prompt, "completion": text.removeprefix(prompt)}


def write_prompt_completion(
    source: Path, output: Path, name: str, model_type: str = "decoder", kind: str = "cot", stop: str = STOP, overwrite: bool = False
) -> int:
    """Examples (a folder of `postprocess`, or JSON lines) as a finetune file; returns how many lines.

    Raises: UserError when another content lies there.
    """
    counted = Counter[str]()
    lines = (_line(row, where, name, model_type, kind, stop) for where, row in read_rows(source))
    write_once(output, _joined(lines, counted), overwrite)
    return counted["lines"]


def _line(row: Row, where: str, name: str, model_type: str, kind: str, stop: str) -> dict[str, str]:
    explained = name in TAUGHT.get(model_type, ()) and name in EXPLAINED
    rationale = str(require(row, kind, where) or "") if explained else ""
    if explained and not rationale.strip():
        raise UserError(f"{where}: column '{kind}' is empty; template {name} needs a rationale.")
    return prompt_completion(name, model_type, question_of(row, where), str(require(row, "answer", where)), rationale, stop)


def _joined(lines: Iterable[dict[str, str]], counted: Counter[str]) -> Iterator[bytes]:
    """As the original writes them: no line break after the last."""
    for line in lines:
        yield b"\n" * bool(counted["lines"]) + json.dumps(line).encode()
        counted["lines"] += 1
