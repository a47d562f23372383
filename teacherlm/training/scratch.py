"""A student from scratch: a tokenizer made from the data, and a small Llama, GPT-2 or T5 with fresh weights."""

import math
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from teacherlm.errors import UserError
from teacherlm.training.settings import Scratch

PAD, EOS, UNK = "<pad>", "<eos>", "<unk>"
SPECIALS = [PAD, EOS, UNK]
LONGEST_WORD = 10_000


def build_tokenizer(scratch: Scratch, texts: Iterable[str]) -> Any:
    """The same texts in the same order always give the same tokenizer. Decoding gives back the text exactly.

    That of a t5 ends every text in EOS, as T5's own does.
    """
    raw = _word_tokenizer(scratch.vocab_size, texts) if scratch.tokenizer == "word" else _bpe_tokenizer(scratch.vocab_size, texts)
    if scratch.architecture == "t5":
        raw.post_processor = processors.TemplateProcessing(single=f"$A {EOS}", special_tokens=[(EOS, SPECIALS.index(EOS))])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        model_max_length=scratch.context,
        clean_up_tokenization_spaces=False,
    )


def build_model(scratch: Scratch, tokenizer: Any) -> Any:
    """Input and output embeddings are tied, nothing is dropped out. Weights come from torch's current seed.

    Raises: UserError when the width does not divide into the heads.
    """
    turned = 2 if scratch.architecture == "llama" else 1  # rotary positions turn pairs of a head's numbers
    if scratch.hidden_size % (turned * scratch.heads):
        multiple = "an even multiple" if turned == 2 else "a multiple"
        raise UserError(f"scratch.hidden_size {scratch.hidden_size} must be {multiple} of scratch.heads {scratch.heads}.")
    build = {"llama": _llama, "gpt2": _gpt2, "t5": _t5}[scratch.architecture]
    return build(scratch, {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id})


def _llama(scratch: Scratch, tokens: dict[str, int]) -> LlamaForCausalLM:
    config = LlamaConfig(
        hidden_size=scratch.hidden_size,
        intermediate_size=scratch.intermediate or -(-scratch.hidden_size // 3) * 8,
        num_hidden_layers=scratch.layers,
        num_attention_heads=scratch.heads,
        max_position_embeddings=scratch.context,
        tie_word_embeddings=True,
        initializer_range=_spread(scratch),
        bos_token_id=None,
        **tokens,
    )
    return LlamaForCausalLM(config)


def _gpt2(scratch: Scratch, tokens: dict[str, int]) -> GPT2LMHeadModel:
    config = GPT2Config(
        n_embd=scratch.hidden_size,
        n_inner=scratch.intermediate or 4 * scratch.hidden_size,
        n_layer=scratch.layers,
        n_head=scratch.heads,
        n_positions=scratch.context,
        tie_word_embeddings=True,
        initializer_range=_spread(scratch),
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        **tokens,
    )
    return GPT2LMHeadModel(config)


def _t5(scratch: Scratch, tokens: dict[str, int]) -> T5ForConditionalGeneration:
    config = T5Config(
        d_model=scratch.hidden_size,
        d_ff=scratch.intermediate or 4 * scratch.hidden_size,
        num_layers=scratch.layers,
        num_heads=scratch.heads,
        d_kv=scratch.hidden_size // scratch.heads,
        tie_word_embeddings=True,
        dropout_rate=0.0,
        decoder_start_token_id=tokens["pad_token_id"],
        **tokens,
    )
    return T5ForConditionalGeneration(config)


def _spread(scratch: Scratch) -> float:
    """Of fresh weights. The usual 0.02 suits a width of about 640; kept at that, the small ones learn several times slower."""
    return 0.5 / math.sqrt(scratch.hidden_size)


def _byte_level(model: Any) -> Tokenizer:
    """Every text is a sequence of printable bytes, a word carries the space before it: nothing is lost on the way back."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _word_tokenizer(size: int, texts: Iterable[str]) -> Tokenizer:
    """One token per word, most frequent first. A word not in the vocabulary falls apart into the longest pieces that are.

    That is WordPiece with an empty prefix: as WordLevel, but with single bytes at the bottom instead of <unk>.
    """
    counted = _byte_level(models.WordLevel(unk_token=UNK))
    counted.train_from_iterator(texts, trainers.WordLevelTrainer(vocab_size=2**31, special_tokens=SPECIALS, show_progress=False))
    words = sorted(counted.get_vocab().items(), key=lambda item: item[1])
    letters = sorted({letter for word, i in words if i >= len(SPECIALS) for letter in word})
    if size < len(SPECIALS) + len(letters):
        raise UserError(f"scratch.vocab_size {size} is too small: the data alone has {len(letters)} different bytes.")
    names = dict.fromkeys([*SPECIALS, *letters, *(word for word, _ in words)])
    vocabulary = {name: i for i, name in zip(range(size), names, strict=False)}
    model = models.WordPiece(vocabulary, unk_token=UNK, continuing_subword_prefix="", max_input_chars_per_word=LONGEST_WORD)
    return _byte_level(model)


def _bpe_tokenizer(size: int, texts: Iterable[str]) -> Tokenizer:
    tokenizer = _byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIALS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() > size:
        raise UserError(
            f"scratch.vocab_size {size} is too small for bpe: the 256 bytes and {len(SPECIALS)} special tokens alone need more."
        )
    return tokenizer
