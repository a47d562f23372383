"""regression: a score from two words, its loss torch's own mean, its targets checked."""

import json
from typing import Any

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from teacherlm.answers.scale import Scale
from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.stages.finetune import FinetuneConfig, finetune
from teacherlm.store.checkpoints import find_checkpoints
from teacherlm.training.families import Causal, Family, Seq2Seq
from teacherlm.training.objective import Example
from teacherlm.training.regression import Regression, build_scored, word_token
from teacherlm.training.scratch import build_tokenizer
from teacherlm.training.settings import Scratch
from teacherlm.training.texts import read_table
from tests.steps import furthest_apart, one_step, write_rows

NO, YES = 40, 41
TEXTS = [([3, 4, 5], 0.0), ([6], 0.75), ([7, 8, 9, 10, 11], 0.5), ([12, 13], 1.0)]
"""Four prompts in tokens and their targets (exact in fp32, as a batch holds them)."""


def encoded(objective: Regression, family: Family) -> list[dict[str, Any]]:
    return [row for prompt, score in TEXTS for row in objective.encode(Example(prompt, [2], score=score), family.join)]


def loss_of(two_logits: list[torch.Tensor]) -> float:
    """As the original computes it: log-softmax over the two words, KL with the mean over all numbers."""
    told = torch.stack(two_logits).log_softmax(-1)
    targets = torch.tensor([[1 - score, score] for _, score in TEXTS], dtype=told.dtype)
    return float((torch.xlogy(targets, targets) - targets * told).sum() / targets.numel())


def loss_of_a_decoder(model: Any) -> float:
    with torch.no_grad():
        return loss_of([model(torch.tensor([prompt])).logits[0, -1, [NO, YES]] for prompt, _ in TEXTS])


@pytest.fixture
def tiny_t5() -> T5ForConditionalGeneration:
    torch.manual_seed(0)
    config = T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, dropout_rate=0.0, decoder_start_token_id=0)
    return T5ForConditionalGeneration(config).double()


@pytest.mark.parametrize("micro", [1, 2, 3, 4])
def test_the_loss_is_torchs_own_mean_however_the_step_is_cut_up(tiny_llama, tmp_path, micro):
    objective = Regression(Causal(), NO, YES)
    loss, _ = one_step(tiny_llama, objective, encoded(objective, Causal()), micro, tmp_path)
    assert loss == pytest.approx(loss_of_a_decoder(tiny_llama), abs=1e-12)


@pytest.mark.parametrize("micro", [1, 3, 4])
def test_an_encoder_decoder_is_read_at_its_first_step(tiny_t5, tmp_path, micro):
    family = Seq2Seq(start=0, target_limit=8)
    objective = Regression(family, NO, YES)
    loss, _ = one_step(tiny_t5, objective, encoded(objective, family), micro, tmp_path, family)
    with torch.no_grad():
        first = torch.tensor([[0]])
        logits = [tiny_t5(input_ids=torch.tensor([prompt]), decoder_input_ids=first).logits[0, 0, [NO, YES]] for prompt, _ in TEXTS]
    assert loss == pytest.approx(loss_of(logits), abs=1e-12)


@pytest.mark.slow
def test_gradients_do_not_depend_on_the_cut(tiny_llama, tmp_path):
    objective = Regression(Causal(), NO, YES)
    rows = encoded(objective, Causal())
    _, whole = one_step(tiny_llama, objective, rows, 4, tmp_path)
    for micro in (1, 2, 3):
        assert furthest_apart(whole, one_step(tiny_llama, objective, rows, micro, tmp_path)[1]) < 1e-12


def test_a_target_that_is_met_costs_nothing(tiny_llama):
    prompt = [3, 4, 5]
    with torch.no_grad():
        no, yes = tiny_llama(torch.tensor([prompt])).logits[0, -1, [NO, YES]]
    objective = Regression(Causal(), NO, YES)
    rows = objective.encode(Example(prompt, [2], score=float(torch.sigmoid(yes - no))), Causal().join)
    sums = objective.sums(tiny_llama, Causal().batch(rows, 0))
    assert float(sums["regression"].detach()) == pytest.approx(0.0, abs=1e-8)


def test_a_row_without_labels_counts_nothing(tiny_llama):
    objective = Regression(Causal(), NO, YES)
    rows = encoded(objective, Causal())[:2]
    rows[1] = {**rows[1], "labels": rows[1]["labels"] * 0 - 100}
    batch, alone = Causal().batch(rows, 0), Causal().batch(rows[:1], 0)
    assert int(objective.counts(batch)["regression"]) == 2
    torch.testing.assert_close(objective.sums(tiny_llama, batch)["regression"], objective.sums(tiny_llama, alone)["regression"])


def reviews(count: int = 24) -> list[dict[str, Any]]:
    return [{"id": f"r{i}", "prompt": f"It was {'very ' * (i % 4)}good.", "target": (i % 4) / 3} for i in range(count)]


