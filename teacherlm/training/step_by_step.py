"""Distilling step-by-step: a row gives a label task and a rationale task, told apart by what stands before the prompt."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.prompts import clean, find_template, template
from teacherlm.training.families import FOLLOWS, IGNORE, Batch, Family, Row
from teacherlm.training.objective import Example, Join
from teacherlm.training.sft import wide
from teacherlm.training.texts import Reader, Table, Text, build_texts, require_column, values

LABEL, RATIONALE = "label", "rationale"
DEFAULT_TEMPLATE = "teacherlm"
"""Names the tasks of rows that follow no template of ours."""
TASK = "task"
"""Column of the texts that are made of a table's rows."""


@dataclass(frozen=True)
class StepByStep:
    """loss = alpha * label + (1 - alpha) * rationale, each the mean over its own tokens of the whole optimizer step."""

    family: Family
    alpha: float

    def encode(self, example: Example, join: Join) -> list[Row]:
        return [{**join(example.prompt, example.target), FOLLOWS: int(example.part == RATIONALE)}]

    def refresh(self, model: Any, batch: Batch) -> Batch:
        return batch

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        tokens, rationale = _tokens(batch), batch[FOLLOWS] > 0
        return {LABEL: tokens[~rationale].sum(), RATIONALE: tokens[rationale].sum()}

    def sums(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        logits, labels = self.family.predicted(model, batch)
        losses = F.cross_entropy(wide(logits), labels, reduction="none")
        rationale = torch.repeat_interleave(batch[FOLLOWS] > 0, _tokens(batch))
        # A sum over nothing still depends on the model: all processes must take part in every backward pass.
        return {LABEL: torch.where(rationale, 0.0, losses).sum(), RATIONALE: torch.where(rationale, losses, 0.0).sum()}

    def weights(self) -> dict[str, float]:
        return {LABEL: self.alpha, RATIONALE: 1 - self.alpha}


def _tokens(batch: Batch) -> Tensor:
    """Tokens with loss of each row [rows]; a family's `predicted` gives them row by row."""
    return (batch["labels"] != IGNORE).sum(dim=1)


def build_tasks(table: Table, column: str, rationale: str, completion_only: bool, reader: Reader | None) -> list[Text]:
    """Of each row the label's text, and behind it the rationale's where there is one.

    Raises: UserError as `build_texts` does, for a missing column of rationales, and where no row has one.
    """
    require_column(table, column)
    require_column(table, rationale)
    if "prompt" not in table.columns:
        raise UserError(f"{table.path}: no column 'prompt', so a label and a rationale cannot be asked for.")
    checked = build_texts(table, column, True, reader)  # as plain sft reads it, with its messages
    told = [_told(value, table.where(i), rationale) for i, value in enumerate(values(table, rationale))]
    explained = [i for i, text in enumerate(told) if text]
    if not explained:
        raise UserError(f"{table.path}: column '{rationale}' is empty in all {len(told)} rows, so there is nothing to explain.")
    if len(explained) < len(told):
        say(f"{len(told) - len(explained)} of {len(told)} rows have no rationale ('{rationale}' is empty): they give only the label task.")
    completions = [_completion(prompt, text) for prompt, text in zip(values(table, "prompt"), values(table, column), strict=True)]
    labels = _texts(table, LABEL, dict(enumerate(completions)), completion_only, reader)
    rationales = _texts(table, RATIONALE, {i: told[i] for i in explained}, completion_only, reader)
    return [
        replace(texts[i], where=checked[i].where, part=part)
        for i in range(len(told))
        for part, texts in ((LABEL, labels), (RATIONALE, rationales))
        if i in texts
    ]


def _told(value: Any, where: str, column: str) -> str:
    if value is not None and not isinstance(value, str):
        raise UserError(f"{where}: column '{column}' is {type(value).__name__}, expected text.")
    return clean(value or "")


def _completion(prompt: str, text: str) -> str:
    """What `build_texts` found to follow the prompt."""
    return text[len(prompt) :] if text.startswith(prompt) else text[len(clean(prompt)) :]


def _texts(table: Table, part: str, completions: Mapping[int, str], only: bool, reader: Reader | None) -> dict[int, Text]:
    """Row number -> its text for this task."""
    rows = list(_rows(table, part, completions))
    columns = tuple(rows[0])
    lines = [table.lines[i] for i in completions] if table.lines else ()
    return dict(zip(completions, build_texts(Table(rows, columns, table.path, lines), TASK, only, reader), strict=True))


def _rows(table: Table, part: str, completions: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    """Rows whose prompt, and last question of a conversation, begins with the task's name."""
    kept = [name for name in ("id", "template", "messages") if name in table.columns]
    for i, completion in completions.items():
        row = table.rows[i]
        prefix = _prefix(str(row.get("template") or ""), part)
        prompt = prefix + row["prompt"]
        own: dict[str, Any] = {name: row[name] for name in kept}
        if own.get("messages"):
            own["messages"] = _asked(own["messages"], prefix)
        space = "" if part == LABEL or prompt[-1:].isspace() else " "
        yield {**own, "prompt": prompt, TASK: prompt + space + completion}


def _asked(messages: Sequence[Mapping[str, str]], prefix: str) -> list[Mapping[str, str]]:
    last = max((i for i, turn in enumerate(messages) if turn["role"] == "user"), default=-1)
    return [{**turn, "content": prefix + turn["content"]} if i == last else turn for i, turn in enumerate(messages)]


def _prefix(spec: str, part: str) -> str:
    chosen = find_template(spec) if spec else None
    return (chosen or template(DEFAULT_TEMPLATE)).objective_prefix(part)


def label_prefix(templates: Sequence[str]) -> str:
    """What stands before a prompt that asks for the label. Raises: UserError where the templates do not agree."""
    found = {_prefix(spec, "label") for spec in templates or [""]}
    if len(found) > 1:
        raise UserError(f"the rows' templates name the label task differently ({', '.join(sorted(found))}); train them apart.")
    return found.pop()
