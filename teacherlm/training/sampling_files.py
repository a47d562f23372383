"""Texts that a student in training writes for rows it is not trained on: `samples/temperature=0.80_n=8_step=100.json`."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.errors import UserError
from teacherlm.log import progress, say
from teacherlm.records import TOO_LONG, Load, Request, Sampling
from teacherlm.store.files import write_json
from teacherlm.training.texts import Text
from teacherlm.training.watched import SamplesSettings

FOLDER = "samples"
Scores = Callable[[Any, Sequence[Text]], list[list[float]]]
"""The model and texts -> the logits of an objective's own words behind each prompt."""


@dataclass(frozen=True)
class Sampled:
    """A row to write for."""

    text: Text
    row: Mapping[str, Any]
    """As it stands in the dataset."""

    @property
    def prompt(self) -> str:
        return self.text.text[: self.text.start]

    @property
    def demonstration(self) -> str:
        return self.text.text[self.text.start :]


def file_name(settings: SamplesSettings, step: int) -> str:
    return f"temperature={settings.temperature:.2f}_n={settings.n}_step={step}.json"


def write_samples(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Sampled],
    settings: SamplesSettings,
    seed: int,
    folder: Path,
    step: int,
    scores: Scores | None,
) -> None:
    """A list of {prompt, generations, demonstration, orig_d}; a generation is {lm_postprocess, scores, full_generated}.

    `full_generated` is what was written up to its end token or limit, `lm_postprocess` the same without space around it. `scores` are
    the logits of the words that a regression is read from, else null. The same model writes the same.
    """
    told = _write(model, tokenizer, rows, settings, seed)
    words = scores(model, [row.text for row in rows]) if scores else [None] * len(rows)
    found = [
        {
            "prompt": row.prompt,
            "generations": [{"lm_postprocess": text.strip(), "scores": score, "full_generated": text} for text in texts],
            "demonstration": row.demonstration,
            "orig_d": dict(row.row),
        }
        for row, texts, score in zip(rows, told, words, strict=True)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / file_name(settings, step), found)


def _write(model: Any, tokenizer: Any, rows: Sequence[Sampled], settings: SamplesSettings, seed: int) -> list[list[str]]:
    """By row its texts. Rows may have the same prompt: each has samples of its own."""
    identity = f"seed {seed}"
    engine = TransformersEngine(model, copy.deepcopy(tokenizer), identity, Load())
    each = 1 if settings.temperature == 0 else settings.n  # the likeliest text is the same each time
    told: list[list[str]] = [[""] * each for _ in rows]
    too_long: set[int] = set()
    with progress("samples", len(rows) * each, "texts") as bar:
        for rendered in (False, True):  # a chat has its special tokens in the text
            engine.texts.rendered = rendered
            asked: dict[str, tuple[int, int]] = {}
            requests = []
            for i, row in enumerate(rows):
                for k in range(each) if bool(row.text.spans) == rendered else ():
                    request = Request(row.prompt, settings.max_new_tokens, Sampling(settings.temperature), sample=i * each + k)
                    asked[request.key(identity)] = (i, k)
                    requests.append((request.key(identity), request))
            for one in engine.complete(requests):
                i, k = asked[one.key]
                if one.error.startswith(TOO_LONG):
                    too_long.add(i)
                elif one.finish == "error":
                    raise UserError(f"{rows[i].text.where}: {one.error}")
                told[i][k] = one.text
                bar.advance()
    if too_long:
        say(f"samples: nothing is written for {len(too_long)} rows whose prompts fill the student's context.")
    return [texts * (settings.n // each) for texts in told]


def word_scores(objective: Any, tokenizer: Any, family: Any, words: tuple[int, int], device: torch.device) -> Scores:
    """Of a regression: the logits of its two words where it is read."""

    def scored(model: Any, texts: Sequence[Text]) -> list[list[float]]:
        from teacherlm.training.encoding import encode

        rows = encode(texts, tokenizer, objective, family, 2**31).rows
        found: list[list[float]] = []
        model.eval()
        for at in range(0, len(rows), 32):
            batch = family.batch([rows[i] for i in range(at, min(at + 32, len(rows)))], tokenizer.pad_token_id)
            logits, _ = family.predicted(model, {name: value.to(device) for name, value in batch.items()})
            found += logits[:, list(words)].float().tolist()
        return found

    return scored
