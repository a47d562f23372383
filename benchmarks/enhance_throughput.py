"""Greedy enhance of 256 CREAK prompts, 64 new tokens: the transformers engine against a loop at batch size 1; one run, one process.

    python benchmarks/enhance_throughput.py [--rows 256] [--tokens 64] [--batch-tokens 16384]

Prints both times, their ratio (target: >= 10) and how many texts differ (target: 0). Both use the same threads (OMP_NUM_THREADS).
The engine runs before, amid and after the loop (its mean counts), so that other work on the machine meets both.
Real data: TEACHERLM_TEST_DATA, or ../shared.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from teacherlm.engines.bodies.loading import load_model
from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.prompts import TEXT_COLUMN
from teacherlm.records import Load, Request
from teacherlm.stages.prepare import PrepareConfig, prepare
from teacherlm.store.files import read_jsonl

REPOSITORY = Path(__file__).resolve().parent.parent


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rows", type=int, default=256)
    words.add_argument("--tokens", type=int, default=64)
    words.add_argument("--batch-tokens", type=int, default=Load().tokens)
    given = words.parse_args()
    data = Path(os.environ.get("TEACHERLM_TEST_DATA", REPOSITORY.parent / "shared"))
    prompts = creak_prompts(data / "data" / "creak", given.rows)
    model, tokenizer = load_model(str(data / "models" / "stories260k"), "main", "float32", "cpu", False)
    engine = TransformersEngine(model, tokenizer, "stories260k", Load(given.batch_tokens))
    one_by_one(model, tokenizer, prompts[:2], 4)  # whatever is built at first use is built before the clock runs
    batched(engine, prompts[:2], 4)

    half = len(prompts) // 2
    runs = [batched(engine, prompts, given.tokens)]
    theirs, first_half = one_by_one(model, tokenizer, prompts[:half], given.tokens)
    runs.append(batched(engine, prompts, given.tokens))
    rest, second_half = one_by_one(model, tokenizer, prompts[half:], given.tokens)
    runs.append(batched(engine, prompts, given.tokens))
    ours, theirs = runs[0][0], theirs + rest
    our_clock, loop_clock = total([clock for _, clock in runs], len(runs)), total([first_half, second_half], 1)
    written = sum(len(ids) for ids in theirs)
    differing = sum(one != other for one, other in zip(ours, (tokenizer.decode(ids) for ids in theirs), strict=True))
    print(f"{len(prompts)} prompts, {written} tokens, {torch.get_num_threads()} threads")
    for label, clock in (("batch size 1", loop_clock), ("engine", our_clock)):
        print(f"{label:<15} {clock.seconds:8.2f} s  {written / clock.seconds:8.0f} tokens/s  (CPU time {clock.cpu_seconds:.2f} s)")
    cpu_ratio = loop_clock.cpu_seconds / our_clock.cpu_seconds
    print(f"ratio           {loop_clock.seconds / our_clock.seconds:8.1f} x  (of CPU times {cpu_ratio:.1f} x)")
    print(f"texts differing {differing:8d}")


def creak_prompts(source: Path, count: int) -> list[str]:
    """The first prompts for the kind cot, as `prepare` writes them."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(PrepareConfig.model_validate({"dataset": "creak", "source": str(source), "output": folder, "limit": count}))
        return [row[TEXT_COLUMN["cot"]] for _, row in islice(read_jsonl(Path(folder, "CREAK.jsonl")), count)]


@dataclass(frozen=True)
class Clock:
    seconds: float
    cpu_seconds: float


@contextmanager
def measured() -> Iterator[list[Clock]]:
    """The list holds the time of the block once it has ended."""
    found: list[Clock] = []
    started, cpu_started = time.perf_counter(), time.process_time()
    yield found
    found.append(Clock(time.perf_counter() - started, time.process_time() - cpu_started))


def total(clocks: list[Clock], runs: int) -> Clock:
    return Clock(sum(clock.seconds for clock in clocks) / runs, sum(clock.cpu_seconds for clock in clocks) / runs)


def batched(engine: TransformersEngine, prompts: list[str], tokens: int) -> tuple[list[str], Clock]:
    with measured() as clock:
        told = {one.key: one.text for one in engine.complete((str(i), Request(prompt, tokens)) for i, prompt in enumerate(prompts))}
    return [told[str(i)].removeprefix(" ") for i in range(len(prompts))], clock[0]


def one_by_one(model: Any, tokenizer: Any, prompts: list[str], tokens: int) -> tuple[list[list[int]], Clock]:
    """(continuations as ids without special tokens, time)."""
    told = []
    with measured() as clock:
        for prompt in prompts:
            given = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
            written = model.generate(**given, max_new_tokens=tokens, do_sample=False)[0, given.input_ids.shape[1] :].tolist()
            told.append([token for token in written if token not in tokenizer.all_special_ids])
    return told, clock[0]


if __name__ == "__main__":
    main()
