"""The engine on a real vLLM where there is one (its CPU build will do), against the transformers engine; the rest always."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from wide_stories import SMALL, widen

import teacherlm.engines.vllm as light
from teacherlm import interrupt
from teacherlm.engines.transformers import TransformersSettings, identity_of
from teacherlm.engines.transformers import build as build_transformers
from teacherlm.engines.vllm import VllmSettings, build, identify
from teacherlm.errors import UserError
from teacherlm.records import Completion, Load, Request, Sampling, model_name
from teacherlm.store.top_logprobs import unpacked

PROMPTS = [
    "Once upon a time there was a little girl",
    "Tom",
    "The dog and the cat went to the park. They saw a big tree and",
    "Q: Is it so? (A) True (B) False A: The answer is (B). Let's think step by step.",
    "Lily likes cake.",
    "One day",
]
WARM = Sampling(temperature=0.9, top_p=0.95, top_k=50)
with_vllm = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed (extra [vllm])")


def folder_of(tmp_path: Path, *names: str) -> str:
    for name in ("config.json", "tokenizer.json", *names):
        (tmp_path / name).write_text("{}")
    return str(tmp_path)


def test_without_vllm_it_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(light, "find_spec", lambda name: None)
    with pytest.raises(UserError) as told:
        build(VllmSettings(model=folder_of(tmp_path, "model.safetensors")))
    assert str(told.value) == "engine vllm: vLLM is not installed; pip install 'teacherlm[vllm]'"


def test_a_folder_of_pickled_weights_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(light, "find_spec", lambda name: name)
    with pytest.raises(UserError, match="holds pickled weights only, which engine vllm does not read"):
        build(VllmSettings(model=folder_of(tmp_path, "pytorch_model.bin")))
    with pytest.raises(UserError, match="holds no weights"):
        (tmp_path / "pytorch_model.bin").unlink()
        build(VllmSettings(model=str(tmp_path)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"engine_args": {"gpu_memory_utilization": 0.5}}, "'gpu_memory_utilization' is a setting of its own here: gpu_memory"),
        ({"engine_args": {"hf_token": "x"}}, "environment variable HF_TOKEN"),
        ({"engine_args": {"load_format": "pt"}}, "load_format: 'pt' may read pickled weights"),
        ({"system": "Be brief."}, "a system turn needs chat: true"),
        ({"tensor_parallel": 0}, "greater than or equal to 1"),
        ({"gpu_memory": 1.5}, "less than or equal to 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, Any], message: str):
    with pytest.raises((UserError, ValidationError), match=message):
        VllmSettings(model="a/b", **given)


def test_the_identity_tells_what_changes_the_text_and_nothing_else():
    plain = identify(VllmSettings(model="a/b"), 3)
    assert model_name(plain) == "a/b"
    assert plain != identity_of(TransformersSettings(model="a/b"), 3), "sampled texts differ between the engines"
    assert identify(VllmSettings(model="a/b", tensor_parallel=2, data_parallel=2, gpu_memory=0.5), 3) == plain
    changes: list[dict[str, Any]] = [
        {"quantization": "fp8"},
        {"max_model_len": 512},
        {"chat": True},
        {"chat": True, "system": "Be brief."},
        {"engine_args": {"kv_cache_dtype": "fp8"}},
        {"dtype": "float16"},
        {"revision": "v2"},
    ]
    assert len({plain, identify(VllmSettings(model="a/b"), 4), *(identify(VllmSettings(model="a/b", **one), 3) for one in changes)}) == 9


@pytest.fixture(scope="module")
def stories(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Asked for by name, so that a test that vLLM is missing for is skipped, not failed for want of data."""
    return widen(request.getfixturevalue("stories260k"), tmp_path_factory.mktemp("wide") / "stories")


@pytest.fixture(scope="module")
def engine(stories: Path) -> Iterator[Any]:
    late = build(VllmSettings(model=str(stories), **SMALL), 0, Load(rows=4))
    yield late.loaded


