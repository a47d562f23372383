"""A tiny random model of each architecture, in memory or as a folder that `from_pretrained` reads."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
import transformers as t

from teacherlm.training.scratch import build_tokenizer
from teacherlm.training.settings import Scratch

WIDTH, INNER, LAYERS = 32, 64, 2
ROWS = [{"prompt": f"Q: {i} plus 1? A:", "text": f"Q: {i} plus 1? A: The answer is {i + 1}.", "template": "teacherlm"} for i in range(16)]
ENDS = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}


def config(architecture: str, vocabulary: int) -> Any:
    if architecture == "gpt2":
        return t.GPT2Config(vocab_size=vocabulary, n_embd=WIDTH, n_layer=LAYERS, n_head=2, n_positions=128, **ENDS)
    if architecture == "bloom":
        return t.BloomConfig(vocab_size=vocabulary, hidden_size=WIDTH, n_layer=LAYERS, n_head=2, **ENDS)
    if architecture == "t5":
        shape = {"d_model": WIDTH, "d_ff": INNER, "d_kv": 16, "num_layers": LAYERS, "num_heads": 2}
        return t.T5Config(vocab_size=vocabulary, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, **shape)
    shape = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "max_position_embeddings": 128, **ENDS}
    if architecture == "opt":
        return t.OPTConfig(vocab_size=vocabulary, ffn_dim=INNER, word_embed_proj_dim=WIDTH, **shape)
    if architecture == "gpt_neox":
        return t.GPTNeoXConfig(vocab_size=vocabulary, intermediate_size=INNER, **shape)
    # Wide enough that the residual stream carries something, as in a trained model.
    return t.LlamaConfig(vocab_size=vocabulary, intermediate_size=INNER, initializer_range=0.2, **shape)


def tiny_model(architecture: str, vocabulary: int = 60, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    shape = config(architecture, vocabulary)
    kind = t.AutoModelForSeq2SeqLM if shape.is_encoder_decoder else t.AutoModelForCausalLM
    return kind.from_config(shape)


def write_model(folder: Path, architecture: str = "llama", seed: int = 0) -> Path:
    tokenizer = build_tokenizer(Scratch(vocab_size=300, context=128), [row["text"] for row in ROWS])
    tiny_model(architecture, len(tokenizer), seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_rows(path: Path) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def hashes(model: Any) -> dict[str, str]:
    """Of every weight's bytes; the same name before and after peft has wrapped a layer."""
    plain = ((name.replace(".base_layer", ""), weight) for name, weight in model.named_parameters())
    return {name: hashlib.sha256(weight.detach().contiguous().view(torch.uint8).numpy().tobytes()).hexdigest() for name, weight in plain}


def logits(model: Any) -> torch.Tensor:
    ids = torch.arange(3, 23).reshape(2, 10)
    more = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        return model.eval()(input_ids=ids, **more).logits.float()
