"""What the training benchmarks share: a real mix of rows, a model, our training of it, and which rows a run of minutes takes.

Rows: CREAK with its human explanations, GSM8K and Alpaca, all of them, prepared by `prepare`; loss on completions. A Llama of 25M random
weights (small: 1M), fp32; learning rate 1e-9, so that all see the same weights and their losses can be compared. 64 rows a step.
"""

import random
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from real_work import DATA, Clock, build_llama
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback

from teacherlm.stages.prepare import PrepareConfig, prepare
from teacherlm.store.files import read_jsonl
from teacherlm.training.arguments import build_arguments
from teacherlm.training.batches import MicroBatches, Rows, build_loader, cut
from teacherlm.training.checkpointing import Written
from teacherlm.training.families import IGNORE, Causal
from teacherlm.training.packing import pack_rows
from teacherlm.training.settings import Recipe
from teacherlm.training.sft import Sft
from teacherlm.training.trainer import StudentTrainer

SOURCES = {"creak": "creak", "gsm8k": "gsm8k", "alpaca": "alpaca/alpaca_5000.json"}
COLUMN = {"creak": "explanation_head", "gsm8k": "explanation_head", "alpaca": "text"}
BATCH, SEED = 64, 0


def token_counts(rows: list[dict[str, str]], tokenizer: Any) -> list[int]:
    return [len(ids) + 1 for ids in tokenizer([row["text"] for row in rows])["input_ids"]]


def drawn_rows(lengths: Sequence[int], batches: int, turn: int, turns: int) -> list[int]:
    """Indices of `batches` x 64 rows, shuffled; each turn has others.

    They are whole micro-batches of an epoch of ours over all rows, evenly spaced by length: a plain sample of some hundred rows would be
    padded as no epoch of thousands is.
    """
    pieces = cut(BATCH, None, None, 1)
    found = sorted((some for some in MicroBatches(lengths, pieces, SEED) if len(some) == pieces.micro), key=lambda some: lengths[some[0]])
    count = batches * pieces.accumulation
    places = (len(found) * (at * turns + turn + 0.5) / (count * turns) for at in range(count))
    chosen = [i for place in places for i in found[int(place)]]
    random.Random(SEED).shuffle(chosen)
    return chosen


def real_rows() -> list[dict[str, str]]:
    """{prompt, text}, as `prepare` writes them."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, place in SOURCES.items():
            output = Path(folder, name)
            settings: dict[str, Any] = {"dataset": name, "source": str(DATA / place), "output": output, "on_bad_row": "drop"}
            settings["explanations"] = COLUMN[name] != "text"
            prepare(PrepareConfig.model_validate(settings))
            (file,) = (path for path in output.glob("*.jsonl") if path.name != "dropped.jsonl")
            texts = ((row["prompt"], row[COLUMN[name]]) for _, row in read_jsonl(file))
            found += [{"prompt": prompt, "text": text} for prompt, text in texts if text and text.startswith(prompt)]
    return found


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    pieces = ByteLevelBPETokenizer()
    pieces.train_from_iterator(texts, vocab_size=8192, special_tokens=["<pad>", "<eos>"], show_progress=False)
    return PreTrainedTokenizerFast(tokenizer_object=pieces._tokenizer, pad_token="<pad>", eos_token="<eos>", padding_side="right")


def llama(pieces: int, small: bool = False) -> Any:
    assert pieces <= 8192
    if not small:
        return build_llama(SEED).train()
    torch.manual_seed(SEED)
    shape = {"hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaForCausalLM(LlamaConfig(vocab_size=pieces, max_position_embeddings=2048, tie_word_embeddings=True, **shape))


class Losses(TrainerCallback):  # type: ignore[misc]
    """Of every step."""

    def __init__(self) -> None:
        self.steps: list[float] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if logs and "loss" in logs:
            self.steps.append(float(logs["loss"]))


def ours(rows: Any, tokenizer: Any, packing: bool) -> Any:
    def train(model: Any, clock: Clock) -> tuple[float, float]:
        family = Causal(packing=packing)
        if packing:
            pack_rows(model)
        pieces = cut(BATCH, None, None, 1)
        recipe = Recipe(learning_rate=1e-9, epochs=1, batch_size=BATCH, logging_steps=1, seed=SEED)
        with tempfile.TemporaryDirectory() as folder:
            arguments = build_arguments(recipe, Path(folder), pieces, "run", None)
            table = Rows(rows, family)
            batches = MicroBatches(table.lengths(), pieces, SEED)
            loader = build_loader(table, batches, partial(family.batch, pad=tokenizer.pad_token_id))
            trainer = StudentTrainer(Sft(family), loader, Path(folder), Written({}, 1), model=model, args=arguments)
            seen = Losses()
            trainer.add_callback(seen)
            with clock.measure():
                trainer.train()
        weights = [sum(int((rows[i]["labels"] != IGNORE).sum()) for i in batch) for batch in batches.batches()]
        return weighted(seen.steps, weights), trainer.tally.padding

    return train


def weighted(losses: list[float], weights: list[int]) -> float:
    """Mean over all tokens with loss."""
    return sum(loss * weight for loss, weight in zip(losses, weights, strict=False)) / sum(weights[: len(losses)])
