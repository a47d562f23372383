"""What the enhance benchmarks share: CREAK prompts, real rationale lengths, a 25M-parameter Llama with seeded random weights, a clock.

The tokenizer is byte-level BPE with 8,192 pieces, trained here on the CREAK statements (no hub at hand); it has no end token, so that
rows end where their drawn length says. Lengths are those of the rationales in the zero-shot-CoT logs, counted with it, drawn with a seed.
Real data: TEACHERLM_TEST_DATA, or ../shared.
"""

import json
import os
import random
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from teacherlm.prompts import KINDS, TEXT_COLUMN
from teacherlm.stages.prepare import PrepareConfig, prepare
from teacherlm.store.files import read_jsonl

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("TEACHERLM_TEST_DATA", REPOSITORY.parent / "shared")) / "data"
PIECES = 8192
RATIONALE = re.compile(r"^A: Let's think step by step\.(.*?)^(?:Therefore, |pred_before)", re.MULTILINE | re.DOTALL)


def creak_prompts(count: int, kinds: tuple[str, ...] = ("cot",)) -> list[str]:
    """The prompts of the first questions for each kind, as `prepare` writes them."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(PrepareConfig.model_validate({"dataset": "creak", "source": str(DATA / "creak"), "output": folder, "limit": count}))
        rows = [row for _, row in islice(read_jsonl(Path(folder, "CREAK.jsonl")), count)]
    assert set(kinds) <= set(KINDS)
    return [row[TEXT_COLUMN[kind]] for row in rows for kind in kinds]


def train_tokenizer() -> PreTrainedTokenizerFast:
    statements = [json.loads(line)["sentence"] for line in (DATA / "creak" / "train.json").read_text().splitlines() if line]
    pieces = ByteLevelBPETokenizer()
    pieces.train_from_iterator([*statements, *rationales()], vocab_size=PIECES, special_tokens=["<pad>"], show_progress=False)
    return PreTrainedTokenizerFast(tokenizer_object=pieces._tokenizer, pad_token="<pad>", padding_side="left")


def rationales() -> list[str]:
    """All that the four published zero-shot-CoT logs hold."""
    logs = sorted((DATA / "zero_shot_cot" / "log").glob("*.log"))
    assert logs, f"no logs in {DATA}"
    return [found.strip() for log in logs for found in RATIONALE.findall(log.read_text())]


def drawn_lengths(tokenizer: Any, count: int, seed: int = 0) -> list[int]:
    """Tokens that each row writes."""
    lengths = [len(ids) for ids in tokenizer(rationales())["input_ids"]]
    return [max(length, 1) for length in random.Random(seed).choices(lengths, k=count)]


def build_llama(seed: int = 0) -> LlamaForCausalLM:
    """25 million parameters, float32, no end token; two heads to a pair of keys and values, as in stories260k."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=PIECES, hidden_size=512, intermediate_size=1728, num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=4,
        max_position_embeddings=2048, tie_word_embeddings=True, bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    model.generation_config.eos_token_id = None
    return model


@dataclass
class Clock:
    """Sums over the blocks it measured."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    blocks: int = 0

    @contextmanager
    def measure(self) -> Iterator[None]:
        started, cpu_started = time.perf_counter(), time.process_time()
        yield
        self.seconds += time.perf_counter() - started
        self.cpu_seconds += time.process_time() - cpu_started
        self.blocks += 1

    def times(self, factor: float) -> "Clock":
        return Clock(self.seconds * factor, self.cpu_seconds * factor, self.blocks)


def show(label: str, tokens: int, clock: Clock) -> None:
    rate = tokens / clock.seconds
    print(f"{label:<34} {clock.seconds:8.2f} s  {rate:8.0f} tokens/s  (CPU time {clock.cpu_seconds:.2f} s)", flush=True)


def ratio(slow: Clock, fast: Clock, target: str) -> str:
    return f"{slow.seconds / fast.seconds:.2f} x  (of CPU times {slow.cpu_seconds / fast.cpu_seconds:.2f} x; target {target})"
