"""Random tiny students with word-level tokens, sealed as finetune seals them, and questions that they can read."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from teacherlm.prompts import template
from teacherlm.records import Question
from teacherlm.store.checkpoints import seal_checkpoint

WORDS = [*"0123456789", "Q", "A", ":", "How", "much", "is", "plus", "?", "The", "answer", ".", "(", ")", "B", "C"]


def write_questions(folder: Path, numbers: Iterable[int], **more: Any) -> Path:
    """As `prepare` writes them: sums with free answers."""
    rows = [
        {
            "id": f"q{n}",
            "prompt": template("teacherlm").prompt(Question(f"How much is {n} plus 1 ?", "1")),
            "choices": [],
            "answer": str(n + 1),
            "answer_rule": "number",
            "template": "teacherlm",
            **more,
        }
        for n in numbers
    ]
    DatasetDict({"test": Dataset.from_list(rows)}).save_to_disk(folder)
    return folder


def write_checkpoint(run: Path, step: int, **facts: Any) -> Path:
    """A random tiny Llama with word-level tokens, sealed as finetune seals it."""
    torch.manual_seed(step)
    vocabulary = {word: number for number, word in enumerate(["<unk>", "<eos>", "<pad>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>", pad_token="<pad>")
    shape = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=128,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=2,
    )
    folder = run / f"checkpoint-{step}"
    LlamaForCausalLM(shape).save_pretrained(folder)
    fast.save_pretrained(folder)
    seal_checkpoint(folder, step, step / 10, {"template": "teacherlm", "train_on": "text", **facts})
    return folder
