"""Options are weighed as a plain forward pass weighs them; a chat is put as the model's template says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as t

from teacherlm.engines.bodies.batches import CausalModel
from teacherlm.engines.bodies.loading import load_model
from teacherlm.engines.bodies.texts import Chat
from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.engines.transformers import TransformersSettings, build, identity_of
from teacherlm.errors import UserError
from teacherlm.records import Completion, Load, Request, model_name

CHOICES = [
    ("Once upon a time there was", (" a little girl", " the", " dog that was lost", " a little boy")),
    ("Once upon a time there was ", ("a little girl", "the")),
    ("Tom", (" is", " was sad because his red ball was lost")),
    ("Lily likes cake. Q: Who likes cake? A: The answer is (", ("A", "B", "C")),
    ("Lily likes cake. Q: Who likes cake? A: The answer is (", ("A", "B", "")),
]
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"

pytestmark = [pytest.mark.slow, pytest.mark.real]


@pytest.fixture(scope="module")
def loaded(stories260k: Path) -> tuple[Any, Any]:
    return load_model(str(stories260k), "main", "float32", "cpu", False)


def weighed(engine: TransformersEngine, choices: Sequence[tuple[str, tuple[str, ...]]]) -> list[Completion]:
    told = {one.key: one for one in engine.complete((str(i), Request(p, 1, options=options)) for i, (p, options) in enumerate(choices))}
    return [told[str(i)] for i in range(len(choices))]


def plain(model: Any, tokenizer: Any, prompt: str, option: str) -> float:
    """One row, one forward pass, lm-eval's split into context and continuation."""
    bare = prompt.rstrip()
    context, whole = tokenizer(bare).input_ids, tokenizer(prompt + option).input_ids
    with torch.no_grad():
        scores = model(torch.tensor([whole])).logits[0].log_softmax(-1)
    return sum(float(scores[place - 1, whole[place]]) for place in range(len(context), len(whole)))


@pytest.mark.parametrize("load", [{}, {"rows": 1}, {"rows": 3}, {"tokens": 70}], ids=str)
def test_options_are_weighed_as_a_plain_forward_pass_does(loaded: tuple[Any, Any], load: dict[str, int]):
    told = weighed(TransformersEngine(*loaded, "s", Load(**load)), CHOICES)
    for (prompt, options), one in zip(CHOICES, told, strict=True):
        assert one.logprobs == pytest.approx([plain(*loaded, prompt, option) for option in options], abs=1e-4)
        assert (one.text, one.finish, one.tokens) == ("", "stop", 0)
    assert told[4].logprobs[2] == 0.0, "nothing is certain to follow"


def test_options_are_split_and_weighed_as_lm_eval_does(loaded: tuple[Any, Any]):
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    theirs = HFLM(pretrained=loaded[0], tokenizer=loaded[1], batch_size=1)
    for (prompt, options), one in zip(CHOICES[:4], weighed(TransformersEngine(*loaded, "s"), CHOICES[:4]), strict=True):
        asked = [Instance("loglikelihood", {}, (prompt, option), i) for i, option in enumerate(options)]
        assert one.logprobs == pytest.approx([value for value, _ in theirs.loglikelihood(asked, disable_tqdm=True)], abs=1e-4)


