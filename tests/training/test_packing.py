"""Rows packed into one sequence: none sees another, and all is as it is padded."""

import random
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from teacherlm.errors import UserError
from teacherlm.training.families import IGNORE, Causal, Row
from teacherlm.training.packing import KNOWN, PACKED, pack_rows
from teacherlm.training.sft import Sft

SHAPE: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "attention_dropout": 0.0,
}
OWN: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 1},
    "gpt2": {"n_inner": 32, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "opt": {"ffn_dim": 32, "word_embed_proj_dim": 16, "dropout": 0.0},
    "mistral": {"num_key_value_heads": 1, "sliding_window": 4},
    "gemma2": {"num_key_value_heads": 1, "head_dim": 8, "sliding_window": 4},
    "qwen2": {"num_key_value_heads": 1},
    "qwen3": {"num_key_value_heads": 1, "head_dim": 8},
    "gpt_neox": {"hidden_dropout": 0.0},
    "phi": {},
}


def student(kind: str) -> Any:
    """2 layers, 16 wide, fp64: only real differences show."""
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SHAPE, **OWN.get(kind, {})})).double()


def rows(count: int = 6, seed: int = 0) -> list[Row]:
    dice = random.Random(seed)
    words = lambda n: [dice.randrange(3, 50) for _ in range(n)]  # noqa: E731
    return [Causal().join(words(dice.randint(0, 9)), words(dice.randint(1, 12))) for _ in range(count)]


def loss_of(model: Any, family: Causal, given: list[Row]) -> torch.Tensor:
    batch = family.batch(given, pad=0)
    return Sft(family).sums(model, batch)["sft"]


def loss_of_each_row(model: Any, given: list[Row]) -> list[torch.Tensor]:
    family = Causal(packing=True)
    logits, labels = family.predicted(model, family.batch(given, pad=0))
    each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    return [part.sum() for part in each.split([int((row["labels"] != IGNORE).sum()) for row in given])]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "opt", "mistral"])
@torch.no_grad()
def test_a_neighbours_text_does_not_change_a_rows_loss(kind):
    model = student(kind)
    pack_rows(model)
    one, others = rows(5), rows(5, seed=1)
    for place in range(5):
        company = [*others[:place], one[place], *others[place + 1 :]]
        same_lengths = [{**row, "input_ids": (row["input_ids"] + 7) % 50} if at != place else row for at, row in enumerate(company)]
        apart = loss_of_each_row(model, company)[place] - loss_of_each_row(model, same_lengths)[place]
        assert float(apart.abs()) == 0
        alone = Sft(Causal()).sums(model, Causal().batch([one[place]], pad=0))["sft"]
        assert abs(float(loss_of_each_row(model, company)[place] - alone)) < 1e-12


@pytest.mark.parametrize("kind", sorted({"llama", "gpt2", "opt", *KNOWN}))
def test_packed_losses_and_gradients_are_those_of_padded_rows(kind):
    found = []
    for packing in (False, True):
        model = student(kind)
        if packing:
            pack_rows(model)
        loss = loss_of(model, Causal(packing=packing), rows())
        loss.backward()
        found.append((loss.detach(), [p.grad for p in model.parameters()]))
    (padded, their), (packed, ours) = found
    allowed = 1e-6 if kind == "gemma2" else 1e-11  # its softmax is computed in fp32
    assert float(padded) > 0 and abs(float(padded - packed)) < allowed
    assert max(float((a - b).abs().max()) for a, b in zip(their, ours, strict=True)) < allowed


def test_packed_rows_under_gradient_checkpointing_stay_apart():
    gradients = []
    for checkpointing in (False, True):
        model = student("llama").train()
        pack_rows(model)
        if checkpointing:
            model.gradient_checkpointing_enable()
        loss_of(model, Causal(packing=True), rows()).backward()
        gradients.append([p.grad for p in model.parameters()])
    assert max(float((a - b).abs().max()) for a, b in zip(*gradients, strict=True)) < 1e-14


def test_a_packed_model_answers_and_is_saved_as_any_other(tmp_path):
    plain, model = student("llama").eval(), student("llama").eval()
    pack_rows(model)
    ids, mask = torch.tensor([[5, 6, 7, 8], [0, 0, 9, 10]]), torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]])
    told = [m.generate(ids, attention_mask=mask, max_new_tokens=5, do_sample=False) for m in (plain, model)]
    assert torch.equal(*told)
    model.save_pretrained(tmp_path)
    assert PACKED not in (tmp_path / "config.json").read_text()


@pytest.mark.parametrize("kind", ["bloom", "codegen", "mamba"])
def test_an_architecture_whose_rows_would_see_each_other_is_refused(kind):
    with pytest.raises(UserError, match=f"packing: in a {kind} packed rows would see each other"):
        own = {"n_embd": 16, "n_layer": 2, "n_head": 4 if kind == "codegen" else 2, "rotary_dim": 4, "n_positions": 64}
        pack_rows(AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SHAPE, **own)))


def test_only_positions_with_loss_go_through_the_head():
    model = student("llama")
    widths = []
    model.lm_head.register_forward_hook(lambda _, given, __: widths.append(given[0].shape[:-1].numel()))
    pack_rows(model)
    widths.clear()
    given = rows()
    loss_of(model, Causal(packing=True), given)
    assert widths == [sum(int((row["labels"] != IGNORE).sum()) for row in given)]
