"""Weights in fewer bits, models spread over devices, and transformers' own continuous batching."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as t

from teacherlm.engines.bodies import quantised
from teacherlm.engines.bodies.loading import load_model
from teacherlm.engines.transformers import TransformersSettings, build, identity_of
from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.records import Engine, Request, Sampling

PROMPTS = ["Once upon a time there was", "Tom", "The dog and the cat"]

pytestmark = [pytest.mark.slow, pytest.mark.real]


def texts(engine: Engine, sampling: Sampling = Sampling(), tokens: int = 16) -> list[str]:  # noqa: B008
    told = {one.key: one.text for one in engine.complete((p, Request(p, tokens, sampling)) for p in PROMPTS)}
    return [told[prompt] for prompt in PROMPTS]


@pytest.fixture(scope="module")
def expected(stories260k: Path) -> list[str]:
    return texts(build(TransformersSettings(model=str(stories260k))))


@pytest.fixture(scope="module")
def even(stories260k: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose widths 32 divides, as real ones' are."""
    folder = tmp_path_factory.mktemp("even")
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    t.LlamaForCausalLM(t.LlamaConfig(vocab_size=512, bos_token_id=1, eos_token_id=2, pad_token_id=0, **shape)).save_pretrained(folder)
    for path in stories260k.glob("tokenizer*"):
        shutil.copyfile(path, folder / path.name)
    return folder


def test_int8_weights_are_bytes_and_write_about_the_same(stories260k: Path, expected: list[str]):
    engine = build(TransformersSettings(model=str(stories260k), dtype="int8"))
    assert texts(engine, tokens=4) == texts(build(TransformersSettings(model=str(stories260k))), tokens=4)
    assert {p.dtype for name, p in engine.loaded.model.named_parameters() if "proj" in name} == {torch.int8}


def test_nf4_weights_are_half_bytes_and_write(even: Path):
    engine = build(TransformersSettings(model=str(even), dtype="nf4"))
    weights = {name: p for name, p in engine.loaded.model.named_parameters() if "proj" in name}
    assert {p.dtype for p in weights.values()} == {torch.uint8}
    assert sum(p.numel() for p in weights.values()) * 2 == sum(
        p.numel() for name, p in t.LlamaForCausalLM.from_pretrained(even).named_parameters() if "proj" in name
    )
    assert all(isinstance(text, str) for text in texts(engine))


def test_nf4_writes_where_the_fast_kernel_of_this_cpu_cannot(stories260k: Path):
    """172 is no multiple of the 32 outputs and 64 inputs that it packs together."""
    assert all(texts(build(TransformersSettings(model=str(stories260k), dtype="nf4"))))


def test_without_bitsandbytes_the_extra_is_named(stories260k: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quantised.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"dtype: int8 needs bitsandbytes: pip install 'teacherlm\[quantized\]'\."):
        load_model(str(stories260k), "main", "int8", "cpu", False)


@pytest.mark.parametrize("device_map", ["auto", "balanced", "sequential"])
def test_a_device_map_places_the_layers_and_changes_no_text(stories260k: Path, expected: list[str], device_map: str):
    engine = build(TransformersSettings(model=str(stories260k), device_map=device_map))
    assert texts(engine) == expected
    assert engine.identity == identity_of(TransformersSettings(model=str(stories260k)), 0)


def test_layers_that_do_not_fit_are_read_from_the_disk_and_write_the_same(stories260k: Path, expected: list[str], tmp_path: Path):
    from accelerate import disk_offload

    engine = build(TransformersSettings(model=str(stories260k)))
    disk_offload(engine.loaded.model, str(tmp_path), execution_device=torch.device("cpu"))
    assert texts(engine) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"system": "Be kind."}, "system: is only said in a chat"),
        ({"device": "cpu", "device_map": "auto"}, "device_map: decides about the devices"),
        ({"dtype": "int4"}, "dtype"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_together_are_one_clear_line(values: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        parse_config(TransformersSettings, {"model": "x", **values})


def test_continuous_batching_writes_the_same_greedy_texts(stories260k: Path, expected: list[str]):
    engine = build(TransformersSettings(model=str(stories260k), batching="continuous"))
    assert texts(engine) == expected
    warm, stop = Sampling(temperature=0.9), Sampling(stop=(".",))
    own = build(TransformersSettings(model=str(stories260k)))
    assert texts(engine, warm) == texts(own, warm) and texts(engine, stop) == texts(own, stop), "what it cannot do is batched by us"
    assert engine.identity == own.identity


def test_continuous_batching_ends_at_the_end_token(stories260k: Path):
    told = []
    for batching in ("own", "continuous"):
        engine = build(TransformersSettings(model=str(stories260k), batching=batching))
        engine.loaded.ends = frozenset([engine.loaded.encode([PROMPTS[0] + " a little girl named"])[0][-1]])
        told.append(sorted(engine.complete((p, Request(p, 12)) for p in PROMPTS), key=lambda one: one.key))
    assert told[0] == told[1] and "stop" in {one.finish for one in told[0]}
