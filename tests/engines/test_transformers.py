"""The engine on the real stories260k, and on tiny models of other families built here."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from teacherlm.engines.bodies.loading import find_device, load_model
from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.engines.transformers import TransformersSettings, build, identity_of
from teacherlm.errors import UserError
from teacherlm.records import Completion, Load, Request, Sampling, model_name

PROMPTS = [
    "Once upon a time there was a little girl",
    "Tom",
    "The dog and the cat went to the park. They saw a big tree and",
    "Q: Is it so? (A) True (B) False A: The answer is (B). Let's think step by step.",
    "Lily likes cake.",
    "One day",
    "He was sad because his red ball was lost, and nobody knew where it was. So",
]
WARM = Sampling(temperature=0.9, top_p=0.95, top_k=50)

pytestmark = pytest.mark.slow


def ask(engine: TransformersEngine, prompts: Sequence[str], tokens: int = 24, sampling: Sampling = Sampling()) -> list[Completion]:  # noqa: B008
    requests = [Request(prompt, tokens, sampling) for prompt in prompts]
    told = {one.key: one for one in engine.complete((request.key("x"), request) for request in requests)}
    return [told[request.key("x")] for request in requests]


@pytest.fixture(scope="module")
def loaded(stories260k: Path) -> tuple[Any, Any]:
    return load_model(str(stories260k), "main", "float32", "cpu", False)


def engine_of(loaded: tuple[Any, Any], **load: Any) -> TransformersEngine:
    return TransformersEngine(*loaded, "stories", Load(**load))


@pytest.fixture(scope="module")
def engine(loaded: tuple[Any, Any]) -> TransformersEngine:
    return engine_of(loaded)


def generated(loaded: tuple[Any, Any], prompt: str, tokens: int) -> list[int]:
    """What transformers' own `generate` writes at batch size 1."""
    model, tokenizer = loaded
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    return list(model.generate(ids, max_new_tokens=tokens, do_sample=False)[0].tolist())


@pytest.mark.real
def test_greedy_texts_are_those_of_generate_at_batch_size_1(loaded: tuple[Any, Any], engine: TransformersEngine):
    for prompt, told in zip(PROMPTS, ask(engine, PROMPTS, 40), strict=True):
        whole = loaded[1].decode(generated(loaded, prompt, 40), skip_special_tokens=True)
        assert prompt + told.text == whole, "prompt and text together are the whole sequence, spaces included"


@pytest.mark.real
@pytest.mark.parametrize("sampling", [Sampling(), WARM], ids=["greedy", "sampled"])
@pytest.mark.parametrize("load", [{"rows": 1}, {"rows": 2}, {"tokens": 60}, {"tokens": 100_000}], ids=str)
def test_batches_do_not_change_a_text(loaded: tuple[Any, Any], engine: TransformersEngine, load: dict[str, int], sampling: Sampling):
    expected = ask(engine, PROMPTS, 40, sampling)
    assert ask(engine_of(loaded, **load), list(reversed(PROMPTS)), 40, sampling) == list(reversed(expected))


@pytest.mark.real
def test_rows_that_outgrow_the_budget_are_set_aside_and_continued(loaded: tuple[Any, Any], engine: TransformersEngine):
    small = engine_of(loaded, tokens=700)  # 7 rows of up to 40 + 256 expected tokens fit by twos; written in full they would not
    assert ask(small, PROMPTS[:4] * 2, 200)[:4] == ask(engine, PROMPTS[:4], 200)


@pytest.mark.real
def test_sampling_depends_on_the_key_alone(engine: TransformersEngine):
    one, other = (next(engine.complete([(key, Request(PROMPTS[0], 24, WARM))])).text for key in ("a" * 32, "b" * 32))
    assert one != other
    assert next(engine.complete([("a" * 32, Request(PROMPTS[0], 24, WARM))])).text == one


@pytest.mark.real
def test_stop_strings_cut_the_text_and_end_the_row(engine: TransformersEngine):
    free = ask(engine, PROMPTS[:1], 60)[0]
    for stop in (".", " was", "a", free.text[5:9]):
        cut = ask(engine, PROMPTS[:1], 60, Sampling(stop=("never", stop)))[0]
        assert cut.text == free.text.split(stop)[0], stop
        assert cut.finish == "stop" and cut.tokens < free.tokens


