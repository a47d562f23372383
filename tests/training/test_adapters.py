"""Adapters: which weights are trained, how many, and that nothing else changes; each architecture, each kind."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as t
from peft import PeftModel
from tiny_models import INNER, LAYERS, WIDTH, hashes, logits, tiny_model, write_model

from teacherlm.catalog import find
from teacherlm.engines.bodies import bottleneck
from teacherlm.engines.bodies.adapted import attach_saved
from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.store.adapters import read_adapter
from teacherlm.training import adapting
from teacherlm.training.adapting import sizes
from teacherlm.training.pretrained import read_model

ARCHITECTURES = ("llama", "opt", "bloom", "gpt2", "t5", "gpt_neox")
D, R = WIDTH, 4
QKV = 3 * R * (D + D)
LORA_PER_BLOCK = {
    "llama": QKV,
    "opt": QKV,
    "bloom": R * (D + 3 * D),
    "gpt_neox": R * (D + 3 * D),
    "gpt2": R * (D + 3 * D) + R * (D + D) + 2 * R * (D + 4 * D),  # c_attn, c_proj of the attention, c_fc and c_proj of the MLP
    "t5": (1 + 2) * QKV,  # encoder; decoder with two attentions
}
"""rank x (inputs + outputs), over the layers of one block (of T5: of an encoder's and a decoder's)."""
ONE = 2 * D * (D // 8) + D // 8 + D
"""2·d·d/r weights and the biases of one bottleneck module."""
PLACES = dict.fromkeys(ARCHITECTURES, 2) | {"t5": 2 + 3}


def built(name: str, model: str = "", **given: Any) -> Any:
    chosen = find("adapters", name)
    return chosen.build(parse_config(chosen.settings, given), model)


def settings_of(name: str) -> dict[str, Any]:
    return {"reduction_factor": 8} if name == "bottleneck" else {"rank": R}


def train(model: Any, steps: int = 12) -> list[float]:
    """On one batch."""
    ids = torch.randint(3, 50, (4, 12), generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    model.train()
    for _ in range(steps):
        loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", ["lora", "bottleneck"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_only_the_adapter_is_trained_and_it_is_as_large_as_the_formula_says(architecture: str, name: str):
    model = tiny_model(architecture)
    before = hashes(model)
    built(name, **settings_of(name)).attach(model, False)
    formula = LORA_PER_BLOCK[architecture] if name == "lora" else PLACES[architecture] * ONE
    whole = sum(p.numel() for p in tiny_model(architecture).parameters())
    assert sizes(model) == {"trainable": LAYERS * formula, "parameters": whole + LAYERS * formula}
    fresh = hashes(model)
    losses = train(model)
    assert losses[-1] < losses[0] - 0.02
    after = hashes(model)
    assert {key: after[key] for key in before} == before, "a weight of the base has changed"
    assert all(after[key] != fresh[key] for key in fresh.keys() - before.keys()), "a weight of the adapter has not"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_fresh_bottleneck_is_nearly_the_identity_and_a_fresh_lora_is_nothing(architecture: str):
    plain = logits(tiny_model(architecture))
    for name, tolerance in (("bottleneck", 0.02), ("lora", 0.0)):
        model = tiny_model(architecture)
        built(name, **settings_of(name)).attach(model, False)
        assert float((logits(model) - plain).abs().max() / plain.abs().max()) <= tolerance


@pytest.mark.parametrize("name", ["lora", "bottleneck"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_adapter_over_its_base_says_the_same(architecture: str, name: str, tmp_path: Path):
    base = write_model(tmp_path / "base", architecture)
    adapter, model = built(name, str(base), **settings_of(name)), read_model(str(base))
    adapter.attach(model, False)
    train(model)
    expected = logits(model)
    adapter.save(model, tmp_path / "saved", None)
    again = read_model(str(base))
    assert not torch.allclose(logits(again), expected, atol=1e-3)
    attach_saved(again, read_adapter(tmp_path / "saved"))
    assert torch.equal(logits(again), expected)
    assert not any(weight.requires_grad for weight in again.parameters())
    if name == "lora":  # what we write is peft's own format
        assert torch.equal(logits(PeftModel.from_pretrained(read_model(str(base)), str(tmp_path / "saved"))), expected)


@pytest.mark.parametrize(("given", "times"), [({"mh_adapter": False}, 1), ({"output_adapter": False}, 1), ({}, 2)])
def test_pfeiffer_and_houlsby(given: dict[str, bool], times: int):
    model = tiny_model("llama")
    built("bottleneck", reduction_factor=8, **given).attach(model, False)
    assert sizes(model)["trainable"] == times * LAYERS * ONE
    kinds = {kind for kind in (bottleneck.MH, bottleneck.OUTPUT) if any(f".{kind}." in name for name, _ in model.named_parameters())}
    assert kinds == {bottleneck.MH, bottleneck.OUTPUT} - {key for key, value in given.items() if not value}


def test_a_bottleneck_is_what_the_paper_draws():
    torch.manual_seed(0)
    module = bottleneck.Bottleneck(8, bottleneck.Shape(reduction_factor=2, non_linearity="gelu")).double()
    x = torch.randn(3, 8, dtype=torch.float64)
    by_hand = x + torch.nn.functional.gelu(x @ module.down.weight.T + module.down.bias) @ module.up.weight.T + module.up.bias
    assert torch.allclose(module(x), by_hand, atol=1e-12)
    assert bottleneck.Bottleneck(8, bottleneck.Shape(reduction_factor=100)).down.out_features == 1, "never nothing"


def test_targets_may_be_any_linear_layers():
    model = tiny_model("llama")
    built("lora", rank=R, targets=["mlp.down_proj", "lm_head"]).attach(model, False)
    vocabulary = model.config.vocab_size
    assert sizes(model)["trainable"] == LAYERS * R * (INNER + WIDTH) + R * (WIDTH + vocabulary)


def test_what_is_not_there_is_refused_with_the_names_that_are():
    with pytest.raises(UserError, match=r"^adapter\.targets: no linear layer 'query' in this llama; there are q_proj, k_proj, v_proj, o_"):
        built("lora", targets=["query"]).attach(tiny_model("llama"), False)
    mamba = t.MambaForCausalLM(t.MambaConfig(vocab_size=20, hidden_size=16, num_hidden_layers=1, state_size=4))
    layers = "in_proj, x_proj, dt_proj, out_proj"
    with pytest.raises(UserError, match=rf"no usual ones are known for a mamba \(it has no 'q_proj'\); name some; there are {layers}\."):
        built("lora").attach(mamba, False)
    with pytest.raises(UserError, match=rf"bottleneck: it is not known where a mamba ends its attention .* linear layers are {layers}\."):
        built("bottleneck").attach(mamba, False)
    tied = t.GPT2LMHeadModel(t.GPT2Config(vocab_size=20, n_embd=16, n_layer=1, n_head=2))
    with pytest.raises(UserError, match="'lm_head' shares its weights with the embeddings in this model; leave it out"):
        built("lora", targets=["lm_head"]).attach(tied, False)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "lora", "reduction_factor": 4}, "reduction_factor: unknown key"),
        ({"name": "bottleneck", "mh_adapter": False, "output_adapter": False}, "set mh_adapter, output_adapter or both"),
        ({"name": "lora", "rank": 0}, "rank: input should be greater than 0"),
    ],
    ids=str,
)
def test_settings_that_make_no_adapter_are_one_clear_line(values: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        parse_config(find("adapters", values["name"]).settings, values)


def test_qlora_without_bitsandbytes_is_one_clear_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(adapting.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^adapter qlora needs bitsandbytes: pip install 'teacherlm\[quantized\]'"):
        built("qlora")


def test_qlora_trains_over_four_bits_which_stay_as_they_are(tmp_path: Path):
    base = write_model(tmp_path / "base")
    adapter, model = built("qlora", str(base), rank=R), read_model(str(base), quantised=True)
    kept = hashes(model)
    layer = model.model.layers[0].self_attn.q_proj
    assert (layer.weight.dtype, layer.weight.quant_state.quant_type, layer.weight.quant_state.nested) == (torch.uint8, "nf4", True)
    assert layer.compute_dtype == torch.bfloat16
    adapter.attach(model, False)
    assert sizes(model)["trainable"] == LAYERS * QKV
    assert sizes(model)["parameters"] == sizes(tiny_model("llama", model.config.vocab_size))["parameters"] + LAYERS * QKV
    losses = train(model)
    assert losses[-1] < losses[0] - 0.02
    after = hashes(model)
    assert {key: after[key] for key in kept} == kept


def test_an_adapter_that_does_not_fit_or_cannot_be_read_is_one_clear_line(tmp_path: Path):
    base = write_model(tmp_path / "base")
    for name in ("lora", "bottleneck"):
        adapter, model = built(name, str(base), **settings_of(name)), read_model(str(base))
        adapter.attach(model, False)
        adapter.save(model, tmp_path / name, None)
        with pytest.raises(UserError, match="adapter does not fit its base"):
            attach_saved(tiny_model("gpt2" if name == "lora" else "bloom"), read_adapter(tmp_path / name))
        (tmp_path / name / "adapter_model.safetensors").write_bytes(b"{}")
        with pytest.raises(UserError, match=r"adapter_model\.safetensors: cannot be read"):
            attach_saved(read_model(str(base)), read_adapter(tmp_path / name))