@pytest.fixture(scope="module")
def reference(stories: Path) -> Any:
    return build_transformers(TransformersSettings(model=str(stories))).loaded


def answers(engine: Any, requests: list[Request]) -> list[Completion]:
    told = {one.key: one for one in engine.complete((f"{i:032x}", request) for i, request in enumerate(requests))}
    assert len(told) == len(requests)
    return [told[f"{i:032x}"] for i in range(len(requests))]


@with_vllm
@pytest.mark.slow
def test_greedy_completions_are_those_of_the_transformers_engine(engine: Any, reference: Any):
    stops = Sampling(stop=("never", ".", " was"))
    requests = [Request(prompt, 60) for prompt in PROMPTS] + [Request(prompt, 60, stops) for prompt in PROMPTS]
    requests += [Request("cat " * 180, 400), Request("word " * 400, 10)]
    assert engine.context == reference.context == 512
    assert engine.count_tokens(PROMPTS) == reference.count_tokens(PROMPTS)
    told = answers(engine, requests)
    assert told == answers(reference, requests)
    assert {one.finish for one in told} == {"stop", "length", "error"}
    assert told[1].text.startswith(" and"), "the space between prompt and text is the text's"
    assert answers(engine, [Request("Once upon a time", 3)])[0].text.startswith(", there"), "and only where the model wrote one"


@with_vllm
@pytest.mark.slow
def test_the_most_likely_tokens_are_those_of_the_transformers_engine(engine: Any, reference: Any):
    requests = [Request(prompt, 12, top_logprobs=5) for prompt in PROMPTS]
    for one, other in zip(answers(engine, requests), answers(reference, requests), strict=True):
        found, own = unpacked(one.top_logprobs), unpacked(other.top_logprobs)
        assert found.tokens.tolist() == own.tokens.tolist() and len(own.tokens) == one.tokens
        assert found.vocabulary == own.vocabulary
        assert abs(found.log_probs[:, :-1] - own.log_probs[:, :-1]).max() < 1e-3
        assert abs(np.exp(found.log_probs) - np.exp(own.log_probs)).max() < 1e-4  # vLLM tells what is left by subtraction alone


@with_vllm
@pytest.mark.slow
def test_a_sampled_text_depends_on_its_key_and_not_on_what_is_written_beside_it(engine: Any):
    rows = [(f"{i:032x}", Request(PROMPTS[0], 30, WARM)) for i in range(12)]
    first = {one.key: one.text for one in engine.complete(rows)}
    assert len(set(first.values())) == 12
    assert all(first[one.key] == one.text for one in engine.complete(reversed(rows[3:7])))


@with_vllm
@pytest.mark.slow
def test_options_are_weighed_as_the_model_weighs_them(engine: Any, reference: Any):
    options = (" girl", " boy", " tree and")
    prompt = "Once upon a time there was a little"
    [told] = answers(engine, [Request(prompt, 1, options=options)])
    assert told.text == "" and told.finish == "stop" and told.tokens == 0
    start = len(reference.encode([prompt])[0])
    for option, found in zip(options, told.logprobs, strict=True):
        ids = reference.encode([prompt + option])[0]
        scores = reference.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        assert found == pytest.approx(sum(scores[i - 1, ids[i]].item() for i in range(start, len(ids))), abs=1e-4)


@with_vllm
@pytest.mark.slow
def test_common_beginnings_are_computed_once_and_the_log_says_so(engine: Any, capsys: pytest.CaptureFixture[str]):
    shared = "The dog and the cat went to the park. " * 12
    answers(engine, [Request(f"{shared}Story {i}:", 10) for i in range(24)])
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("vllm: prefix caching is on: ")
    assert int(line.split()[5].rstrip("%")) > 40, line


