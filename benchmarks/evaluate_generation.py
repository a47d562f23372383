"""Answers that a student writes: `evaluate`'s model against lm-eval's own HF model at batch size 32; one process, the same texts.

    python benchmarks/evaluate_generation.py [--rows 512] [--tokens 256] [--tokens 128] [--quick]

Work: `generate_until` on real CREAK prompts, greedy, up to --tokens tokens; stories260k (fp32, CPU, one thread), which tells stories, on
each prompt and the beginning of a story behind it. A text ends where somebody in it begins to speak (`"`), so that lengths differ as those
of answers do. The rows are halved and the two take turns, so that other work on the machine meets both. Every text must be the same, but
for the space that it begins with, which lm-eval loses with tokenizers like this one. Aim: >= 2 x. --quick: 64 rows.
"""

import argparse
import logging
from collections.abc import Sequence
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from real_work import DATA, Clock, creak_prompts, ratio, show

from teacherlm.engines.bodies.loading import load_model
from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.evaluation.harness import EngineLM
from teacherlm.records import Load

ROWS = 32
BEGINNINGS = ("", " Once upon a time,", " One day, a girl named Lily", " The boy said that", " Mom and dad")
"""So that texts are of many lengths, as answers are."""


def requests(prompts: Sequence[str], tokens: int) -> list[Instance]:
    settings = {"until": ['"'], "do_sample": False, "max_gen_toks": tokens}
    texts = [prompt + BEGINNINGS[i % len(BEGINNINGS)] for i, prompt in enumerate(prompts)]
    return [Instance("generate_until", {}, (text, settings), i, metadata=("creak", i, 1)) for i, text in enumerate(texts)]


def written(student: Any, asked: Sequence[Instance], clock: Clock) -> list[str]:
    with clock.measure():
        texts: list[str] = student.generate_until(list(asked), disable_tqdm=True)
    return texts


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rows", type=int, default=512)
    words.add_argument("--tokens", type=int, default=256)
    words.add_argument("--quick", action="store_true")
    given = words.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    model, tokenizer = load_model(str(DATA.parent / "models" / "stories260k"), "main", "float32", "cpu", False)
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=ROWS)
    ours = EngineLM(TransformersEngine(model, tokenizer, "stories260k", Load(rows=ROWS)), ROWS)
    asked = requests(creak_prompts(64 if given.quick else given.rows), given.tokens)
    clocks, same, lengths = (Clock(), Clock()), 0, []
    for student in (theirs, ours):
        written(student, asked[:8], Clock())  # the first call of a process takes longer
    for half in (asked[::2], asked[1::2]):
        plain, mine = (written(student, half, clock) for student, clock in zip((theirs, ours), clocks, strict=True))
        same += sum(one.lstrip() == other.lstrip() for one, other in zip(plain, mine, strict=True))
        lengths += [len(ids) for ids in tokenizer(mine, add_special_tokens=False)["input_ids"]]
    show("lm-eval's HF model, batches of 32", sum(lengths), clocks[0])
    show("teacherlm evaluate", sum(lengths), clocks[1])
    spread = f"{min(lengths)} to {max(lengths)}, mean {sum(lengths) / len(asked):.0f}"
    print(f"{same} of {len(asked)} texts are the same; tokens of a text: {spread}")
    print(ratio(*clocks, ">= 2"))
    assert same == len(asked), "texts differ"


if __name__ == "__main__":
    main()
