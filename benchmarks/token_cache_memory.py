"""Tokenising for `finetune`: peak anonymous memory at many rows over that at a tenth of them, and how long the second start takes.

    python benchmarks/token_cache_memory.py [--rows 1000000]

Each runs in a fresh process whose RssAnon is sampled every 20 ms; the tokenizer is one of 2,000 pieces, made of the rows.
"""

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prepare_million import watched

AIM_MEMORY, AIM_AGAIN = 1.3, 1.0
SAMPLE = 20_000
"""Rows that the tokenizer is made of."""


def made_up(count: int) -> Iterator[dict[str, Any]]:
    """Rows as `postprocess` writes them, of about 40 words."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(1000)]
    for number in range(count):
        prompt = f"Q: {' '.join(draw.choices(words, k=15))}? A:"
        told = f"{prompt} The answer is {draw.randrange(1000)}. Let's think step by step. {' '.join(draw.choices(words, k=20))}."
        yield {"id": f"q{number}", "prompt": prompt, "cot_tail": told, "template": "teacherlm"}


def run_tokenising(folder: str, tokenizer: str) -> None:
    """In the measured process: what `finetune` does up to the rows in tokens."""
    from transformers import AutoTokenizer

    from teacherlm.stages.finetune import FinetuneConfig
    from teacherlm.training.families import Causal
    from teacherlm.training.sft import Sft
    from teacherlm.training.texts import Reader, read_table, specs_of
    from teacherlm.training.tokens import read_tokens

    config = FinetuneConfig(input=Path(folder), output=Path(folder, "out"), model=tokenizer, train_on="cot_tail")
    table = read_table(config.input)  # imports `datasets`
    began = time.monotonic()
    reader = Reader(AutoTokenizer.from_pretrained(tokenizer), "student")
    tokens = read_tokens(config, table, reader, Sft(Causal()), Causal(), 512, specs_of(table))
    print(json.dumps({"seconds": time.monotonic() - began, "tokens": tokens.trained.tokens}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--measured", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measured:
        run_tokenising(*given.measured)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TEACHERLM_CACHE"] = f"{folder}/cache"
        report(given.rows, Path(folder))


def report(rows: int, folder: Path) -> None:
    from teacherlm.store.hf import write_dataset
    from teacherlm.training.scratch import build_tokenizer
    from teacherlm.training.settings import Scratch

    settings = Scratch(hidden_size=8, layers=1, heads=2, tokenizer="bpe", vocab_size=2000)
    build_tokenizer(settings, (row["cot_tail"] for row in made_up(SAMPLE))).save_pretrained(folder / "tokenizer")
    peaks = {}
    for count in (rows // 10, rows):
        write_dataset(folder / str(count), made_up(count))
        for start in ("first", "second"):
            found = watched([__file__, "--measured", str(folder / str(count)), str(folder / "tokenizer")])
            peaks[count, start] = found["peak"]
            print(
                f"{count:>9,} rows of {found['tokens']:,} tokens, {start} start: {found['seconds']:.2f} s, peak {found['peak']:.1f} MiB",
                flush=True,
            )
    print(f"memory: {rows:,} rows over {rows // 10:,}: {peaks[rows, 'first'] / peaks[rows // 10, 'first']:.2f}x (aim {AIM_MEMORY}x)")
    print(f"the last second start: {found['seconds']:.2f} s behind the imports (aim {AIM_AGAIN} s)")


if __name__ == "__main__":
    main()
