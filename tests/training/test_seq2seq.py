"""Encoder-decoders: the rows and the loss of transformers' own, what is cut, and who is refused."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import processors
from transformers import BertConfig, BertForMaskedLM, DataCollatorForSeq2Seq, T5Config

from teacherlm.errors import UserError
from teacherlm.stages.finetune import FinetuneConfig, finetune
from teacherlm.training.encoding import encode, tokenised
from teacherlm.training.families import IGNORE, Causal, Seq2Seq, build_family, special_tokens
from teacherlm.training.pretrained import UNLIMITED, read_context, read_decoder_start, read_model
from teacherlm.training.scratch import build_model, build_tokenizer
from teacherlm.training.settings import Scratch
from teacherlm.training.sft import Sft
from teacherlm.training.texts import Text

PROMPT, COMPLETION = "Q: How many apples? A:", " The answer is 15."
T5 = Scratch(architecture="t5", hidden_size=16, layers=2, heads=2, context=64)
FAMILY = Seq2Seq(start=0, target_limit=64, frame=(0, 1))


@pytest.fixture
def tokenizer():
    return build_tokenizer(T5, [PROMPT + COMPLETION])


def text(prompt: str = PROMPT, completion: str = COMPLETION) -> Text:
    return Text(prompt + completion, len(prompt), "rows.jsonl:7")


ROWS = [FAMILY.join([5, 6, 7, 1], [8, 1]), FAMILY.join([9, 1], [10, 11, 12, 13, 1]), FAMILY.join([0, 1], [1])]


def test_the_loss_is_that_of_transformers_own_t5(tiny_t5):
    batch = FAMILY.batch(ROWS, pad=0)
    objective = Sft(FAMILY)
    theirs = tiny_t5(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"]).loss
    assert objective.counts(batch)["sft"] == 8
    torch.testing.assert_close(objective.sums(tiny_t5, batch)["sft"] / 8, theirs, rtol=0, atol=1e-12)


def test_each_row_of_a_padded_batch_has_the_loss_that_it_has_alone(tiny_t5):
    objective = Sft(FAMILY)
    alone = sum(objective.sums(tiny_t5, FAMILY.batch([row], pad=0))["sft"] for row in ROWS)
    torch.testing.assert_close(objective.sums(tiny_t5, FAMILY.batch(ROWS, pad=0))["sft"], alone, rtol=0, atol=1e-12)


def test_a_batch_is_what_seq2seq_trainers_collator_makes(tiny_t5, tokenizer):
    """Its decoder inputs too: the start token, then the labels moved by one place."""
    given: dict[str, torch.Tensor] = {}
    hook = tiny_t5.register_forward_pre_hook(lambda module, args, kwargs: given.update(kwargs), with_kwargs=True)
    batch = FAMILY.batch(ROWS, pad=0)
    _, labels = FAMILY.predicted(tiny_t5, batch)
    hook.remove()
    collator = DataCollatorForSeq2Seq(tokenizer, tiny_t5)
    features = [
        {key: row[key].tolist() for key in ("input_ids", "labels")} | {"attention_mask": [1] * len(row["input_ids"])} for row in ROWS
    ]
    theirs = collator(features)
    for key in ("input_ids", "attention_mask", "labels"):
        assert torch.equal(batch[key], theirs[key]), key
    real = batch["labels"] != IGNORE
    assert torch.equal(given["decoder_input_ids"][real], theirs["decoder_input_ids"][real])
    assert torch.equal(labels, theirs["labels"][real])


def test_a_row_without_labels_gives_no_gradient_but_takes_part(tiny_t5):
    """A process that has no row left still runs forward and backward."""
    row = {**ROWS[1], "labels": ROWS[1]["labels"] * 0 + IGNORE}
    Sft(FAMILY).sums(tiny_t5, FAMILY.batch([row], pad=0))["sft"].backward()
    assert all(p.grad is None or not p.grad.any() for p in tiny_t5.parameters())
    assert tiny_t5.shared.weight.grad is not None


def test_prompt_and_completion_end_in_eos_each_and_only_the_completion_is_learnt(tokenizer):
    (row,) = encode([text()], tokenizer, Sft(FAMILY), FAMILY, 64).rows
    assert tokenizer.decode(row["input_ids"]) == PROMPT + "<eos>"
    assert tokenizer.decode(row["labels"]) == COMPLETION + "<eos>"
    assert row["input_ids"].tolist() == tokenizer(PROMPT)["input_ids"], "as the engine reads it when the student is asked"
    assert FAMILY.length(row) == len(row["input_ids"]) + len(row["labels"])


@pytest.mark.parametrize(("side", "left"), [("left", " apples? A:<eos>"), ("right", "Q: How<eos>")])
def test_a_prompt_too_long_loses_the_chosen_end_and_keeps_its_eos(tokenizer, side, left):
    family = Seq2Seq(0, 64, side, special_tokens(tokenizer))
    got = encode([text(), text("Q:")], tokenizer, Sft(family), family, {"left": 5, "right": 4}[side])
    assert tokenizer.decode(got.rows[0]["input_ids"]) == left
    assert tokenizer.decode(got.rows[0]["labels"]) == COMPLETION + "<eos>"
    assert (got.truncated, got.completions_cut) == (1, 0)
    told = got.about_truncation(6, family)
    assert (
        told.startswith("1 of 2 rows are longer than 6 tokens (prompt) or 64 (completion)")
        and {"left": "first", "right": "last"}[side] in told
    )


def test_a_completion_too_long_loses_its_end_and_is_counted(tokenizer):
    family = Seq2Seq(0, 3, "left", (0, 1))
    got = encode([text()], tokenizer, Sft(family), family, 64)
    assert tokenizer.decode(got.rows[0]["labels"]) == " The answer is"
    assert (got.truncated, got.completions_cut) == (1, 1)
    assert "1 completions lose their end" in got.about_truncation(64, family)


def test_a_decoder_loses_its_prompt_at_the_chosen_end():
    assert Causal("right").fit([1, 2, 3], [4, 5], 4) == ([1, 2], [4, 5])
    assert Causal().fit([1, 2, 3], [4, 5], 4) == ([2, 3], [4, 5])


def test_a_tokenizer_that_frames_texts_frames_prompt_and_completion(tokenizer):
    """As BART's: `<s> ... </s>` around both, in the labels as well."""
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<pad> $A <eos>", special_tokens=[("<pad>", 0), ("<eos>", 1)]
    )
    family = build_family(0, tokenizer, "left", 64)
    assert isinstance(family, Seq2Seq) and family.frame == (1, 1)
    got = encode([text()], tokenizer, Sft(family), family, 6)
    assert tokenizer.decode(got.rows[0]["input_ids"]) == "<pad> apples? A:<eos>"
    assert tokenizer.decode(got.rows[0]["labels"]) == f"<pad>{COMPLETION}<eos>"


