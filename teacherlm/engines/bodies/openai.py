"""The openai engine: bounded concurrency over one server; rows that fail in passing are made again, rows that fail for good say why.

What a server is believed to do: continue `prompt` (completions) or answer it as one user turn (chat), end before a stop string, count
tokens in `usage`. A seed goes along with every sampled request, but a batching server cannot promise the same text twice, and one
that draws from a single generator (`transformers serve`) does not even try.

Known servers:
- vLLM fills in what a request leaves open from the model's generation_config.json (top_k, repetition_penalty): start it with
  `--generation-config vllm`, or say it in `extra`.
- `transformers serve` stays greedy at any temperature unless told `extra: {generation_config: '{"do_sample": true}'}`; refuses
  parameters it does not know (top_k); leaves the stop string in the text (it is cut off here) and may swallow the space before it (given
  back after the end of a sentence); knows no context, weighs nothing; a model that it cannot load, or chat without a template, is a 500.
- llama.cpp refuses to echo a prompt, so that it weighs nothing.
- A reasoning model's `reasoning_content` is no part of the text.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from teacherlm import interrupt
from teacherlm.engines.bodies.crew import side_by_side
from teacherlm.engines.bodies.server import Clients, GivenUp, Refused, Server
from teacherlm.engines.bodies.wire import body_of, choice_of, completion_of, echo_body, find_overflow, tokens_of
from teacherlm.engines.openai import OpenaiSettings
from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.records import NO_ANSWER, TOO_LONG, Completion, Request, too_long

GONE_ROWS = 8
"""So many rows in a row without a connection (at least one for each place): the server is gone."""
REFUSED_ROWS = 8
"""So many rows refused before any was answered: it is the request, not the row."""
FAILED_ROWS = 100
"""So many rows in a row given up: nothing is gained by going on."""
FITTINGS = 3
"""How often the length of a text is cut down to what the server says there is room for."""


@dataclass(frozen=True)
class Answer:
    """`failure` is "" where the server did its work, be it a text or the judgement that the prompt is too long."""

    completion: Completion
    failure: Literal["", "gone", "failed", "refused"] = ""


class OpenaiEngine:
    def __init__(self, settings: OpenaiSettings, identity: str) -> None:
        self.settings, self.identity, self.context = settings, identity, settings.context
        self.server = Server(settings)
        self.chat = settings.endpoint == "chat"
        self.url = f"{settings.base_url}/{'chat/' if self.chat else ''}completions"
        self._limit = "max_tokens"
        """OpenAI's reasoning models call it max_completion_tokens, and refuse the other."""
        self._answered = 0
        self._counts = True

    def complete(self, requests: Iterable[tuple[str, Request]]) -> Iterator[Completion]:
        """Rows given up are held back until another is answered: where the server is gone, they are not lost but asked at the next run."""
        lost: list[Answer] = []
        for answer in side_by_side(requests, self._answer, self.server.clients(), self.settings.concurrency):
            if answer.failure and not (answer.failure == "refused" and self._answered):
                lost.append(answer)
                self._judge(lost)
                continue
            self._answered += not answer.failure
            yield from (one.completion for one in lost)
            lost.clear()
            yield answer.completion
        if not interrupt.wanted():
            self._judge(lost, end=True)
            yield from (one.completion for one in lost)

    def _judge(self, lost: Sequence[Answer], end: bool = False) -> None:
        """Raises: UserError when it makes no sense to go on, or when the rows left at the end found no server any more."""
        failures = {one.failure for one in lost}
        many = max(FAILED_ROWS, self.settings.concurrency)
        if failures == {"gone"}:
            many, told = 1 if end else max(GONE_ROWS, self.settings.concurrency), "the server is gone"
        elif failures == {"refused"}:
            many, told = REFUSED_ROWS, "the server refuses every request"
        else:
            told = "the server answers no request any more"
        if len(lost) >= many:
            reason = lost[-1].completion.error.removeprefix(NO_ANSWER)
            kept = f"{self._answered} answers are kept, the same command goes on from there"
            rows = f"{len(lost)} row{'s one after the other' if len(lost) > 1 else ''}"
            raise UserError(f"{self.server.url}: {told} ({reason}; {rows}); {kept}.")

    async def _answer(self, clients: Clients, asked: tuple[str, Request]) -> Answer:
        key, request = asked
        try:
            return Answer(await (self._weigh(clients, key, request) if request.options else self._write(clients, key, request)))
        except GivenUp as error:
            completion = Completion(key, "", "error", error=f"{NO_ANSWER}{error}", retries=error.failures)
            return Answer(completion, "gone" if error.gone else "failed")
        except Refused as error:
            if "chat template" in str(error):
                raise UserError(f"{self.server.url}: the model has no chat template ({error}); use endpoint: completions.") from None
            return Answer(Completion(key, "", "error", error=str(error)), "refused")

    async def _write(self, clients: Clients, key: str, request: Request) -> Completion:
        body = body_of(self.settings, key, request)
        for _ in range(FITTINGS):
            if self._limit not in body and "max_tokens" in body:
                body[self._limit] = body.pop("max_tokens")
            try:
                return await self._written(clients, key, request, body)
            except Refused as error:
                refused = error
            overflow = find_overflow(str(refused))
            if overflow is None and "max_tokens" in body and "max_completion_tokens" in str(refused):
                self._limit = "max_completion_tokens"
                continue
            if overflow is None:
                raise refused
            if overflow.most:
                body[self._limit] = overflow.most
            elif overflow.context and overflow.prompt and overflow.prompt < overflow.context:
                # Where the server stopped counting early (new vLLM), it is left to give what fits.
                body[self._limit] = overflow.context - overflow.prompt if overflow.exact else None
            elif overflow.context and overflow.prompt:
                return too_long(key, overflow.prompt, overflow.context)
            else:
                break
        return Completion(key, "", "error", error=f"{TOO_LONG}{refused}")

    async def _written(self, clients: Clients, key: str, request: Request, body: dict[str, Any]) -> Completion:
        def read(data: dict[str, Any]) -> Completion:
            if not data.get("usage"):
                self._say_uncounted()
            return completion_of(self.chat, key, request, data)

        doubt = self._doubt_template(clients) if self.chat and not self._answered else None
        completion, failures = await self.server.ask(clients, self.url, body, read, doubt)
        return replace(completion, retries=failures, error=self.server.scrub(completion.error))

    def _doubt_template(self, clients: Clients) -> Callable[[int], Awaitable[None]]:
        """`transformers serve` answers 500 and no word of explanation where a model has no chat template."""

        async def doubt(status: int) -> None:
            body = {"model": self.settings.model, "prompt": "1", "max_tokens": 1}
            if status >= 500 and await self.server.works(clients, f"{self.server.url}/completions", body):
                told = f"the server says {status} where /completions works: the model may have no chat template"
                raise UserError(f"{self.url}: {told}; use endpoint: completions.")

        return doubt

    def _say_uncounted(self) -> None:
        if self._counts:
            self._counts = False
            say(f"{self.server.url}: the server does not count tokens (no `usage`); they stand as 0.")

    async def _weigh(self, clients: Clients, key: str, request: Request) -> Completion:
        """Each option's tokens are those after what the tokens of the prompt alone and of prompt and option have in common."""
        if self.chat:
            raise UserError(f"{self.server.url}: this server cannot weigh options through chat; use endpoint: completions.")
        told: list[tuple[list[str], list[float | None]]] = []
        retries = 0
        try:
            for option in ("", *request.options):
                echoed, failures = await self.server.ask(clients, self.url, echo_body(self.settings, request.prompt + option), _echoed)
                retries += failures
                told.append(echoed)
        except Refused as error:
            if find_overflow(str(error)):
                return Completion(key, "", "error", error=f"{TOO_LONG}{error}", retries=retries)
            if "echo" in str(error) or "logprobs" in str(error):
                raise UserError(f"{self.server.url}: this server cannot weigh options ({error}).") from None
            raise
        except _CannotEcho:
            raise UserError(f"{self.server.url}: this server cannot weigh options (it does not echo logprobs of the prompt).") from None
        (prompt, _), *options = told
        sums = [sum(one or 0.0 for one in logprobs[_common(prompt, tokens) :]) for tokens, logprobs in options]
        return Completion(key, "", "stop", len(prompt), logprobs=tuple(sums), retries=retries)

    def count_tokens(self, prompts: Sequence[str]) -> list[int]:
        """By the server's own tokenizer (vLLM and llama.cpp offer it beside /v1). Raises: UserError where there is none."""
        counted = dict(side_by_side(enumerate(prompts), self._count, self.server.clients(), self.settings.concurrency))
        return [counted[number] for number in range(len(prompts))]

    async def _count(self, clients: Clients, numbered: tuple[int, str]) -> tuple[int, int]:
        number, prompt = numbered
        turns = {"messages": [{"role": "user", "content": prompt}]} if self.chat else {"prompt": prompt}
        body = {"model": self.settings.model, **turns, "content": prompt, "add_special": True}
        url = f"{self.server.url.removesuffix('/v1')}/tokenize"
        try:
            count, _ = await self.server.ask(clients, url, body, lambda data: int(data.get("count") or len(data["tokens"])))
        except (UserError, Refused, KeyError, TypeError) as error:
            why = f"the server cannot count tokens ({error})".replace(".)", ")")
            raise UserError(f"{url}: {why}; leave `context` out, it then refuses overlong prompts by itself.") from None
        return number, count


class _CannotEcho(Exception):
    """The answer holds no logprobs of the prompt."""


def _echoed(data: dict[str, Any]) -> tuple[list[str], list[float | None]]:
    """Tokens of the prompt and their logprobs (the first has none), without the token written after it."""
    logprobs = choice_of(data).get("logprobs")
    try:
        tokens, values = logprobs["tokens"], logprobs["token_logprobs"]  # type: ignore[index]
    except (KeyError, TypeError):
        raise _CannotEcho from None
    count = tokens_of(data)[0]
    if not count or len(values) < count or len(tokens) != len(values):
        raise _CannotEcho
    return tokens[:count], values[:count]


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    return next((number for number, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
