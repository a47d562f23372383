"""Finetune files of Fine-tune-CoT: lines of {"prompt", "completion"} in one of its templates."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from teacherlm.errors import UserError, unknown
from teacherlm.exports.files import Row, read_rows, write_once
from teacherlm.exports.rationales import question_of
from teacherlm.store.sources import require

MODEL_TYPES = ("decoder", "encoder_decoder")
STOP = "END"
"""Ends a completion for models that learn when to stop; it is their stop sequence too."""


@dataclass(frozen=True)
class Format:
    """What a model reads, and what it learns to write ("" where it only is asked)."""

    prompt: str
    completion: str = ""


FORMATS: Mapping[str, Mapping[str, Format]] = {
    "decoder": {
        "zs": Format("Q: {question}\n\nA:"),
        "zs_cot": Format("Q: {question}\nA: Let's think step by step."),
        "ft_natural": Format("Q: {question}\n\nA:", " {answer}"),
        "ft_token": Format("{question} ###", " {answer}"),
        "ft_cot_token": Format("{question} ###", " {rationale} --> {answer}"),
        "ft_cot_natural": Format("Q: {question}\n\nA: Let's think step by step.\n\n", " {rationale}\n\nTherefore the answer is {answer}"),
    },
    "encoder_decoder": {
        "zs": Format("question: {question}"),
        "ft_natural": Format("Q: {question}", "{answer}"),
        "ft_token": Format("{question}", "{answer}"),
        "ft_cot_token": Format("{question}", "{rationale} --> {answer}"),
    },
}


def prompt_completion(template: str, model_type: str, question: str, answer: str, rationale: str = "", stop: str = STOP) -> dict[str, str]:
    """One line. Raises: UserError for a template that is unknown, teaches nothing, or is not made for that type of model."""
    if model_type not in FORMATS:
        raise unknown("model type", model_type, FORMATS)
    taught = {name: form for name, form in FORMATS[model_type].items() if form.completion}
    if template not in taught:
        raise unknown(f"template for a {model_type}", template, taught)
    words = {"question": question.strip(), "answer": answer.strip(), "rationale": rationale.strip()}
    form = taught[template]
    ending = f" {stop}" if stop else ""
    return {"prompt": form.prompt.format(**words), "completion": form.completion.format(**words) + ending}


def write_prompt_completion(
    source: Path, output: Path, template: str, model_type: str = "decoder", kind: str = "cot", stop: str = STOP, overwrite: bool = False
) -> int:
    """Examples (a folder of `postprocess`, or JSON lines) as a finetune file; returns how many lines.

    Raises: UserError when another content lies there.
    """
    counted = Counter[str]()
    lines = (_line(row, where, template, model_type, kind, stop) for where, row in read_rows(source))
    write_once(output, _joined(lines, counted), overwrite)
    return counted["lines"]


def _line(row: Row, where: str, template: str, model_type: str, kind: str, stop: str) -> dict[str, str]:
    explained = template in FORMATS.get(model_type, {}) and "{rationale}" in FORMATS[model_type][template].completion
    rationale = str(require(row, kind, where) or "") if explained else ""
    if explained and not rationale.strip():
        raise UserError(f"{where}: column '{kind}' is empty; template {template} needs a rationale.")
    return prompt_completion(template, model_type, question_of(row, where), str(require(row, "answer", where)), rationale, stop)


def _joined(lines: Iterable[dict[str, str]], counted: Counter[str]) -> Iterator[bytes]:
    """As the original writes them: no line break after the last."""
    for line in lines:
        yield b"\n" * bool(counted["lines"]) + json.dumps(line).encode()
        counted["lines"] += 1
