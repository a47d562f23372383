"""Real tokens a second of a training on CPU, in one run: ours (by length; packed), the original's way, and the limit.

    OMP_NUM_THREADS=1 python benchmarks/train_throughput.py [--batches 4] [--rounds 2] [--small]

Work: that of train_work.py; every round all train on the same rows, in turn forwards and backwards.
The original's way: random order, 8 rows at a time padded to the longest, tokenised as they come. The limit: forward and backward of
the model on batches without padding, as many tokens in micro-batches of 16 rows of the mean length, each token with loss, no optimizer,
nothing else. Ours sends only the tokens with loss through the head; "limit, same tokens with loss" does that too.
Aims: >= 1.9 x the original's way, >= 0.93 of the limit, padding <= 3 %, a start from the token cache >= 20 x faster than tokenising.
"""

import argparse
import copy
import os
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from real_work import Clock, ratio, show
from train_work import BATCH, SEED, Losses, drawn_rows, llama, ours, real_rows, token_counts, train_tokenizer, weighted
from transformers import Trainer, TrainingArguments
from transformers.utils.logging import disable_progress_bar

from teacherlm.store.files import write_jsonl
from teacherlm.training.batches import MicroBatches, Rows, cut
from teacherlm.training.encoding import encode
from teacherlm.training.families import IGNORE, Causal
from teacherlm.training.objectives.sft import SftSettings
from teacherlm.training.sft import Sft
from teacherlm.training.texts import Text
from teacherlm.training.token_cache import Tokens, entry_name, read_or_make

THEIR_ROWS = 8
THEIRS, BY_LENGTH, PACKED, LIMIT, SAME = "the original's way", "ours, by length", "ours, packed", "limit", "limit, same tokens with loss"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--batches", type=int, default=4)
    words.add_argument("--rounds", type=int, default=2)
    words.add_argument("--small", action="store_true")
    given = words.parse_args()
    disable_progress_bar()
    everything = real_rows()
    tokenizer = train_tokenizer([row["text"] for row in everything])
    lengths = token_counts(everything, tokenizer)
    print(f"{len(everything)} rows: mean {statistics.mean(lengths):.0f} tokens, longest {max(lengths)}; padding over an epoch of them:")
    print(f"  by length {padding_by_length(lengths):.1%} (target <= 3 %), random order {padding_at_random(lengths):.1%}")
    measure_cache(everything, tokenizer)
    model = llama(len(tokenizer), given.small)
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    print(f"{millions:.1f}M weights, {torch.get_num_threads()} threads")
    clocks = {name: Clock() for name in (THEIRS, BY_LENGTH, PACKED, LIMIT, SAME)}
    tokens = 0
    for turn in range(given.rounds):
        rows = [everything[i] for i in drawn_rows(lengths, given.batches, turn, given.rounds)]
        tokens += round_of(rows, tokenizer, model, clocks, backwards=turn % 2 == 1)
        for name, clock in clocks.items():
            show(name, tokens, clock)
        for name in (BY_LENGTH, PACKED):
            print(f"{name} over the original's way  {ratio(clocks[THEIRS], clocks[name], '>= 1.9')}")
            print(f"{name}, share of the limit  {ratio(clocks[LIMIT], clocks[name], '>= 0.93')}")
            print(f"{name}, share of the {SAME}  {ratio(clocks[SAME], clocks[name], 'none')}")
        print(f"original's way, share of the limit  {ratio(clocks[LIMIT], clocks[THEIRS], 'none')}", flush=True)


def round_of(rows: list[dict[str, str]], tokenizer: Any, model: Any, clocks: dict[str, Clock], backwards: bool) -> int:
    """Each once on these rows; returns how many tokens they have."""
    texts = [Text(row["text"], len(row["prompt"]), f"row {i}") for i, row in enumerate(rows)]
    encoded = encode(texts, tokenizer, Sft(Causal()), Causal(), 2048)
    lengths = encoded.rows.costs.tolist()
    share = sum(int((row["labels"] != IGNORE).sum()) for row in encoded.rows) / sum(lengths)
    print(f"{len(rows)} rows: mean {statistics.mean(lengths):.0f} tokens, longest {max(lengths)}, {share:.0%} of them with loss")
    train: dict[str, Any] = {
        THEIRS: theirs(rows, tokenizer), BY_LENGTH: ours(encoded.rows, tokenizer, False), PACKED: ours(encoded.rows, tokenizer, True),
        LIMIT: partial(dense, lengths, 1.0), SAME: partial(dense, lengths, share),
    }  # fmt: skip
    told = {name: train[name](copy.deepcopy(model), clocks[name]) for name in (reversed(train) if backwards else train)}
    for name in (THEIRS, BY_LENGTH, PACKED):
        print(f"  {name}: padding {told[name][1]:.1%}, loss {told[name][0]:.6f}", flush=True)
    return sum(lengths)


def padding_by_length(lengths: list[int]) -> float:
    """By default: batches of 64, 16 rows at a time."""
    batches = MicroBatches(lengths, cut(BATCH, None, None, 1), SEED)
    return 1 - sum(lengths) / sum(len(some) * max(lengths[i] for i in some) for some in batches)


def padding_at_random(lengths: list[int]) -> float:
    shuffled = [lengths[i] for i in torch.randperm(len(lengths), generator=torch.Generator().manual_seed(SEED)).tolist()]
    batches = [shuffled[at : at + THEIR_ROWS] for at in range(0, len(shuffled), THEIR_ROWS)]
    return 1 - sum(lengths) / sum(len(some) * max(some) for some in batches)


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


def dense(lengths: list[int], share: float, model: Any, clock: Clock) -> None:
    """`share` of the tokens have loss, and go through the head."""
    width = round(statistics.mean(lengths))
    kept = torch.arange(max(1, round(share * width)))
    micro = torch.randint(2, model.config.vocab_size, (16, width))
    whole, rest = divmod(sum(lengths), micro.numel())
    with clock.measure():
        for size in [16] * whole + [max(1, round(rest / width))]:
            logits = model(input_ids=micro[:size], use_cache=False, logits_to_keep=kept).logits
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), micro[:size, kept].flatten()).backward()


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
