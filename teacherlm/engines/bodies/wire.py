"""What goes over the wire: the body of a request, what an answer says, and what a refusal means."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from teacherlm.engines.bodies import wire_logprobs
from teacherlm.engines.openai import OpenaiSettings
from teacherlm.records import Completion, Request

FINISHED = {"stop": "stop", "eos": "stop", "eos_token": "stop", "stop_sequence": "stop", "length": "length", "max_tokens": "length"}
"""TGI and others have words of their own."""
SENTENCE_MARKS = (".", ":", "?", "!")
OPENING = "([{$“‘«"


class Broken(Exception):
    """An answer without what it must hold; the next may be right."""


def seed_of(key: str) -> int:
    """31 bits: some servers keep seeds in a signed integer."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4).digest(), "big") >> 1


def body_of(settings: OpenaiSettings, key: str, request: Request) -> dict[str, Any]:
    """Greedy requests bring no seed and no top_p: they would change nothing, and not every server takes them."""
    sampling = request.sampling
    body: dict[str, Any] = {"model": settings.model, "max_tokens": request.max_new_tokens, "temperature": sampling.temperature}
    if settings.endpoint == "chat":
        system = [{"role": "system", "content": settings.system}] if settings.system else []
        body["messages"] = [*system, {"role": "user", "content": request.prompt}]
    else:
        body["prompt"] = request.prompt
    if sampling.temperature:
        body |= {"top_p": sampling.top_p, "seed": seed_of(key)}
        body |= {"top_k": sampling.top_k} if sampling.top_k else {}
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    body |= wire_logprobs.asked_for(request, settings.endpoint == "chat")
    return {name: value for name, value in {**body, **settings.extra}.items() if value is not None}


def echo_body(settings: OpenaiSettings, text: str) -> dict[str, Any]:
    """Asks how likely each token of a text is; one further token, because not every server takes none."""
    ours = {"model": settings.model, "prompt": text, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
    return {name: value for name, value in {**ours, **settings.extra}.items() if value is not None}


def completion_of(chat: bool, key: str, request: Request, data: Mapping[str, Any]) -> Completion:
    """Raises: Broken."""
    choice = choice_of(data)
    usage = tokens_of(data)
    text = _text(choice, chat)
    reason = choice.get("finish_reason")
    if reason is None:  # some servers forget it
        reason = "length" if usage[1] >= request.max_new_tokens else "stop"
    if reason not in FINISHED:
        return Completion(key, "", "error", *usage, error=f"the server ended it: {reason}")
    if text is None:
        refusal = choice.get("message", {}).get("refusal") if chat else None
        if refusal:
            return Completion(key, "", "error", *usage, error=f"the model refused: {refusal}")
        if FINISHED[reason] != "length":  # a reasoning model may use up its tokens before it says anything
            raise Broken("an answer without a text")
        text = ""
    cut = before_stop(text, request.sampling.stop)
    finish = "stop" if len(cut) < len(text) else FINISHED[reason]
    likely = wire_logprobs.told(choice, request, chat)
    return Completion(key, spaced(request.prompt, cut, chat), "length" if finish == "length" else "stop", *usage, top_logprobs=likely)


def choice_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Raises: Broken."""
    choices = data.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    said = message_of(data)
    raise Broken(f"an answer without choices{': ' + said if said else ''}")


def _text(choice: Mapping[str, Any], chat: bool) -> str | None:
    """None where there is none. Half a character at the end (a lone surrogate) becomes `?`: it can be written nowhere."""
    message = choice.get("message")
    found = (message.get("content") if isinstance(message, dict) else None) if chat else choice.get("text")
    if isinstance(found, list):
        found = "".join(str(part.get("text", "")) for part in found if isinstance(part, dict))
    return found.encode("utf-8", "replace").decode() if isinstance(found, str) else None


def tokens_of(data: Mapping[str, Any]) -> tuple[int, int]:
    """(prompt, text) as the server counted them; 0 where it did not."""
    usage = data.get("usage")
    found = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    prompt, text = (one if isinstance(one, int) else 0 for one in found)
    return prompt, text


def before_stop(text: str, stops: tuple[str, ...]) -> str:
    """`transformers serve` leaves the stop string in the text."""
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]


def spaced(prompt: str, text: str, chat: bool) -> str:
    """A text with the space that stands between it and its prompt: a layout joins the two.

    A chat turn never brings one. Where a completion lacks it after the end of a sentence, the server's tokenizer has swallowed it
    (`transformers serve` with a SentencePiece model): no text goes on with `step by step.First`. After any other prompt it may be the
    rest of a word, and stays as it came.
    """
    if not text or text[0].isspace():
        return text
    return f" {text}" if chat or (prompt.endswith(SENTENCE_MARKS) and _begins(prompt, text[0])) else text


def _begins(prompt: str, first: str) -> bool:
    """Whether a sentence can begin with this character, seen what stands before it: `3.` + `5` and a closing quote are none."""
    if first == '"':
        return prompt.count('"') % 2 == 0
    return first in OPENING or (first.isalnum() and not prompt[-2:-1].isdigit())


def message_of(data: Any) -> str:
    """What an error body says, in one short line; the places are those of OpenAI, vLLM, TGI and FastAPI."""
    found = data
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and found.get(name):
            found = found[name]
    text = found if isinstance(found, str) else ""
    if isinstance(found, list) and found:
        text = "; ".join(str(one.get("msg", "")) for one in found if isinstance(one, dict))
    text = " ".join(text.split())
    return text if len(text) <= 300 else f"{text[:300]}..."


@dataclass(frozen=True)
class Overflow:
    """A refusal because prompt and text together do not fit, or the text alone is longer than the server ever writes."""

    context: int | None = None
    prompt: int | None = None
    """Tokens of the prompt, as far as the server counted them."""
    exact: bool = True
    most: int | None = None
    """Most tokens of a text."""


CONTEXT = re.compile(
    r"(?:maximum context length(?: is| of)?|maximum model length of|available context size|model's context length|"
    r"`inputs` must have less than|`max_new_tokens` must be <=) \(?(\d+)"
)
PROMPT = re.compile(
    r"\((\d+) in (?:the|your) (?:messages|prompt)|(?:request has|prompt contains) (\d+) input tokens|(\d+) tokens from the input|"
    r"(?:request|input) \((\d+) tokens\)|Given: (\d+)|prompt \((?:total )?length (\d+)\)"
)
AT_LEAST = re.compile(r"at least (\d+) input tokens")
MOST = re.compile(r"supports at most (\d+) (?:completion|output) tokens")
OVERFLOWN = re.compile(r"context_length_exceeded|exceed_context_size|context (?:length|size|window)|prompt is too long", re.IGNORECASE)


def find_overflow(message: str) -> Overflow | None:
    """What a refusal says about lengths, in the words of OpenAI, vLLM (old and new), SGLang, TGI and llama.cpp."""
    if found := MOST.search(message):
        return Overflow(most=int(found[1]))
    context, prompt, least = CONTEXT.search(message), PROMPT.search(message), AT_LEAST.search(message)
    if not context:
        return Overflow() if OVERFLOWN.search(message) else None
    counted = next((group for group in prompt.groups() if group), None) if prompt else None
    counted = counted or (least[1] if least else None)
    return Overflow(int(context[1]), int(counted) if counted else None, exact=bool(prompt))