def test_the_prompt_is_read_once_for_all_options(loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch):
    read = []
    original = CausalModel.read

    def counting(self: CausalModel, ids: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        read.append(ids.numel())
        return original(self, ids, *args, **kwargs)

    monkeypatch.setattr(CausalModel, "read", counting)
    engine = TransformersEngine(*loaded, "s")
    prompt = "The dog and the cat went to the park. They saw a big tree and a ball. " * 3 + "The answer is ("
    weighed(engine, [(prompt, tuple("ABCDEFGH"))])
    [length] = engine.count_tokens([prompt])
    assert sum(read) < length + 8 * 3


def test_an_encoder_decoder_weighs_options(loaded: tuple[Any, Any]):
    small = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    torch.manual_seed(0)
    model = t.T5ForConditionalGeneration(t.T5Config(vocab_size=len(loaded[1]), decoder_start_token_id=0, **small)).double().eval()
    for (prompt, options), one in zip(CHOICES, weighed(TransformersEngine(model, loaded[1], "t5"), CHOICES), strict=True):
        bare = prompt.rstrip()
        for option, found in zip(options, one.logprobs, strict=True):
            written = prompt[len(bare) :] + option
            if not written:
                continue
            # What this tokenizer puts before every text begins what the decoder writes, as it does when a student is trained with it.
            labels = torch.tensor([loaded[1](written).input_ids])
            with torch.no_grad():
                loss = model(**loaded[1](bare, return_tensors="pt", return_token_type_ids=False), labels=labels).loss
            assert found == pytest.approx(-float(loss) * labels.numel(), abs=1e-6)


def test_options_and_texts_share_a_call_and_an_overlong_choice_is_refused(loaded: tuple[Any, Any]):
    engine = TransformersEngine(*loaded, "s")
    long = "word " * 400
    requests = [Request("Tom", 4), Request("Tom", 1, options=(" is",)), Request("Tom", 1, options=(" is", long)), Request(long, 4)]
    told = {one.key: one for one in engine.complete((str(i), request) for i, request in enumerate(requests))}
    assert len(told) == 4 and told["0"].tokens == 4 and len(told["1"].logprobs) == 1
    for key in ("2", "3"):
        assert told[key].finish == "error" and told[key].error.startswith("prompt too long: it has ")


def test_options_go_on_in_smaller_batches_when_memory_runs_out(loaded: tuple[Any, Any], capsys: pytest.CaptureFixture[str]):
    def look(module: Any, args: Any, kwargs: Any) -> None:
        if len(kwargs["input_ids"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    expected = weighed(TransformersEngine(*loaded, "s"), CHOICES)
    hook = loaded[0].register_forward_pre_hook(look, with_kwargs=True)
    try:
        told = weighed(TransformersEngine(*loaded, "s"), CHOICES)
    finally:
        hook.remove()
    for one, other in zip(told, expected, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    assert "notice: out of memory; batches hold" in capsys.readouterr().err


def test_an_empty_prompt_is_an_error_where_nothing_begins_a_text(loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch):
    engine = TransformersEngine(*loaded, "s")
    assert next(engine.complete([("k", Request("", 3))])).tokens == 3, "a BOS begins it"
    monkeypatch.setattr(engine.texts, "encode", lambda prompts: [[] for _ in prompts])
    told = next(engine.complete([("k", Request("", 3))]))
    assert told.finish == "error" and "the prompt is empty" in told.error


@pytest.fixture
def chatty(stories260k: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "chatty"
    folder.mkdir()
    for path in stories260k.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def test_a_chat_is_one_turn_of_a_user_after_the_system(chatty: Path):
    plain_engine = build(TransformersSettings(model=str(chatty)))
    chat = build(TransformersSettings(model=str(chatty), chat=True, system="Be kind."))
    spelled = "<system>Be kind.\n<user>Who is Tom?\n<assistant>"
    tokenizer = chat.loaded.tokenizer
    assert chat.loaded.encode(["Who is Tom?"]) == [tokenizer(spelled, add_special_tokens=False).input_ids]
    assert chat.count_tokens(["Who is Tom?"]) == [len(tokenizer(spelled).input_ids) - 1], "the template brings its own special tokens"
    assert plain_engine.count_tokens(["Who is Tom?"]) == [len(tokenizer("Who is Tom?").input_ids)]
    assert next(chat.complete([("k", Request("Who is Tom?", 5))])).tokens == 5
    assert len(next(chat.complete([("k", Request("Who is Tom?", 1, options=("Tom", "Lily")))])).logprobs) == 2


def test_a_chat_and_its_system_are_another_teacher_and_silence_keeps_the_name(chatty: Path):
    settings = [{}, {"chat": True}, {"chat": True, "system": "a@b"}, {"chat": True, "system": "c"}]
    names = [identity_of(TransformersSettings(model=str(chatty), **one), 0) for one in settings]
    assert len(set(names)) == 4
    assert names[0].endswith(", auto, seed 0") and ", chat, seed 0" in names[1]
    assert {model_name(name) for name in names} == {"chatty"}


def test_a_model_without_a_template_is_one_clear_line_at_once(stories260k: Path, loaded: tuple[Any, Any]):
    expected = "its tokenizer has no chat template; leave `chat` off"
    with pytest.raises(UserError, match=f"{stories260k}: {expected}"):
        build(TransformersSettings(model=str(stories260k), chat=True))
    with pytest.raises(UserError, match=f"owner/model: {expected}"):
        TransformersEngine(*loaded, "owner/model", chat=Chat())


def test_a_template_that_takes_no_system_is_one_clear_line(chatty: Path):
    (chatty / "chat_template.jinja").write_text("{{ raise_exception('System role not supported') }}")
    with pytest.raises(UserError, match=r"chat template refuses the conversation \(System role not supported\)"):
        build(TransformersSettings(model=str(chatty), chat=True, system="x")).count_tokens(["Tom"])
