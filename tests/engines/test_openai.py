"""The openai engine against a real server, `transformers serve`; what it says and reads, against the words of other servers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from teacherlm.engines.bodies.loading import load_model
from teacherlm.engines.bodies.openai import OpenaiEngine
from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.engines.bodies.wire import Broken, Overflow, before_stop, body_of, completion_of, find_overflow, message_of, spaced
from teacherlm.engines.openai import ENGINE, OpenaiSettings, identity_of
from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.records import Completion, Load, Request, Sampling, model_name
from teacherlm.stages.enhance import STAGE, EnhanceConfig, enhance
from teacherlm.store.fingerprint import content_on_disk, fingerprint

PROMPTS = [
    "Once upon a time there was a little girl.",
    "He was sad. His mother said:",
    "The dog and the cat went to the park. They saw a big tree.",
    "Q: Is it so? (A) True (B) False A: The answer is (B). Let's think step by step.",
    "Lily likes cake.",
    "Tom",
    "One day",
    "He was sad because his red ball was lost, and nobody knew where it was. So",
]
WARM = Sampling(temperature=0.9, top_p=0.95, top_k=50, stop=("\nQ:",))


def ask(engine: OpenaiEngine | TransformersEngine, requests: Sequence[Request]) -> list[Completion]:
    told = {one.key: one for one in engine.complete((request.key("x"), request) for request in requests)}
    return [told[request.key("x")] for request in requests]


@pytest.fixture
def engine(served: str, stories260k: Path) -> OpenaiEngine:
    return of(base_url=served, model=str(stories260k))


def of(**settings: Any) -> OpenaiEngine:
    chosen = OpenaiSettings.model_validate(settings)
    return OpenaiEngine(chosen, identity_of(chosen, 0))


@pytest.fixture(scope="module")
def local(stories260k: Path) -> TransformersEngine:
    return TransformersEngine(*load_model(str(stories260k), "main", "float32", "cpu", False), "stories", Load())


@pytest.mark.real
@pytest.mark.slow
def test_a_real_server_writes_what_the_transformers_engine_writes(engine: OpenaiEngine, local: TransformersEngine):
    requests = [Request(prompt, 40) for prompt in PROMPTS]
    for request, one, other in zip(requests, ask(engine, requests), ask(local, requests), strict=True):
        if request.prompt.endswith((".", ":")):
            assert one.text == other.text and one.text[0] == " "
        else:  # the server swallows the first space, and nothing tells whether the word went on
            assert one.text == other.text.lstrip()
        assert (one.finish, one.prompt_tokens, one.tokens) == (other.finish, other.prompt_tokens, other.tokens)


@pytest.mark.real
@pytest.mark.slow
def test_a_real_server_keeps_to_max_tokens_and_stop_strings(engine: OpenaiEngine, local: TransformersEngine):
    requests = [Request(PROMPTS[0], 60), Request(PROMPTS[0], 7)]
    requests += [Request(PROMPTS[0], 60, Sampling(stop=("never", stop))) for stop in (".", " was", "a")]
    free, short, *stopped = ask(engine, requests)
    assert (short.finish, short.tokens) == ("length", 7) and free.text.startswith(short.text)
    for request, one, other in zip(requests[2:], stopped, ask(local, requests[2:]), strict=True):
        assert one.text == free.text.split(request.sampling.stop[1])[0] == other.text
        assert (one.finish, one.tokens) == ("stop", other.tokens)


@pytest.mark.real
@pytest.mark.slow
def test_every_key_is_answered_once_however_many_are_under_way(served: str, stories260k: Path):
    requests = {f"{i:032x}": Request(f"{PROMPTS[i % 8]} {i}.", 3 + i % 5) for i in range(40)}
    texts = []
    for concurrency in (1, 16):
        told = list(of(base_url=served, model=str(stories260k), concurrency=concurrency).complete(requests.items()))
        assert sorted(one.key for one in told) == sorted(requests)
        texts.append({one.key: one.text for one in told})
    assert texts[0] == texts[1]


@pytest.mark.real
@pytest.mark.slow
def test_chat_with_a_model_without_a_template_is_one_clear_line(served: str, stories260k: Path):
    chat = of(base_url=served, model=str(stories260k), endpoint="chat")
    with pytest.raises(UserError) as told:
        ask(chat, [Request(prompt, 5) for prompt in PROMPTS])
    assert str(told.value) == (
        f"{served}/chat/completions: the server says 500 where /completions works: "
        "the model may have no chat template; use endpoint: completions."
    )


@pytest.fixture(scope="module")
def chatty(stories260k: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with a chat template: what was said, and `Then`."""
    folder = tmp_path_factory.mktemp("models") / "chatty"
    folder.mkdir()
    for path in stories260k.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    turns = "{{ bos_token }}{% for turn in messages %}{{ turn.content }} {% endfor %}{% if add_generation_prompt %}Then{% endif %}"
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": turns}))
    return folder


