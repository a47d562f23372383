"""A student from scratch: a tokenizer made from the data, and a small Llama with fresh weights."""

import math
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from teacherlm.errors import UserError
from teacherlm.training.settings import Scratch

PAD, EOS, UNK = "<pad>", "<eos>", "<unk>"
SPECIALS = [PAD, EOS, UNK]
LONGEST_WORD = 10_000


def build_tokenizer(scratch: Scratch, texts: Iterable[str]) -> Any:
    """The same texts in the same order always give the same tokenizer. Decoding gives back the text exactly."""
    raw = _word_tokenizer(scratch.vocab_size, texts) if scratch.tokenizer == "word" else _bpe_tokenizer(scratch.vocab_size, texts)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        model_max_length=scratch.context,
        clean_up_tokenization_spaces=False,
    )


def build_model(scratch: Scratch, tokenizer: Any) -> Any:
    """Raises: UserError when the width does not divide into the heads. Weights come from torch's current seed."""
    if scratch.hidden_size % (2 * scratch.heads):
        raise UserError(f"scratch.hidden_size {scratch.hidden_size} must be an even multiple of scratch.heads {scratch.heads}.")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=scratch.hidden_size,
        intermediate_size=scratch.intermediate or -(-scratch.hidden_size // 3) * 8,
        num_hidden_layers=scratch.layers,
        num_attention_heads=scratch.heads,
        max_position_embeddings=scratch.context,
        tie_word_embeddings=True,
        # The usual 0.02 suits a width of about 640; kept at that, the small ones learn several times slower.
        initializer_range=0.5 / math.sqrt(scratch.hidden_size),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config)


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
