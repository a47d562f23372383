"""The most likely tokens at each token written: those of the model itself, whatever the batch, and as servers tell them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from teacherlm.engines.bodies.loading import load_model
from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.engines.bodies.wire import body_of, completion_of
from teacherlm.engines.openai import OpenaiSettings
from teacherlm.engines.scripted import ScriptedSettings
from teacherlm.engines.scripted import build as build_scripted
from teacherlm.errors import UserError
from teacherlm.records import Load, Request, Sampling
from teacherlm.store.top_logprobs import TopLogprobs, from_dicts, packed, unpacked, vocabulary_of

PROMPTS = ["Once upon a time there was a little girl.", "Tom", "Lily likes cake.", "One day"]
K = 5


@pytest.fixture(scope="module")
def loaded(stories260k: Path) -> tuple[Any, Any]:
    return load_model(str(stories260k), "main", "float32", "cpu", False)


def told(loaded: tuple[Any, Any], sampling: Sampling, rows: int) -> dict[str, TopLogprobs]:
    engine = TransformersEngine(*loaded, "stories", Load(rows=rows))
    asked = {prompt: Request(prompt, 12, sampling, top_logprobs=K) for prompt in PROMPTS}
    found = {one.key: one for one in engine.complete((request.key("x"), request) for request in asked.values())}
    for request in asked.values():
        one = found[request.key("x")]
        assert one.tokens == len(unpacked(one.top_logprobs).tokens) == 12
    return {prompt: unpacked(found[request.key("x")].top_logprobs) for prompt, request in asked.items()}


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.7, top_k=9)], ids=["greedy", "sampled"])
def test_they_are_the_models_own_at_temperature_1_whatever_is_drawn_and_beside_whom(loaded: tuple[Any, Any], sampling: Sampling) -> None:
    model, tokenizer = loaded
    for rows in (1, 3):
        for prompt, found in told(loaded, sampling, rows).items():
            start = tokenizer(prompt)["input_ids"]
            with torch.no_grad():
                logits = model(torch.tensor([[*start, *found.tokens.tolist()]])).logits[0, len(start) - 1 : -1]
            log_probs = logits.log_softmax(-1)
            best, ids = log_probs.topk(K)
            assert found.ids.tolist() == ids.tolist()
            np.testing.assert_allclose(found.log_probs[:, :K], best.numpy(), atol=1e-4)
            np.testing.assert_allclose(np.exp(found.log_probs).sum(1), 1.0, atol=1e-5)
            assert found.vocabulary == vocabulary_of(tokenizer)


def test_asking_for_them_is_another_request_and_not_asking_is_the_old_one() -> None:
    plain = Request("Tom", 12)
    assert plain.key("x") == Request("Tom", 12, top_logprobs=0).key("x") == "d20e8d1079051ecf15ea4be5b9503e89"
    assert plain.key("x") != Request("Tom", 12, top_logprobs=K).key("x")


def test_what_is_packed_is_what_is_unpacked_and_nothing_else_is() -> None:
    one = from_dicts([7, 8], [{7: -0.1, 9: -3.0, 4: -5.0}, {8: -0.2}], 2, "words")
    other = unpacked(packed(one))
    assert other.tokens.tolist() == [7, 8] and other.ids.tolist() == [[7, 9], [8, 8]] and other.vocabulary == "words"
    np.testing.assert_allclose(np.exp(other.log_probs).sum(1), 1.0, atol=1e-6)
    assert unpacked(packed(from_dicts([], [], 2))).ids.shape == (0, 2)
    for text in ("", "no base64!", packed(one)[:-8]):
        with pytest.raises(ValueError, match=r"not log-probabilities|bytes for 2 tokens"):
            unpacked(text)


CHOICES: list[tuple[bool, dict[str, Any]]] = [
    (
        False,
        {
            "text": " cat sat",
            "finish_reason": "stop",
            "logprobs": {
                "tokens": ["token_id:7", "token_id:8"],
                "token_logprobs": [-0.1, -2.0],
                "top_logprobs": [{"token_id:7": -0.1, "token_id:9": -3.0}, {"token_id:8": -2.0, "token_id:4": -0.3, "token_id:5": -2.5}],
            },
        },
    ),
    (
        True,
        {
            "message": {"content": "cat sat"},
            "finish_reason": "stop",
            "logprobs": {
                "content": [
                    {"token": "token_id:7", "logprob": -0.1, "top_logprobs": [{"token": "token_id:7", "logprob": -0.1}]},
                    {"token": "token_id:8", "logprob": -2.0, "top_logprobs": [{"token": "token_id:4", "logprob": -0.3}]},
                ]
            },
        },
    ),
]
"""As vLLM answers to return_tokens_as_token_ids, at both endpoints."""


@pytest.mark.parametrize(("chat", "choice"), CHOICES, ids=["completions", "chat"])
def test_a_server_that_names_tokens_by_their_ids_is_read(chat: bool, choice: dict[str, Any]) -> None:
    settings = OpenaiSettings(model="m", endpoint="chat" if chat else "completions", extra={"return_tokens_as_token_ids": True})
    request = Request("The", 8, top_logprobs=2)
    body = body_of(settings, "key", request)
    assert {name: body[name] for name in body if "logprobs" in name} == ({"logprobs": True, "top_logprobs": 2} if chat else {"logprobs": 2})
    assert not [name for name in body_of(settings, "key", Request("The", 8)) if "logprobs" in name]
    found = unpacked(completion_of(chat, "key", request, {"choices": [choice]}).top_logprobs)
    assert found.tokens.tolist() == [7, 8] and found.ids[1][0] == 4
    np.testing.assert_allclose(np.exp(found.log_probs).sum(1), 1.0, atol=1e-6)
    assert completion_of(chat, "key", Request("The", 8), {"choices": [choice]}).top_logprobs == ""


def test_a_server_that_tells_none_or_names_tokens_by_their_text_is_one_line() -> None:
    request, choice = Request("The", 8, top_logprobs=2), {"text": " cat", "finish_reason": "stop"}
    with pytest.raises(UserError, match="top_logprobs: the server gives no log-probabilities with its text"):
        completion_of(False, "key", request, {"choices": [choice]})
    by_text = {"tokens": [" cat"], "token_logprobs": [-0.1], "top_logprobs": [{" cat": -0.1}]}
    with pytest.raises(UserError, match=r"the server names tokens by their text \(' cat'\)"):
        completion_of(False, "key", request, {"choices": [{**choice, "logprobs": by_text}]})
    with pytest.raises(UserError, match="the engine scripted has no model"):
        list(build_scripted(ScriptedSettings()).complete([("key", request)]))