@pytest.mark.real
@pytest.mark.slow
def test_chat_sends_the_system_and_the_prompt_as_turns_to_a_real_server(served: str, chatty: Path, local: TransformersEngine):
    chat = of(base_url=served, model=str(chatty), endpoint="chat", system="This is a story.")
    requests = [Request(prompt, 20) for prompt in PROMPTS]
    rendered = [Request(f"This is a story. {prompt} Then", 20) for prompt in PROMPTS]
    for one, other in zip(ask(chat, requests), ask(local, rendered), strict=True):
        assert one.text == f" {other.text.lstrip()}"
        assert (one.finish, one.prompt_tokens, one.tokens) == (other.finish, other.prompt_tokens, other.tokens)


@pytest.mark.real
@pytest.mark.slow
def test_a_real_server_samples_where_it_is_told_to(served: str, stories260k: Path):
    """`transformers serve` takes a temperature and stays greedy unless generation_config says do_sample."""
    told = of(base_url=served, model=str(stories260k), extra={"generation_config": '{"do_sample": true}'}, concurrency=1)
    requests = [Request(PROMPTS[0], 20, Sampling(temperature=0.9), sample=sample) for sample in range(4)]
    assert len({one.text for one in ask(told, requests)}) == 4
    assert ask(told, requests) == ask(told, requests), "one at a time, the seed decides"


@pytest.mark.real
@pytest.mark.slow
def test_what_a_real_server_cannot_do_is_one_clear_line(engine: OpenaiEngine):
    with pytest.raises(UserError, match=r"this server cannot weigh options \(it does not echo"):
        ask(engine, [Request(PROMPTS[0], 5, options=(" yes", " no"))])
    with pytest.raises(UserError, match=r"/tokenize: the server cannot count tokens \(.*404 Not Found.*\); leave `context` out"):
        engine.count_tokens(["a", "b"])
    requests = [Request(f"{prompt} {i}", 5, WARM) for i, prompt in enumerate(PROMPTS * 2)]
    with pytest.raises(UserError, match=r"refuses every request \(422 .*Unexpected fields in the request: \{'top_k'\}"):
        ask(engine, requests)


@pytest.mark.real
@pytest.mark.slow
def test_enhance_runs_on_a_real_server(served: str, stories260k: Path, tmp_path: Path):
    rows = [{"id": str(i), "cot_text": f"{prompt} Let's think step by step."} for i, prompt in enumerate(PROMPTS)]
    source = tmp_path / "STORIES.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    teacher = {"name": "openai", "model": str(stories260k), "base_url": served}
    values = {"input": source, "output": tmp_path / "out", "kinds": "cot", "max_new_tokens": 24, "teacher": teacher}
    outcome = enhance(parse_config(EnhanceConfig, values))
    assert {name: outcome.counts[name] for name in ("questions", "rows", "dropped", "asked")} == {
        "questions": 8,
        "rows": 8,
        "dropped": 0,
        "asked": 8,
    }
    written = [json.loads(line) for line in (tmp_path / "out" / "STORIES_cot.jsonl").read_text().splitlines()]
    assert [one["id"] for one in written] == [row["id"] for row in rows]
    assert all(one["teacher"] == str(stories260k) and one["cot"].startswith(" ") for one in written)
    assert enhance(parse_config(EnhanceConfig, values)).counts["asked"] == 0


def settings(**values: Any) -> OpenaiSettings:
    return parse_config(OpenaiSettings, {"model": "m", **values})


def test_a_greedy_request_says_no_more_than_it_must():
    assert body_of(settings(), "k", Request("P", 9)) == {"model": "m", "prompt": "P", "max_tokens": 9, "temperature": 0.0}


def test_sampling_stops_and_a_seed_of_31_bits_go_along():
    body = body_of(settings(extra={"min_p": 0.1}), "k", Request("P", 9, WARM))
    seed = body.pop("seed")
    assert 0 <= seed < 2**31 and seed != body_of(settings(), "l", Request("P", 9, WARM))["seed"]
    assert body == {
        "model": "m",
        "prompt": "P",
        "max_tokens": 9,
        "temperature": 0.9,
        "top_p": 0.95,
        "top_k": 50,
        "stop": ["\nQ:"],
        "min_p": 0.1,
    }
    assert "top_k" not in body_of(settings(), "k", Request("P", 9, Sampling(temperature=1.0)))
    assert "temperature" not in body_of(settings(extra={"temperature": None}), "k", Request("P", 9))