def test_what_an_encoder_decoder_cannot_be_taught_is_one_clear_line(tokenizer):
    chat = Text("[user] a [assistant] b", 9, "rows.jsonl:7", ((21, 22),))
    with pytest.raises(UserError, match=r"rows\.jsonl:7: a chat, but an encoder-decoder knows no turns"):
        list(tokenised([chat], tokenizer, apart=True))
    plain = build_tokenizer(Scratch(), [PROMPT])
    with pytest.raises(UserError, match=r"rows\.jsonl:7: its prompt is empty"):
        list(tokenised([text("")], plain, apart=True))


def write_rows(folder: Path) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Q: {i}? A:", "text": f"Q: {i}? A: {i}."}) + "\n" for i in range(4)))
    return path


def test_loss_on_all_is_refused_for_an_encoder_decoder(tmp_path):
    config = FinetuneConfig(input=write_rows(tmp_path), output=tmp_path / "x", scratch=T5, train_on="text", loss_on="all")
    with pytest.raises(UserError, match="loss_on all: an encoder-decoder reads the prompt in its encoder"):
        finetune(config)


def saved(folder: Path, scratch: Scratch) -> Path:
    tokenizer = build_tokenizer(scratch, [PROMPT + COMPLETION])
    build_model(scratch, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_saved_encoder_decoder_is_read_as_one(tmp_path):
    model = read_model(str(saved(tmp_path, T5)))
    assert type(model).__name__ == "T5ForConditionalGeneration" and model.dtype == torch.float32
    assert read_decoder_start(str(tmp_path)) == 0
    assert read_decoder_start(str(saved(tmp_path / "llama", Scratch(hidden_size=16, layers=1, heads=2)))) is None


def test_the_length_a_t5_was_trained_on_is_no_limit(tmp_path):
    config = saved(tmp_path, T5) / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "n_positions": 512}))
    assert read_context(str(tmp_path)) == UNLIMITED


def test_a_model_that_writes_no_text_and_one_without_a_start_are_one_clear_line(tmp_path):
    bert = BertForMaskedLM(BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8))
    bert.save_pretrained(tmp_path / "bert")
    for read in (read_decoder_start, read_model):
        with pytest.raises(UserError, match="a bert is neither a decoder that continues a text nor an encoder-decoder"):
            read(str(tmp_path / "bert"))
    T5Config(vocab_size=20).save_pretrained(tmp_path / "t5")
    with pytest.raises(UserError, match="its config has no decoder_start_token_id"):
        read_decoder_start(str(tmp_path / "t5"))


def test_fp16_is_warned_of_for_a_t5_and_not_for_others(tmp_path, capsys):
    from teacherlm.training.student import decoder_start

    rows = write_rows(tmp_path)
    for scratch, warned in ((T5, True), (Scratch(hidden_size=16, layers=1, heads=2), False)):
        model = saved(tmp_path / scratch.architecture, scratch)
        decoder_start(FinetuneConfig(input=rows, output=tmp_path / "x", model=str(model), precision="fp16"), None)
        assert ("T5 is known to overflow in fp16" in capsys.readouterr().err) == warned


def test_the_sizes_of_a_scratch_model_are_the_same_for_every_architecture():
    sizes = {"hidden_size": 32, "layers": 3, "heads": 4, "intermediate": 48, "context": 40}
    found = {}
    for name in ("llama", "gpt2", "t5"):
        scratch = Scratch(architecture=name, **sizes)
        model = build_model(scratch, build_tokenizer(scratch, [PROMPT]))
        config = model.config
        assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (32, 3, 4)
        assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
        assert config.pad_token_id == 0 and config.eos_token_id == 1
        found[name] = config
    assert found["gpt2"].n_inner == found["t5"].d_ff == 48 and found["gpt2"].n_positions == 40
    assert (found["t5"].num_decoder_layers, found["t5"].d_kv, found["t5"].decoder_start_token_id) == (3, 8, 0)
    build_model(Scratch(architecture="gpt2", hidden_size=6, heads=2), build_tokenizer(Scratch(), [PROMPT]))  # no pairs to turn
    with pytest.raises(UserError, match="hidden_size 33 must be a multiple of"):
        build_model(Scratch(architecture="t5", hidden_size=33), build_tokenizer(T5, [PROMPT]))