def test_each_row_is_its_text_and_its_score(tmp_path):
    rows = [{"prompt": "Fine. \n", "target": 1}, {"prompt": "Bad.", "target": 0.25}]
    texts = build_scored(read_table(write_rows(tmp_path / "rows.jsonl", rows)), "prompt", "target", None, None)
    assert [(text.text, text.start, text.score) for text in texts] == [("Fine.", 5, 1.0), ("Bad.", 4, 0.25)]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.2, r"rows.jsonl:2: column 'target' is 1.2, outside 0 to 1 \(or tell the range: objective: {name: regression, renormalise"),
        (-0.1, "rows.jsonl:2: column 'target' is -0.1, outside 0 to 1"),
        ("high", "rows.jsonl:2: column 'target' is 'high', expected a number from 0 to 1"),
        (None, "rows.jsonl:2: column 'target' is None, expected a number from 0 to 1"),
        (True, "rows.jsonl:2: column 'target' is True, expected a number"),
    ],
)
def test_a_target_that_is_no_score_is_named_with_its_row(tmp_path, value, message):
    rows = [{"prompt": "Fine.", "target": 0.5}, {"prompt": "Bad.", "target": value}]
    with pytest.raises(UserError, match=message):
        build_scored(read_table(write_rows(tmp_path / "rows.jsonl", rows)), "prompt", "target", None, None)


def test_an_empty_text_and_a_missing_column_are_named(tmp_path):
    table = read_table(write_rows(tmp_path / "rows.jsonl", [{"prompt": " ", "target": 0.5}]))
    with pytest.raises(UserError, match=r"rows.jsonl:1: column 'prompt' is ' ', expected text"):
        build_scored(table, "prompt", "target", None, None)
    with pytest.raises(UserError, match="no column 'score'"):
        build_scored(table, "prompt", "score", None, None)


def test_other_ranges_become_zero_to_one_and_go_back(tmp_path):
    rows = [{"prompt": f"{stars} stars", "target": stars} for stars in (1, 2, 3.5, 5)]
    texts = build_scored(read_table(write_rows(tmp_path / "rows.jsonl", rows)), "prompt", "target", (1, 5), None)
    assert [text.score for text in texts] == [0.0, 0.25, 0.625, 1.0]
    assert [Scale(1, 5).from_unit(text.score) for text in texts] == [1, 2, 3.5, 5]
    with pytest.raises(UserError, match="outside 2 to 5"):
        build_scored(read_table(tmp_path / "rows.jsonl"), "prompt", "target", (2, 5), None)


def test_a_range_the_wrong_way_round_is_refused(tmp_path):
    given = {"input": tmp_path, "output": tmp_path, "scratch": {}, "objective": {"name": "regression", "renormalise": [5, 1]}}
    with pytest.raises(UserError, match=r"renormalise: expected the lowest and the highest target, found \[5.0, 1.0\]"):
        parse_config(FinetuneConfig, given)


def test_a_word_has_to_be_one_token():
    tokenizer = build_tokenizer(Scratch(), ["A: no", "A: yes"])
    assert tokenizer.convert_ids_to_tokens(word_token(tokenizer, " yes", False)) == "Ġyes"
    with pytest.raises(UserError, match=r"objective.words: ' yesno' is not one token of this student \(.*\); choose two words that are"):
        word_token(tokenizer, " yesno", False)


def test_a_student_from_scratch_knows_its_words_and_its_checkpoint_tells_them(tmp_path):
    data = write_rows(tmp_path / "rows.jsonl", reviews())
    scratch = {"hidden_size": 16, "layers": 1, "heads": 2, "context": 64}
    given = {"input": data, "output": tmp_path / "student", "scratch": scratch, "objective": "regression", "held_out": 0.25}
    config = FinetuneConfig(**given, epochs=8, batch_size=6, learning_rate=3e-3)
    assert config.train_on == "target"
    finetune(config)
    checkpoints = find_checkpoints(tmp_path / "student")
    losses = [checkpoint.facts["held_out_loss"] for checkpoint in checkpoints]
    assert losses[-1] < losses[0] / 2
    assert checkpoints[-1].facts["objective"] == "regression"
    assert checkpoints[-1].facts["regression"] == {"words": [" no", " yes"], "input": "prompt"}


def test_loss_on_all_has_no_meaning(tmp_path):
    data = write_rows(tmp_path / "rows.jsonl", reviews())
    config = FinetuneConfig(input=data, output=tmp_path / "student", scratch={}, objective="regression", loss_on="all")
    with pytest.raises(UserError, match="loss_on: a regression has no loss on words"):
        finetune(config)


def test_rows_of_a_chat_are_scored_where_the_assistant_begins(tmp_path):
    from teacherlm.training.texts import Reader

    chat = "{% for m in messages %}<{{m.role}}>{{m.content}}</s>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    spec = "chat" + json.dumps({"text": chat})
    rows = [{"prompt": "Fine.", "target": 0.5, "template": spec}]
    tokenizer = build_tokenizer(Scratch(), ["Fine."])
    table = read_table(write_rows(tmp_path / "rows.jsonl", rows))
    [text] = build_scored(table, "prompt", "target", None, Reader(tokenizer, "tiny"))
    assert text.text == "<user>Fine.</s><assistant>" and text.spans == ((len(text.text), len(text.text)),)
