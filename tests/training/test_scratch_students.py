"""Tokenizers made from the data."""

import pytest

from teacherlm.errors import UserError
from teacherlm.training.scratch import build_model, build_tokenizer
from teacherlm.training.settings import Scratch

TEXTS = ["Q: Sam has 12 apples, buys 3. A: The answer is 15.", "Zoë's café costs 5 €.\n  Two spaces, and\ta tab."]


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_decoding_gives_back_the_text(kind):
    tokenizer = build_tokenizer(Scratch(tokenizer=kind, vocab_size=400), TEXTS)
    for text in [*TEXTS, "Sam's 1215 unseenish apples"]:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text


def test_a_known_word_is_one_token():
    tokenizer = build_tokenizer(Scratch(), TEXTS)
    assert tokenizer.tokenize(" Sam has 12 apples") == ["ĠSam", "Ġhas", "Ġ12", "Ġapples"]
    assert [tokenizer.pad_token_id, tokenizer.eos_token_id] == [0, 1]
    assert tokenizer.model_max_length == 512


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_the_same_texts_give_the_same_tokenizer(kind):
    one, two = (build_tokenizer(Scratch(tokenizer=kind, vocab_size=300), TEXTS * 3) for _ in range(2))
    assert one.backend_tokenizer.to_str() == two.backend_tokenizer.to_str()


def test_a_saved_tokenizer_reads_the_same(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = build_tokenizer(Scratch(), TEXTS)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again(TEXTS[1])["input_ids"] == tokenizer(TEXTS[1])["input_ids"]
    assert again.decode(again(TEXTS[1])["input_ids"]) == TEXTS[1]
    assert again.model_max_length == 512


def test_too_small_a_vocabulary_is_refused():
    with pytest.raises(UserError, match="vocab_size 10 is too small"):
        build_tokenizer(Scratch(vocab_size=10), TEXTS)


def test_a_width_that_does_not_divide_is_refused():
    with pytest.raises(UserError, match="hidden_size 60"):
        build_model(Scratch(hidden_size=60, heads=7), build_tokenizer(Scratch(), TEXTS))