def test_chat_sends_turns():
    body = body_of(settings(endpoint="chat", system="Be brief."), "k", Request("P", 9))
    assert "prompt" not in body
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "P"}]
    assert len(body_of(settings(endpoint="chat"), "k", Request("P", 9))["messages"]) == 1


def test_the_identity_holds_what_decides_the_text_and_not_where_the_server_is():
    assert identity_of(settings(), 3) == "m@completions, server, seed 3"
    same = [settings(), settings(base_url="https://x.org/v1"), settings(concurrency=2, retries=0, timeout=1, api_key_env="K")]
    assert len({identity_of(one, 0) for one in same}) == 1
    others = [settings(), settings(endpoint="chat"), settings(endpoint="chat", system="S"), settings(extra={"a": 1}), settings(model="n")]
    assert len({identity_of(one, 0) for one in others}) == 5
    assert model_name(identity_of(settings(model="org/a@b", extra={"a": 1}), 0)) == "org/a@b"


def test_where_the_server_is_and_how_it_is_asked_stay_out_of_the_fingerprint(tmp_path: Path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"cot_text": "Q"}\n')

    def print_of(**values: Any) -> str:
        teacher = {"name": "openai", "model": "m", **values}
        config = parse_config(EnhanceConfig, {"input": source, "output": tmp_path / "out", "teacher": teacher})
        return fingerprint("enhance", STAGE, config, content_on_disk)

    same = [
        {},
        {"base_url": "https://x.org/v1"},
        {"concurrency": 2, "retries": 0, "timeout": 1},
        {"requests_per_minute": 9, "api_key_env": "K"},
    ]
    assert len({print_of(**values) for values in same}) == 1
    assert len({print_of(**values) for values in ({}, {"endpoint": "chat"}, {"extra": {"a": 1}}, {"model": "n"})}) == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"base_url": "localhost:8000"}, "base_url: expected something like http://127.0.0.1:8000/v1, found 'localhost:8000'."),
        ({"base_url": "http://me:secret@h/v1"}, "base_url: a URL is written into manifests: no user, password"),
        ({"base_url": "http://h/v1?key=secret"}, "base_url: a URL is written into manifests: no user, password"),
        ({"system": "S"}, "a system turn needs endpoint: chat."),
        ({"endpoint": "responses"}, "endpoint: "),
        ({"extra": {"stream": True}}, "extra: 'stream' is the engine's to say"),
        ({"extra": {"temperature": 1}}, "extra: 'temperature' is a setting of the stage; here it can only be left out (null)."),
        ({"concurrency": 0}, "concurrency: "),
        ({"api_key": "sk-1"}, "api_key: unknown key. Did you mean 'api_key_env'?"),
    ],
)
def test_a_bad_setting_is_one_clear_line(values: dict[str, Any], message: str):
    with pytest.raises(UserError) as told:
        settings(**values)
    assert message in str(told.value) and "\n" not in str(told.value)
    assert "secret" not in str(told.value)


def test_building_asks_nothing():
    assert ENGINE.build(settings(base_url="http://127.0.0.1:9/v1"), 0).identity == "m@completions, server, seed 0"


def read(choice: dict[str, Any], chat: bool = False, request: Request = Request("P.", 9), **usage: int) -> Completion:  # noqa: B008
    return completion_of(chat, "k", request, {"choices": [choice], **({"usage": usage} if usage else {})})


def test_an_answer_is_read_as_its_server_meant_it():
    one = read({"text": " so.", "finish_reason": "stop"}, prompt_tokens=3, completion_tokens=2)
    assert one == Completion("k", " so.", "stop", 3, 2)
    assert read({"text": " so", "finish_reason": "length"}).finish == "length"
    assert read({"text": " so", "finish_reason": "eos_token"}).finish == "stop"
    assert read({"text": " so"}, prompt_tokens=3, completion_tokens=9).finish == "length"
    filtered = read({"text": " s", "finish_reason": "content_filter"}, prompt_tokens=3, completion_tokens=1)
    assert filtered == Completion("k", "", "error", 3, 1, error="the server ended it: content_filter")
    cut = read({"text": " so.\nQ: Next", "finish_reason": "length"}, request=Request("P.", 9, WARM))
    assert (cut.text, cut.finish) == (" so.", "stop")