@with_vllm
@pytest.mark.slow
def test_a_wish_to_stop_finishes_what_is_in_hand_and_begins_nothing_new(engine: Any):
    taken: list[int] = []

    def requests() -> Iterator[tuple[str, Request]]:
        for i in range(1000):
            taken.append(i)
            yield f"{i:032x}", Request(PROMPTS[i % 6], 20, WARM)

    with interrupt.interruptible():
        told = []
        for one in engine.complete(requests()):
            told.append(one)
            interrupt.ask_to_stop("a cap")
    assert 4 <= len(told) == len(taken) <= engine.window


@with_vllm
@pytest.mark.slow
def test_requests_that_nobody_waits_for_any_more_are_given_up(engine: Any):
    rows = engine.complete((f"{i:032x}", Request("Once upon a time", 450, WARM)) for i in range(100))
    next(rows)
    rows.close()
    started = time.monotonic()
    assert len(answers(engine, [Request("Tom", 5)])) == 1
    assert time.monotonic() - started < 2, "it had to wait for those that were given up"


@with_vllm
@pytest.mark.slow
def test_a_chat_is_read_through_the_models_template(engine: Any, monkeypatch: pytest.MonkeyPatch):
    raw = answers(engine, [Request("Be kind. Tom and", 12)])[0]
    template = "{{ bos_token }}{% for turn in messages %}{{ turn.content }}{% if not loop.last %} {% endif %}{% endfor %}"
    monkeypatch.setattr(engine.tokenizer, "chat_template", template)
    monkeypatch.setattr(engine, "conversation", [{"role": "system", "content": "Be kind."}])
    assert answers(engine, [Request("Tom and", 12)])[0] == raw


@with_vllm
@pytest.mark.slow
def test_what_cannot_be_is_found_before_the_model_is_loaded(stories: Path):
    for given, message in (
        ({"chat": True}, "its tokenizer has no chat template"),
        ({"engine_args": {"enforce_eagr": True}}, "No engine argument of vLLM named 'enforce_eagr'. Did you mean 'enforce_eager'"),
        ({"max_model_len": 100_000}, r"vLLM could not be started \(User-specified max_model_len \(100000\) is greater"),
    ):
        with pytest.raises(UserError, match=message) as told:
            build(VllmSettings(model=str(stories), **given)).loaded  # noqa: B018
        assert "\n" not in str(told.value)


PROGRAM = """
import json, sys
from teacherlm import interrupt
from teacherlm.engines.vllm import VllmSettings, build
from teacherlm.records import Load, Request, Sampling

if __name__ == "__main__":
    engine = build(VllmSettings.model_validate_json(sys.argv[1]), 0, Load(rows=4)).loaded
    finishes = []
    with interrupt.interruptible():
        print("ready", flush=True)
        for one in engine.complete((str(i), Request("Once upon a time", 400, Sampling(1.0))) for i in range(5000)):
            finishes.append(one.finish)
        print(json.dumps([interrupt.wanted(), len(finishes), sorted(set(finishes))]), flush=True)
"""


@with_vllm
@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_signals_to_the_whole_group_lose_nothing_and_leave_no_process_behind(stories: Path, tmp_path: Path, number: signal.Signals):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py"), VllmSettings(model=str(stories), **SMALL).model_dump_json()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(2)
    (os.kill if number is signal.SIGKILL else os.killpg)(process.pid, number)
    out, _ = process.communicate(timeout=100)  # ends when the last process that holds its output has ended
    if number is not signal.SIGKILL:
        name, count, finishes = json.loads(out)
        assert name == number.name and count >= 4 and set(finishes) <= {"stop", "length"}
    for _ in range(100):
        if not left_of(process.pid):
            return
        time.sleep(0.1)
    pytest.fail(f"still there: {left_of(process.pid)}")


def left_of(group: int) -> list[str]:
    """Processes of the group that live (a dead one may wait for whoever adopted it to notice)."""
    listed = subprocess.run(["ps", "-e", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()]
    return [row[2] for row in rows if row[0] == str(group) and not row[1].startswith("Z")]
