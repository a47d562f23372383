"""Real tokens a second of a training on CPU, in one run: ours (by length; packed), the original's way, and the limit.

    python benchmarks/train_throughput.py [--rows 1024] [--rounds 2] [--small]

Work: CREAK with its human explanations, GSM8K and Alpaca, drawn in proportion and prepared by `prepare`; loss on completions. A Llama of
25M random weights (--small: 1M), fp32; learning rate 0, so that all see the same weights and their losses can be compared. Batches of 64.
The original's way: random order, 8 rows at a time padded to the longest, tokenised as they come. The limit: forward and backward of
the model on batches without padding, as many tokens in micro-batches of 16 rows of the mean length, no optimizer, nothing else.
Aims: >= 1.9 x the original's way, >= 0.93 of the limit, padding <= 3 %, a start from the token cache >= 20 x faster than tokenising.
"""

import argparse
import copy
import os
import random
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from real_work import DATA, Clock, build_llama, ratio, show
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Trainer, TrainerCallback, TrainingArguments
from transformers.utils.logging import disable_progress_bar

from teacherlm.stages.prepare import PrepareConfig, prepare
from teacherlm.store.files import read_jsonl, write_jsonl
from teacherlm.training.arguments import build_arguments
from teacherlm.training.batches import MicroBatches, Rows, build_loader, cut
from teacherlm.training.checkpointing import Written
from teacherlm.training.encoding import encode
from teacherlm.training.families import IGNORE, Causal
from teacherlm.training.objectives.sft import SftSettings
from teacherlm.training.packing import pack_rows
from teacherlm.training.settings import Recipe
from teacherlm.training.sft import Sft
from teacherlm.training.texts import Text
from teacherlm.training.token_cache import Tokens, entry_name, read_or_make
from teacherlm.training.trainer import StudentTrainer

SOURCES = {"creak": "creak", "gsm8k": "gsm8k", "alpaca": "alpaca/alpaca_5000.json"}
COLUMN = {"creak": "explanation_head", "gsm8k": "explanation_head", "alpaca": "text"}
BATCH, THEIR_ROWS, SEED = 64, 8, 0


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rows", type=int, default=1024)
    words.add_argument("--rounds", type=int, default=2)
    words.add_argument("--small", action="store_true")
    given = words.parse_args()
    disable_progress_bar()
    everything = real_rows()
    tokenizer = train_tokenizer([row["text"] for row in everything])
    rows = random.Random(SEED).sample(everything, given.rows)
    model = small_llama(len(tokenizer)) if given.small else llama(len(tokenizer))
    texts = [Text(row["text"], len(row["prompt"]), f"row {i}") for i, row in enumerate(rows)]
    encoded = encode(texts, tokenizer, Sft(Causal()), Causal(), 2048)
    lengths = encoded.rows.costs.tolist()
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    print(
        f"{len(rows)} rows, {sum(lengths)} tokens: mean {statistics.mean(lengths):.0f}, longest {max(lengths)};"
        f" {millions:.1f}M weights, {torch.get_num_threads()} threads"
    )
    clocks = {name: Clock() for name in ("the original's way", "ours, by length", "ours, packed", "limit, dense batches")}
    losses: dict[str, float] = {}
    padding: dict[str, float] = {}
    for _ in range(given.rounds):
        for name, clock in clocks.items():
            if name.startswith("limit"):
                dense(copy.deepcopy(model), lengths, clock)
                continue
            train = theirs(rows, tokenizer) if "original" in name else ours(encoded.rows, tokenizer, "packed" in name)
            losses[name], padding[name] = train(copy.deepcopy(model), clock)
    for name, clock in clocks.items():
        told = f"  padding {padding[name]:.1%}, loss {losses[name]:.6f}" if name in losses else ""
        show(name, given.rounds * sum(lengths), clock)
        print(told) if told else None
    theirs_clock, limit = clocks["the original's way"], clocks["limit, dense batches"]
    for name in ("ours, by length", "ours, packed"):
        print(f"{name} over the original's way  {ratio(theirs_clock, clocks[name], '>= 1.9')}")
        print(f"{name}, share of the limit  {ratio(limit, clocks[name], '>= 0.93')}")
    print(f"original's way, share of the limit  {ratio(limit, theirs_clock, 'none')}")
    print(f"largest difference between losses  {max(losses.values()) - min(losses.values()):.1e}")
    measure_cache(everything, tokenizer)
    print(f"padding over one epoch of all {len(everything)} rows, by length  {padding_of(everything, tokenizer):.1%} (target <= 3 %)")