@pytest.mark.real
def test_the_end_token_ends_a_row_and_is_not_in_its_text(loaded: tuple[Any, Any]):
    first = generated(loaded, PROMPTS[0], 6)[-1]
    engine = engine_of(loaded)
    engine.ends = frozenset([first])
    told = ask(engine, PROMPTS[:1], 20)[0]
    assert told.finish == "stop" and told.tokens == 5
    assert ask(engine_of(loaded), PROMPTS[:1], 5)[0].text == told.text
    assert ask(engine_of(loaded), PROMPTS[:1], 5)[0].finish == "length"


@pytest.mark.real
def test_the_context_bounds_a_row_and_refuses_what_fills_it(engine: TransformersEngine):
    assert engine.context == 512
    long, fits = "word " * 400, "cat " * 200
    [n_long, n_fits] = engine.count_tokens([long, fits])
    assert n_long > 512 > n_fits
    told = ask(engine, [long, fits], 2048)
    assert told[0] == Completion(
        told[0].key, "", "error", n_long, 0, f"prompt too long: it has {n_long} tokens, the model's context is 512"
    )
    assert told[1].finish != "error" and told[1].prompt_tokens + told[1].tokens <= 512


@pytest.mark.real
def test_prompts_get_the_special_tokens_that_the_tokenizer_adds(loaded: tuple[Any, Any], engine: TransformersEngine):
    assert engine.encode(["Tom"]) == [loaded[1]("Tom").input_ids]
    assert engine.encode(["Tom"])[0][0] == loaded[1].bos_token_id


@pytest.mark.real
def test_training_mode_is_given_back(loaded: tuple[Any, Any], engine: TransformersEngine):
    loaded[0].train()
    ask(engine, PROMPTS[:1], 2)
    assert loaded[0].training
    loaded[0].eval()


@pytest.mark.real
def test_several_requests_under_different_sampling_share_a_call(engine: TransformersEngine):
    requests = [
        Request(PROMPTS[0], 8),
        Request(PROMPTS[0], 8, WARM),
        Request(PROMPTS[0], 16),
        Request(PROMPTS[0], 8, Sampling(stop=("a",))),
    ]
    told = {one.key: one for one in engine.complete((str(i), request) for i, request in enumerate(requests))}
    assert sorted(told) == ["0", "1", "2", "3"]
    assert told["2"].text.startswith(told["0"].text) and told["2"].tokens == 16


def tiny(family: str, tokenizer: Any) -> Any:
    import transformers as t

    size = len(tokenizer)
    torch.manual_seed(0)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    if family == "bloom":
        return t.BloomForCausalLM(t.BloomConfig(vocab_size=size, hidden_size=32, n_layer=2, n_head=4, **ids))
    if family == "opt":
        config = t.OPTConfig(
            vocab_size=size, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64, word_embed_proj_dim=32, **ids
        )
        return t.OPTForCausalLM(config)
    if family == "gpt2":
        return t.GPT2LMHeadModel(t.GPT2Config(vocab_size=size, n_embd=32, n_layer=2, n_head=4, **ids))
    small = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    return t.T5ForConditionalGeneration(t.T5Config(vocab_size=size, decoder_start_token_id=0, **small, **ids))


@pytest.mark.real
@pytest.mark.parametrize("family", ["bloom", "opt", "gpt2", "t5"])
def test_other_families_write_what_their_generate_writes(loaded: tuple[Any, Any], family: str):
    # Random weights make near-ties; in float64 none is as near as the error of batching. BLOOM's masks overflow in float64.
    model = tiny(family, loaded[1]).to(torch.float32 if family == "bloom" else torch.float64).eval()
    told = ask(TransformersEngine(model, loaded[1], family, Load(rows=3)), PROMPTS, 12)
    for prompt, completion in zip(PROMPTS, told, strict=True):
        given = loaded[1](prompt, return_tensors="pt", return_token_type_ids=False)
        whole = model.generate(**given, max_new_tokens=12, do_sample=False)[0]
        new = whole[1:] if family == "t5" else whole[given.input_ids.shape[1] :]
        assert completion.tokens == len([token for token in new.tolist() if token != 2])
        assert completion.text.strip() == loaded[1].decode(new, skip_special_tokens=True).strip()


@pytest.mark.real
def test_scores_that_are_not_numbers_are_an_error_and_not_a_text(loaded: tuple[Any, Any]):
    model = tiny("gpt2", loaded[1]).eval()
    model.lm_head.weight.data[5] = float("nan")
    with pytest.raises(UserError, match=r"the model's scores are not numbers \(NaN in torch\.float32\)"):
        ask(TransformersEngine(model, loaded[1], "broken"), PROMPTS[:1])


def copy(stories: Path, folder: Path, *without: str) -> Path:
    shutil.copytree(stories, folder, ignore=shutil.ignore_patterns(*without))
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
    return folder


