"""Three kinds of rationale in one run against three runs of one kind each, by the transformers engine; one process, interleaved.

    python benchmarks/enhance_kinds.py [--rows 96] [--seed 0] [--quick]

Engine level: requests go to the engine as `enhance` sends them, question by question. The question's tokens are computed once for its
kinds. Same prompts (CREAK), model, tokenizer and drawn lengths as enhance_throughput.py, where a CREAK question has about 50 tokens and a
rationale 66; `--lengths 0.25` makes rationales a quarter as long. Aim: one run <= 0.75 x three runs, and the same texts.
"""

import argparse

from real_work import Clock, build_llama, creak_prompts, drawn_lengths, show, train_tokenizer

from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.prompts import KINDS
from teacherlm.records import Request

REPEATS = 3


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rows", type=int, default=96)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--lengths", type=float, default=1.0)
    words.add_argument("--quick", action="store_true")
    given = words.parse_args()
    rows, repeats = (32, 1) if given.quick else (given.rows, REPEATS)
    tokenizer, model = train_tokenizer(), build_llama()
    prompts = creak_prompts(rows, KINDS)
    lengths = [max(1, round(given.lengths * length)) for length in drawn_lengths(tokenizer, len(prompts), given.seed)]
    requests = [(str(i), Request(prompt, length)) for i, (prompt, length) in enumerate(zip(prompts, lengths, strict=True))]

    def run(part: list[tuple[str, Request]], clock: Clock) -> dict[str, str]:
        engine = TransformersEngine(model, tokenizer, "random")
        with clock.measure():
            return {one.key: one.text for one in engine.complete(iter(part))}

    run(requests[:6], Clock())
    together, apart = Clock(), Clock()
    for _ in range(repeats):
        one = run(requests, together)
        three = [run(requests[kind :: len(KINDS)], apart) for kind in range(len(KINDS))]
    total = sum(lengths)
    print(f"{rows} questions, {len(KINDS)} kinds, {total} tokens, mean of {repeats}")
    show("three runs, one kind each", total, apart.times(1 / repeats))
    show("one run, three kinds", total, together.times(1 / repeats))
    wall, cpu = together.seconds / apart.seconds, together.cpu_seconds / apart.cpu_seconds
    print(f"one run over three runs  {wall:.2f} x  (of CPU times {cpu:.2f} x; target <= 0.75)")
    texts = {key: text for part in three for key, text in part.items()}
    print(f"texts differing {sum(one[key] != text for key, text in texts.items())} of {len(texts)}")


if __name__ == "__main__":
    main()
