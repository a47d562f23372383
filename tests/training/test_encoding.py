"""Which tokens carry loss, and what is cut."""

import pytest

from teacherlm.errors import UserError
from teacherlm.training.encoding import encode
from teacherlm.training.families import Causal
from teacherlm.training.scratch import build_tokenizer
from teacherlm.training.settings import Scratch
from teacherlm.training.sft import Sft
from teacherlm.training.texts import Text

PROMPT, COMPLETION = "Q: How many apples? A:", " The answer is 15."


def encoded(limit: int, start: int = len(PROMPT)):
    tokenizer = build_tokenizer(Scratch(), [PROMPT + COMPLETION])
    family = Causal()
    return tokenizer, encode([Text(PROMPT + COMPLETION, start, "here")], tokenizer, Sft(family), family, limit)


def trained_text(tokenizer, row) -> str:
    return tokenizer.decode([i for i in row["labels"] if i != -100])


def test_only_the_completion_and_eos_carry_loss():
    tokenizer, got = encoded(100)
    assert trained_text(tokenizer, got.rows[0]) == COMPLETION + "<eos>"
    assert tokenizer.decode(got.rows[0]["input_ids"]) == PROMPT + COMPLETION + "<eos>"
    assert got.truncated == 0


def test_loss_on_all_trains_on_the_prompt_too():
    _, got = encoded(100, start=0)
    assert len(got.rows[0]["labels"]) - 1 == sum(got.rows[0]["labels"] != -100)


def test_over_long_rows_keep_their_last_tokens():
    tokenizer, got = encoded(8)
    assert got.truncated == 1 and got.completions_cut == 0
    assert len(got.rows[0]["input_ids"]) == 8
    assert trained_text(tokenizer, got.rows[0]) == COMPLETION + "<eos>"


def test_a_completion_longer_than_the_limit_loses_its_end():
    assert Causal().fit([1, 2, 3], [4, 5, 6], 5) == ([2, 3], [4, 5, 6])
    assert Causal("right").fit([1, 2, 3], [4, 5, 6], 5) == ([1, 2], [4, 5, 6])
    assert Causal().fit([1, 2, 3], [4, 5, 6], 3) == ([], [4, 5, 6])
    assert Causal().fit([1, 2, 3], [4, 5, 6], 2) == ([], [4, 5])
    _, got = encoded(3)
    assert (got.truncated, got.completions_cut) == (1, 1)


def test_defect_8_every_target_ends_in_eos_exactly_once():
    tokenizer, got = encoded(100)
    ids = got.rows[0]["input_ids"].tolist()
    assert ids[-1] == tokenizer.eos_token_id and ids.count(tokenizer.eos_token_id) == 1


def test_a_row_none_of_whose_tokens_is_left_to_carry_loss_is_named():
    """A chat whose first turn of the assistant is empty, and whose second lies behind the limit."""
    tokenizer = build_tokenizer(Scratch(), [PROMPT + COMPLETION])
    text, start = PROMPT + PROMPT + COMPLETION, len(PROMPT)
    chat = Text(text, start, "rows.jsonl:7", ((start, start), (2 * start, len(text))))
    assert encode([chat], tokenizer, Sft(Causal()), Causal(), 100).rows
    with pytest.raises(UserError, match=r"^rows.jsonl:7: none of its tokens carries loss, once it is cut to 4 tokens; leave the row out.$"):
        encode([chat], tokenizer, Sft(Causal()), Causal(), 4)


def test_rows_that_lost_tokens_are_told_with_the_completions_that_lost_their_end():
    _, got = encoded(3)
    told = "1 of 1 rows are longer than 3 tokens: their prompts lose the first ones; 1 completions lose their end."
    assert got.about_truncation(3, Causal()) == told