def padding_of(rows: list[dict[str, str]], tokenizer: Any) -> float:
    """By default: batches of 64, 16 rows at a time."""
    lengths = [len(ids) + 1 for ids in tokenizer([row["text"] for row in rows])["input_ids"]]
    batches = MicroBatches(lengths, cut(BATCH, None, None, 1), SEED)
    return 1 - sum(lengths) / sum(len(some) * max(lengths[i] for i in some) for some in batches)


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


def llama(pieces: int) -> Any:
    assert pieces <= 8192
    return build_llama(SEED).train()


def small_llama(pieces: int) -> Any:
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


def theirs(rows: list[dict[str, str]], tokenizer: Any) -> Any:
    class Tokenised(torch.utils.data.Dataset[Any]):
        """Tokenised as they come."""

        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, i: int) -> dict[str, list[int]]:
            ids = [*tokenizer(rows[i]["text"])["input_ids"], tokenizer.eos_token_id]
            prompt = tokenizer(rows[i]["prompt"])["input_ids"]
            border = next((at for at, (a, b) in enumerate(zip(ids, prompt, strict=False)) if a != b), min(len(ids), len(prompt)))
            return {"input_ids": ids, "labels": [IGNORE] * border + ids[border:]}

    places, counts = [0, 0], list[int]()

    def padded(batch: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        put = tokenizer.pad({"input_ids": [row["input_ids"] for row in batch]}, return_tensors="pt")
        width = put["input_ids"].shape[1]
        labels = torch.tensor([row["labels"] + [IGNORE] * (width - len(row["labels"])) for row in batch])
        places[0] += int(put["attention_mask"].sum())
        places[1] += put["input_ids"].numel()
        counts.append(int((labels[:, 1:] != IGNORE).sum()))
        return {**put, "labels": labels}

    def train(model: Any, clock: Clock) -> tuple[float, float]:
        seen = Losses()
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder, per_device_train_batch_size=THEIR_ROWS, gradient_accumulation_steps=BATCH // THEIR_ROWS,
                num_train_epochs=1, learning_rate=1e-9, save_strategy="no", logging_steps=1, report_to=[], disable_tqdm=True,
                use_cpu=True, remove_unused_columns=False, lr_scheduler_type="constant", seed=SEED,
            )  # fmt: skip
            trainer = Trainer(model=model, args=arguments, train_dataset=Tokenised(), data_collator=padded, callbacks=[seen])
            trainer.pop_callback(next(type(c) for c in trainer.callback_handler.callbacks if type(c).__name__ == "PrinterCallback"))
            with clock.measure():
                trainer.train()
        each = BATCH // THEIR_ROWS
        return weighted(seen.steps, [sum(counts[at : at + each]) for at in range(0, len(counts), each)]), 1 - places[0] / places[1]

    return train


def weighted(losses: list[float], weights: list[int]) -> float:
    """Mean over all tokens with loss."""
    return sum(loss * weight for loss, weight in zip(losses, weights, strict=False)) / sum(weights[: len(losses)])


def dense(model: Any, lengths: list[int], clock: Clock) -> None:
    width = round(statistics.mean(lengths))
    micro = torch.randint(2, model.config.vocab_size, (16, width))
    whole, rest = divmod(sum(lengths), micro.numel())
    model.train()
    with clock.measure():
        for size in [16] * whole + [max(1, round(rest / width))]:
            model(input_ids=micro[:size], labels=micro[:size], use_cache=False).loss.backward()


def measure_cache(rows: list[dict[str, str]], tokenizer: Any) -> None:
    texts = [Text(row["text"], len(row["prompt"]), f"row {i}") for i, row in enumerate(rows)]

    def make(folder: Path | None) -> Tokens:
        part = partial(encode, tokenizer=tokenizer, objective=Sft(Causal()), family=Causal(), limit=2048)
        return Tokens(
            part(texts, folder=folder and folder / "trained"), part([], folder=folder and folder / "held_out"), {"rows": len(texts)}
        )

    with tempfile.TemporaryDirectory() as folder:
        os.environ["TEACHERLM_CACHE"] = folder
        source = Path(folder, "rows.jsonl")
        write_jsonl(source, rows)
        tokenising, reading = Clock(), Clock()
        with tokenising.measure():
            made = read_or_make(entry_name(source, SftSettings(), tokenizer, Causal(), [], {}), make)
        with reading.measure():
            found = read_or_make(entry_name(source, SftSettings(), tokenizer, Causal(), [], {}), make)
            Rows(found.trained.rows, Causal()).lengths()
        assert all((a["input_ids"] == b["input_ids"]).all() for a, b in zip(made.trained.rows, found.trained.rows, strict=True))
    show(f"tokenise {len(rows)} rows", made.trained.tokens, tokenising)
    show("read them from the cache", made.trained.tokens, reading)
    print(f"cache over tokenising  {ratio(tokenising, reading, '>= 20')}")


if __name__ == "__main__":
    main()
