"""Greedy writing on the CPU: the transformers engine against a loop at batch size 1 and against static batches; one run, one process.

    python benchmarks/enhance_throughput.py [--rows 256] [--loop-rows 64] [--seed 0] [--quick]

Work: the first CREAK prompts (kind cot); output lengths drawn from the real rationale lengths of the zero-shot-CoT logs; a Llama of
25M parameters with seeded random weights (real_work.py). Three ways, all through the same model in memory:
- loop: `model.generate`, one prompt at a time. Only the first --loop-rows rows, its time multiplied up by tokens; the output says so.
- static: `model.generate` in batches of 32 in order of prompt length; a batch runs until its longest row is done, as it must.
- engine: all rows, default batch budget. A row's length reaches it as max_new_tokens, which it uses to count memory alone.
The parts are interleaved (a third of the static batches, an engine run, a third of the loop, and again), so that other work on the
machine meets all. Aims: engine >= 8 x loop, >= 1.5 x static; texts equal to the loop's. A text that differs must be a proved tie: the
margin of the two best logits is < 1e-4 where the texts part, from a plain forward pass. --quick: 64 rows, 16 of them in the loop.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from real_work import Clock, build_llama, creak_prompts, drawn_lengths, ratio, show, train_tokenizer

from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.records import Request

STATIC_ROWS = 32
PARTS = 3
TIE = 1e-4


@dataclass
class Work:
    model: Any
    tokenizer: Any
    prompts: Sequence[str]
    lengths: Sequence[int]
    clocks: dict[str, Clock] = field(default_factory=lambda: {"loop": Clock(), "static": Clock(), "engine": Clock()})
    loop_ids: dict[int, list[int]] = field(default_factory=dict)
    engine_texts: dict[int, str] = field(default_factory=dict)
    engine_tokens: int = 0

    def loop(self, rows: Sequence[int]) -> None:
        with self.clocks["loop"].measure():
            for row in rows:
                self.loop_ids[row] = self._generate([row], self.lengths[row])[0]

    def static(self, batches: Sequence[Sequence[int]]) -> None:
        with self.clocks["static"].measure():
            for batch in batches:
                self._generate(batch, max(self.lengths[row] for row in batch))

    def engine(self) -> None:
        engine = TransformersEngine(self.model, self.tokenizer, "random")
        pairs = enumerate(zip(self.prompts, self.lengths, strict=True))
        with self.clocks["engine"].measure():
            told = list(engine.complete((str(i), Request(prompt, length)) for i, (prompt, length) in pairs))
        self.engine_texts = {int(one.key): one.text for one in told}
        self.engine_tokens = sum(one.tokens for one in told)

    def _generate(self, rows: Sequence[int], tokens: int) -> list[list[int]]:
        given = self.tokenizer([self.prompts[row] for row in rows], return_tensors="pt", padding=True, return_token_type_ids=False)
        written = self.model.generate(**given, max_new_tokens=tokens, do_sample=False)
        return [line[given.input_ids.shape[1] :] for line in written.tolist()]

    def static_batches(self) -> list[list[int]]:
        order = sorted(range(len(self.prompts)), key=lambda row: -len(self.tokenizer(self.prompts[row])["input_ids"]))
        return [order[start : start + STATIC_ROWS] for start in range(0, len(order), STATIC_ROWS)]


def main() -> None:
    given = read_words()
    tokenizer, model = train_tokenizer(), build_llama()
    work = Work(model, tokenizer, creak_prompts(given.rows), drawn_lengths(tokenizer, given.rows, given.seed))
    warm = Work(model, tokenizer, work.prompts[:4], [4] * 4)
    warm.loop([0]), warm.static([[0, 1, 2, 3]]), warm.engine()  # what is built at first use is built before the clocks run
    batches, looped = work.static_batches(), range(given.loop_rows)
    for part in range(PARTS):
        work.static(batches[part::PARTS])
        work.engine()
        work.loop(looped[part::PARTS])
    report(work)


def report(work: Work) -> None:
    total, looped = sum(work.lengths), sum(work.lengths[row] for row in work.loop_ids)
    assert work.engine_tokens == total, "the engine wrote another number of tokens"
    loop, static, engine = work.clocks["loop"].times(total / looped), work.clocks["static"], work.clocks["engine"].times(1 / PARTS)
    print(f"{len(work.prompts)} prompts, {total} tokens to write, {torch.get_num_threads()} threads")
    measured = f" (from {len(work.loop_ids)} rows)" if len(work.loop_ids) < len(work.prompts) else ""
    show(f"loop at batch size 1{measured}", total, loop)
    show(f"static batches of {STATIC_ROWS}", total, static)
    show(f"engine (mean of {PARTS} runs)", total, engine)
    print(f"engine over loop    {ratio(loop, engine, '>= 8')}")
    print(f"engine over static  {ratio(static, engine, '>= 1.5')}")
    differing = [row for row, ids in work.loop_ids.items() if work.tokenizer.decode(ids) != work.engine_texts[row]]
    ties = [row for row in differing if margin(work, row) < TIE]
    print(f"texts compared {len(work.loop_ids)}, differing {len(differing)}, of these proved ties {len(ties)}")
    if len(ties) < len(differing):
        raise SystemExit("a text differs that is no tie")


def margin(work: Work, row: int) -> float:
    """Between the two best logits at the place where the texts part."""
    wanted, found = work.loop_ids[row], work.tokenizer(work.engine_texts[row], add_special_tokens=False)["input_ids"]
    parting = next((i for i, (one, other) in enumerate(zip(wanted, found, strict=False)) if one != other), len(found))
    ids = work.tokenizer(work.prompts[row])["input_ids"]
    with torch.no_grad():
        scores = work.model(torch.tensor([ids + wanted])).logits[0, len(ids) - 1 : len(ids) + parting]
    best = scores.topk(2).values
    return float((best[:, 0] - best[:, 1]).min())


def read_words() -> argparse.Namespace:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rows", type=int, default=256)
    words.add_argument("--loop-rows", type=int, default=64)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--quick", action="store_true")
    given = words.parse_args()
    if given.quick:
        given.rows, given.loop_rows = 64, 16
    return given


if __name__ == "__main__":
    main()