def test_a_chat_answer_is_read_with_the_space_that_a_layout_needs():
    def said(content: Any, reason: str = "stop", **more: Any) -> Completion:
        return read({"message": {"content": content, **more}, "finish_reason": reason}, chat=True)

    assert said("So").text == " So" and said(" So").text == " So" and said("\nSo").text == "\nSo" and said("").text == ""
    assert said([{"type": "text", "text": "So"}]).text == " So"
    assert (said(None, "length").text, said(None, "length").finish) == ("", "length")
    assert said(None, refusal="I can't").error == "the model refused: I can't"
    with pytest.raises(Broken):
        said(None)


def test_half_a_character_is_no_reason_to_fail():
    assert read({"text": json.loads('" so \\ud83d"'), "finish_reason": "length"}).text == " so ?"


@pytest.mark.parametrize("data", [{}, {"choices": []}, {"choices": [None]}, {"choices": {}}, {"choices": [{"finish_reason": "stop"}]}])
def test_an_answer_without_a_text_is_broken(data: dict[str, Any]):
    with pytest.raises(Broken, match="an answer without"):
        completion_of(False, "k", Request("P", 9), data)
    with pytest.raises(Broken, match="without choices: overloaded"):
        completion_of(False, "k", Request("P", 9), {"error": {"message": "overloaded"}})


def test_a_swallowed_space_is_given_back_after_the_end_of_a_sentence_only():
    assert spaced("step by step.", "First", False) == " First"
    assert spaced("step by step.", "\nFirst", False) == "\nFirst"
    assert spaced("The answer is (", "B)", False) == "B)"
    assert spaced("He is quick", "ly", False) == "ly"
    assert spaced("it is 3.", "5", False) == "5"
    assert spaced("He said:", '"No."', False) == ' "No."'
    assert spaced('He said "No.', '"', False) == '"'


def test_a_text_ends_before_the_first_stop_string():
    assert before_stop("a b c", ("c", "b")) == "a "
    assert before_stop("a b c", ()) == before_stop("a b c", ("x",)) == "a b c"


OPENAI = (
    "This model's maximum context length is 4097 tokens. However, you requested 4203 tokens (3703 in the messages, 500 in the completion)."
)
LEGACY = (
    "This model's maximum context length is 4097 tokens, however you requested 4162 tokens (62 in your prompt; 4100 for the completion)."
)
VLLM = (
    "'max_tokens' or 'max_completion_tokens' is too large: 4100. This model's maximum context length is 4096 tokens "
    "and your request has 62 input tokens (4100 > 4096 - 62)."
)
VLLM_NEW = (
    "This model's maximum context length is 512 tokens. However, you requested 100 output tokens and your prompt contains "
    "at least 413 input tokens, for a total of at least 513 tokens."
)
SGLANG = (
    "Requested token count exceeds the model's maximum context length of 131072 tokens. You requested a total of 524300 tokens: "
    "12 tokens from the input messages and 524288 tokens for the completion."
)
TGI = "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 1218 `inputs` tokens and 1500 `max_new_tokens`"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (OPENAI, Overflow(4097, 3703)),
        (LEGACY, Overflow(4097, 62)),
        (VLLM, Overflow(4096, 62)),
        (VLLM_NEW, Overflow(512, 413, exact=False)),
        (SGLANG, Overflow(131072, 12)),
        ("The input (5000 tokens) is longer than the model's context length (4096 tokens).", Overflow(4096, 5000)),
        (TGI, Overflow(2048, 1218)),
        ("Input validation error: `inputs` must have less than 1024 tokens. Given: 1500", Overflow(1024, 1500)),
        ("request (9412 tokens) exceeds the available context size (8192 tokens), try increasing it", Overflow(8192, 9412)),
        ("the request exceeds the available context size, try increasing it", Overflow()),
        (
            "max_tokens is too large: 20000. This model supports at most 16384 completion tokens, whereas you provided 20000.",
            Overflow(most=16384),
        ),
        ("Unexpected fields in the request: {'top_k'}", None),
        ("", None),
    ],
)
def test_an_overflow_is_recognised_in_the_words_of_many_servers(message: str, expected: Overflow | None):
    found = find_overflow(message)
    assert found == (expected if expected is None or expected.context or expected.most else Overflow(exact=found is None or found.exact))


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "why", "type": "x"}},
        {"error": "why"},
        {"message": "why", "code": 400},
        {"detail": "why"},
        {"detail": [{"msg": "why", "loc": ["body"]}]},
        "why",
    ],
)
def test_what_an_error_says_is_found_where_each_server_puts_it(body: Any):
    assert message_of(body) == "why"
    assert message_of({"error": {"message": "why\n" * 200}}).count("why") < 80