@pytest.mark.real
def test_a_folder_without_weights_or_tokenizer_is_one_clear_line(stories260k: Path, tmp_path: Path):
    bare = copy(stories260k, tmp_path / "bare", "*.safetensors")
    mute = copy(stories260k, tmp_path / "mute", "tokenizer*")
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder, message in ((bare, "holds no weights"), (mute, "holds no tokenizer"), (empty, "holds no model")):
        with pytest.raises(UserError, match=f"{folder}: {message}"):
            build(TransformersSettings(model=str(folder)))


@pytest.mark.real
def test_weights_that_lack_a_part_of_the_model_are_refused(stories260k: Path, tmp_path: Path):
    folder = copy(stories260k, tmp_path / "deep")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 6}))
    with pytest.raises(UserError, match=r"its weights lack 9 tensors of LlamaForCausalLM \(such as model\.layers\.5\."):
        load_model(str(folder), "main", "auto", "cpu", False)


class Trap:
    """What a malicious weight file holds: unpickling it calls something."""

    def __reduce__(self) -> Any:
        return (open, ("/nowhere/at/all",))


@pytest.mark.real
def test_weights_that_are_cut_short_or_hold_code_are_one_clear_line(stories260k: Path, tmp_path: Path):
    torn = copy(stories260k, tmp_path / "torn")
    (torn / "model.safetensors").write_bytes((stories260k / "model.safetensors").read_bytes()[:5000])
    trapped = copy(stories260k, tmp_path / "trapped", "*.safetensors")
    torch.save({"lm_head.weight": Trap()}, trapped / "pytorch_model.bin")
    for folder in (torn, trapped):
        with pytest.raises(UserError, match=f"{folder}: its model could not be loaded") as told:
            load_model(str(folder), "main", "auto", "cpu", False)
        assert "\n" not in str(told.value) and "/nowhere" not in str(told.value)


@pytest.mark.real
def test_pickled_weights_are_read_with_a_notice(
    stories260k: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: TransformersEngine
):
    from safetensors.torch import load_file

    folder = copy(stories260k, tmp_path / "old", "*.safetensors")
    torch.save(load_file(stories260k / "model.safetensors"), folder / "pytorch_model.bin")
    model, tokenizer = load_model(str(folder), "main", "auto", "cpu", False)
    assert "has no safetensors; its .bin weights are read with weights_only" in capsys.readouterr().err
    assert ask(TransformersEngine(model, tokenizer, "old"), PROMPTS[:1])[0].text == ask(engine, PROMPTS[:1])[0].text


@pytest.mark.real
def test_without_a_pad_token_the_end_token_pads_and_without_both_it_is_one_clear_line(stories260k: Path, engine: TransformersEngine):
    model, tokenizer = load_model(str(stories260k), "main", "auto", "cpu", False)
    tokenizer.pad_token = None
    assert ask(TransformersEngine(model, tokenizer, "no pad"), PROMPTS) == ask(engine, PROMPTS)
    tokenizer.eos_token = None
    with pytest.raises(UserError, match="no end: its tokenizer has neither a pad token nor an end token"):
        TransformersEngine(model, tokenizer, "no end")


@pytest.mark.real
def test_the_identity_names_content_precision_and_seed_and_not_the_place(stories260k: Path, tmp_path: Path):
    moved = tmp_path / "stories260k"
    shutil.copytree(stories260k, moved)
    here = identity_of(TransformersSettings(model=str(stories260k)), 0)
    assert identity_of(TransformersSettings(model=str(moved), device="cuda:3"), 0) == here
    assert model_name(here) == "stories260k"
    others = [TransformersSettings(model=str(stories260k), dtype="bfloat16"), TransformersSettings(model="owner/stories260k")]
    assert len({here, identity_of(TransformersSettings(model=str(stories260k)), 1), *(identity_of(other, 0) for other in others)}) == 4
    (moved / "config.json").chmod(0o644)
    (moved / "config.json").write_text((moved / "config.json").read_text() + " ")
    assert identity_of(TransformersSettings(model=str(moved)), 0) != here


@pytest.mark.real
def test_a_model_that_has_nothing_to_write_is_not_loaded(stories260k: Path):
    late = build(TransformersSettings(model=str(stories260k)))
    assert "loaded" not in vars(late)
    assert late.context == 512 and "loaded" in vars(late)


def test_a_device_that_is_not_there_is_one_clear_line():
    with pytest.raises(UserError, match="device: 'cuda:77' cannot be used here"):
        find_device("cuda:77")
    assert find_device("cpu") == torch.device("cpu")
